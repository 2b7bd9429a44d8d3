/** The report page: hostile text stays text, nothing is loaded, both themes are legible, numbers are where they belong. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crosstalkMatrix, type PairMargin } from "#lib/metrics/crosstalk.js";
import { renderCrosstalkPage, summarise } from "#lib/report/crosstalk-page.js";
import { signed } from "#lib/report/heat-map.js";
import { html, renderPage } from "#lib/report/html.js";
import { contrast, DARK, LIGHT, STEPS_A_SIDE, stepOf, stepRange } from "#lib/report/palette.js";

const HOSTILE = `</title></style><script>alert(1)</script><img src=x onerror="alert(2)">'"&`;

function margins(adapter: string, value: string, shift: number): PairMargin[] {
  return [0, 1, 2, 3].map((index) => ({ adapter, value, pair: `${value}:${index}`, margin: shift + index - 1.5 }));
}

function page(name: string): string {
  const crosstalk = crosstalkMatrix([
    ...margins("base", name, 0),
    ...margins("base", "other", 0),
    ...margins(name, name, 12),
    ...margins(name, "other", 0),
  ]);
  return renderCrosstalkPage({
    title: name,
    crosstalk,
    prompt: name,
    answers: [{ adapter: name, text: name }],
    cuts: [name],
    facts: [[name, name]],
    files: [[name, name]],
    sources: [name],
  });
}

describe("html templates", () => {
  it("keep every value as text, in content and in quoted attributes", () => {
    const markup = html`<p title="${HOSTILE}">${[HOSTILE, html`<b>${HOSTILE}</b>`]}</p>`.markup;
    assert.equal(markup.match(/<(?!\/?(?:p|b)\b)/g), null);
    assert.ok(!markup.includes('onerror="'));
  });

  it("leave a whole page without a script or foreign element, whatever names and answers say", () => {
    const markup = page(HOSTILE);
    assert.ok(!/<script|<img|onerror="/i.test(markup));
    assert.equal(markup.match(/<style>/g)?.length, 1);
  });

  it("name a policy that loads nothing, and load nothing", () => {
    const markup = renderPage({ title: "t", style: "", body: html`<p></p>` });
    assert.ok(markup.includes("default-src 'none'"));
    assert.ok(!/(?:src|href)=|url\(|@import/i.test(page("kind")));
  });
});

describe("the heat map", () => {
  it("reads at a contrast of 4.5 or more on every step of both themes", () => {
    for (const theme of [LIGHT, DARK]) {
      assert.equal(theme.steps.length, 2 * STEPS_A_SIDE + 1);
      for (const { fill, text } of theme.steps)
        assert.ok(contrast(fill, text) >= 4.5, `${text} on ${fill}: ${contrast(fill, text)}`);
      for (const ink of [theme.text, theme.muted, theme.accent]) assert.ok(contrast(theme.surface, ink) >= 4.5, ink);
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

  it("shows each number and interval in the picture and again in a table", () => {
    const markup = page("kind");
    assert.equal(markup.match(/\+12\.0/g)!.length >= 4, true);
    assert.ok(markup.includes('<th scope="row">kind</th><td>other</td>'));
    assert.ok(markup.includes('role="img"') && markup.includes("prefers-color-scheme:dark"));
  });

  it("writes signs with a true minus and none at zero", () => {
    assert.deepEqual([signed(1.25), signed(-0.44), signed(0.01), signed(-123.4)], ["+1.3", "−0.4", "0.0", "−123"]);
  });
});

describe("summarise", () => {
  it("names the trait's own shift and only those others that are clear of zero", () => {
    const crosstalk = crosstalkMatrix([
      ...margins("base", "kind", 0),
      ...margins("base", "vain", 0),
      ...margins("base", "calm", 0),
      ...margins("kind", "kind", 10),
      ...margins("kind", "vain", -5),
      ...margins("kind", "calm", 0),
    ]);
    const [sentence] = summarise(crosstalk);
    assert.match(
      sentence!,
      /^Inducing kind moved its own held-out margin by \+10\.0 \[\+10\.0, \+10\.0\] nats and accuracy from 0\.50 to 1\.00; along with it moved vain −5\.0/,
    );
    assert.ok(!sentence!.includes("calm"));
  });
});
