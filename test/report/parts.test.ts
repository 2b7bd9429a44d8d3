/** What a page is put together from: templates, colours, numbers, grids, sentences. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { collectResults } from "#lib/report/collect.js";
import { formatDelta, formatInterval, formatLevel, formatP, joinWords } from "#lib/report/format.js";
import { renderGrid } from "#lib/report/grid.js";
import { html } from "#lib/report/html.js";
import { contrast, DARK, LIGHT, STEPS_A_SIDE, stepOf, stepRange } from "#lib/report/palette.js";
import { summarise } from "#lib/report/sections/matrix.js";
import { SeriesTable } from "#lib/report/series.js";

const HOSTILE = `</title></style><script>alert(1)</script><img src=x onerror="alert(2)">'"&`;

describe("html templates", () => {
  it("keep every value as text, in content and in quoted attributes", () => {
    const markup = html`<p title="${HOSTILE}">${[HOSTILE, html`<b>${HOSTILE}</b>`]}</p>`.markup;
    assert.equal(markup.match(/<(?!\/?(?:p|b)\b)/g), null);
    assert.ok(!markup.includes('onerror="'));
  });
});

describe("the palette", () => {
  it("reads at a contrast of 4.5 or more on every step of both themes, and series at 3", () => {
    for (const theme of [LIGHT, DARK]) {
      assert.equal(theme.steps.length, 2 * STEPS_A_SIDE + 1);
      for (const { fill, text } of theme.steps)
        assert.ok(contrast(fill, text) >= 4.5, `${text} on ${fill}: ${contrast(fill, text)}`);
      for (const ink of [theme.text, theme.muted, theme.accent])
        for (const surface of [theme.surface, theme.panel])
          assert.ok(contrast(surface, ink) >= 4.5, `${ink} on ${surface}`);
      for (const colour of [...theme.series, theme.edge]) assert.ok(contrast(theme.surface, colour) >= 3, colour);
    }
    assert.equal(contrast("#000000", "#ffffff"), 21);
  });

  it("gives opposite values opposite steps, zero the middle, and the ends to the largest", () => {
    assert.equal(stepOf(0, 40), 0);
    assert.equal(stepOf(40, 40), STEPS_A_SIDE);
    assert.equal(stepOf(-40, 40), -STEPS_A_SIDE);
    assert.equal(stepOf(4, 40), -stepOf(-4, 40));
    assert.ok(stepOf(4, 40) > 0, "a tenth of the largest still shows");
    for (let step = 0; step <= STEPS_A_SIDE; ++step) {
      const [low, high] = stepRange(step, 40);
      assert.equal(stepOf((low + high) / 2, 40), step);
    }
  });
});

describe("numbers", () => {
  it("have a true minus, no sign at zero, and decimals by size", () => {
    assert.deepEqual(
      [1.25, -0.444, 0.001, -123.4, 0].map((value) => formatDelta(value, "nats")),
      ["+1.3", "−0.44", "0.00", "−123", "0.00"],
    );
    assert.equal(formatDelta(-0.123, "share"), "−12.3");
    assert.equal(formatLevel(0.625, "share"), "62.5\u00a0%");
    assert.equal(formatInterval(-0.5, 2, "nats"), "−0.50 … +2.0");
    assert.equal(formatInterval(null, 2, "nats"), "no interval");
    assert.equal(formatDelta(null, "nats"), "–");
    assert.deepEqual([formatP(0.0002), formatP(0.0456)], ["< 0.001", "0.046"]);
    assert.equal(joinWords(["a", "b", "c"]), "a, b and c");
  });
});

describe("a grid", () => {
  const cell = { low: 1, high: 3, unit: "nats", own: false, detail: null } as const;

  it("shows number, interval and verdict of each cell, and why a cell is blank", () => {
    const { markup } = renderGrid({
      caption: HOSTILE,
      corner: "",
      rows: ["r"],
      columns: ["a", "b", "c", "d"],
      cells: [
        [
          { ...cell, value: 2, verdict: "different", detail: 7 },
          { ...cell, value: 1.5, verdict: "undecided" },
          { ...cell, value: 0.1, verdict: "equivalent" },
          "the target did not move",
        ],
      ],
    });
    assert.ok(markup.includes('clear" data-cell="7"><b>+2.0</b><i>+1.0 … +3.0</i>'), markup);
    assert.ok(markup.includes("<b>+1.5<sup>?</sup></b>") && markup.includes("<b>+0.10<sup>≈</sup></b>"));
    assert.ok(markup.includes('class="blank"><span class="vh">no number: the target did not move</span>'));
    assert.ok(!/<script|<img/.test(markup));
  });

  it("scales colours within a unit, so that rows of one unit compare", () => {
    const steps = (units: readonly ["nats" | "share", "nats" | "share"]): string[] => {
      const row = (value: number, unit: "nats" | "share") => [{ ...cell, unit, value, verdict: "different" as const }];
      const { markup } = renderGrid({
        caption: "",
        corner: "",
        rows: ["r", "s"],
        columns: ["a"],
        cells: [row(100, units[0]), row(1, units[1])],
      });
      return [...markup.matchAll(/<td class="s(\d+)/g)].map(([, at]) => at!);
    };
    assert.deepEqual(steps(["nats", "nats"]), ["10", "6"]);
    assert.deepEqual(steps(["nats", "share"]), ["10", "10"]);
  });
});

describe("summarise", () => {
  it("names the value's own shift and only those others that are clear of zero", () => {
    const table = new SeriesTable();
    const add = (adapter: string, task: string, shift: number): void => {
      for (const at of [0, 1, 2, 3])
        table.add({
          model: "m",
          adapter,
          suite: "persona",
          task,
          metric: "log_margin",
          item: `${task}${at}`,
          cluster: `${task}${at}`,
          y: shift + at - 1.5,
        });
    };
    for (const task of ["kind", "vain", "calm"]) add("base", task, 0);
    add("kind", "kind", 10);
    add("kind", "vain", -5);
    add("kind", "calm", 0);
    const [sentence] = summarise(collectResults(table));
    assert.match(
      sentence!,
      /^Inducing kind moved it by \+10\.0 nats \[\+10\.0, \+10\.0\]; along with it moved vain −5\.0\.$/,
    );
  });
});
