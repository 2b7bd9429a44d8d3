/// <reference lib="dom" />
/** The report page in a real browser: keys, hostile text, both themes, no script, paper, a phone. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import { writeReport } from "#lib/report/write-report.js";
import { NO_CHROMIUM, openBrowser } from "./chromium.js";
import { SMALL, writeSimulatedStudy } from "./simulated-study.js";

const HOSTILE = `</script><script>window.hacked=1</script><img src=x onerror="window.hacked=2"><!--`;

describe("the report page in a browser", { skip: NO_CHROMIUM }, () => {
  let folder = "";
  let browser: Browser;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "valora-report-"));
    await writeSimulatedStudy(folder, {
      ...SMALL,
      values: [...SMALL.values, `kind ${HOSTILE}`],
      seeds: 2,
      pairs: 12,
      prompts: 12,
      hostile: HOSTILE,
    });
    await writeReport(folder);
    browser = await openBrowser();
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Opens the page; whatever it complains of, or asks the network for, fails the test. */
  async function visit(options: BrowserContextOptions, body: (page: Page) => Promise<void>): Promise<void> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    try {
      const page = await context.newPage();
      const complaints: string[] = [];
      const url = pathToFileURL(join(folder, "report.html")).href;
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(String(error)));
      page.on("request", (request) => {
        if (request.url().split("#")[0] !== url) complaints.push(`asks for ${request.url()}`);
      });
      await page.goto(url);
      await body(page);
      assert.equal(await page.evaluate(() => (window as { hacked?: number }).hacked).catch(() => undefined), undefined);
      assert.deepEqual(complaints, []);
    } finally {
      await context.close();
    }
  }

  it("walks the heat map by arrow keys, opens a cell with its interval, runs and examples, and comes back", async () => {
    await visit({}, async (page) => {
      const place = () =>
        page.evaluate(() => {
          const cell = document.activeElement as HTMLTableCellElement;
          return [(cell.parentElement as HTMLTableRowElement).rowIndex, cell.cellIndex];
        });
      await page.locator("#matrix .view:not([hidden]) table.heat td[tabindex='0']").focus();
      assert.deepEqual(await place(), [1, 1]);
      for (const [key, wanted] of [
        ["ArrowRight", [1, 2]],
        ["ArrowDown", [2, 2]],
        ["ArrowLeft", [2, 1]],
        ["ArrowUp", [1, 1]],
        ["ArrowUp", [1, 1]],
        ["End", [1, 7]],
        ["Control+Home", [1, 1]],
      ] as const) {
        await page.keyboard.press(key);
        assert.deepEqual(await place(), wanted, key);
      }
      assert.equal(await page.locator("#matrix .view:not([hidden]) td[tabindex='0']").count(), 1);
      await page.keyboard.press("Enter");
      const dialog = page.locator("dialog[open]");
      const text = (await textOf(dialog)).replaceAll("\u00a0", " ");
      const inCell = await textOf(page.locator("#matrix .view:not([hidden]) table.heat td b").first());
      assert.ok(text.includes("empathy → empathy") && text.includes(inCell.replace(/[?≈]$/, "")), text.slice(0, 300));
      assert.match(text, /95 % interval \+\d/);
      assert.match(text, /seed 0 \+\d.*seed 1 \+\d/);
      assert.match(text, /nearest to the mean: .*→/);
      assert.ok(text.includes("A reply that shows empathy"));
      await page.keyboard.press("Escape");
      assert.equal(await page.locator("dialog[open]").count(), 0);
      assert.deepEqual(await place(), [1, 1]);
    });
  });

  it("shows a hostile title, name, prompt and answer as the text that it is", async () => {
    await visit({}, async (page) => {
      assert.equal(await page.title(), HOSTILE);
      assert.equal(await textOf(page.locator("h1")), HOSTILE);
      await page.locator("#safety .view:not([hidden]) td[data-cell]").first().click();
      const text = await textOf(page.locator("dialog[open]"));
      assert.ok(text.includes(`${HOSTILE}Request`) && text.includes(`${HOSTILE}The answer of`), text.slice(0, 600));
      await page.keyboard.press("Escape");
      await page.locator("#controls .view:not([hidden]) .chart").scrollIntoViewIfNeeded();
      await page.locator("#controls .view:not([hidden]) .chart svg").waitFor();
      await page.locator("#controls .chart svg path").nth(8).hover({ force: true });
      assert.equal(await page.locator("img").count(), 0);
    });
  });

  it("draws every chart that is shown, with a mark for each number of its spec", async () => {
    await visit({}, async (page) => {
      for (const chart of await page.locator(".view:not([hidden]) .chart").all()) {
        await chart.evaluate((node) => node.scrollIntoView({ behavior: "instant" }));
        await chart.locator("svg").waitFor();
      }
      const charts = await page.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>(".view:not([hidden]) .chart")].map((node) => ({
          name: node.dataset.chart!,
          text: node.querySelector("svg")?.textContent ?? "",
          label: node.getAttribute("aria-label") ?? "",
        })),
      );
      assert.ok(charts.length >= 6, JSON.stringify(charts.map(({ name }) => name)));
      for (const { name, text, label } of charts) {
        assert.ok(text.includes("honesty") && text.includes("deception"), `${name}: ${text}`);
        assert.ok(label.length > 20, name);
      }
    });
  });

  it("offers only the labels that differ, and shows one view that has what was chosen", async () => {
    await visit({}, async (page) => {
      const choices = page.locator("#matrix .choices label");
      assert.deepEqual(await choices.allInnerTexts().then((texts) => texts.map((text) => text.split("\n")[0])), [
        "Arm",
        "Measure",
        "Scale",
      ]);
      await page.locator("#matrix .choices select").nth(0).selectOption("random");
      await page.locator("#matrix .choices select").nth(2).selectOption("per unit of on-target shift");
      const caption = await textOf(page.locator("#matrix .view:not([hidden]) caption"));
      assert.ok(caption.includes("arm random") && caption.includes("per unit"), caption);
      assert.equal(await page.locator("#matrix .view:not([hidden])").count(), 1);
    });
  });

  for (const colorScheme of ["light", "dark"] as const)
    it(`has a contrast of 4.5 or more for all text in the ${colorScheme} theme`, async () => {
      await visit({ colorScheme }, async (page) => {
        await page.locator("#matrix .view:not([hidden]) td[data-cell]").first().click();
        const poor = await page.evaluate(findPoorContrast);
        assert.deepEqual(poor.list, []);
        assert.ok(poor.checked > 300, String(poor.checked));
      });
    });

  it("reads without a script: every view is there, as tables", async () => {
    await visit({ javaScriptEnabled: false }, async (page) => {
      const views = await page.locator("#matrix .view").count();
      assert.ok(views >= 8);
      for (let at = 0; at < views; ++at)
        assert.ok(await page.locator("#matrix .view").nth(at).locator("table").isVisible());
      assert.ok(await page.locator("noscript p").isVisible());
    });
  });

  it("fits a phone: nothing but tables scrolls sideways, and tables scroll by themselves", async () => {
    await visit({ viewport: { width: 360, height: 740 } }, async (page) => {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 360, String(width));
    });
  });

  it("prints on A4 with every shown chart whole and no chart of a hidden view", async () => {
    await visit({}, async (page) => {
      const pdf = await page.pdf({ format: "A4", preferCSSPageSize: true });
      assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
      await page.emulateMedia({ media: "print" });
      await page.setViewportSize({ width: 695, height: 1000 });
      // Redrawn for the sheet, light, and none wider than it.
      await page.waitForFunction(() =>
        [...document.querySelectorAll(".view:not([hidden]) .chart")].every((node) => {
          const right = node.querySelector("svg")?.getBoundingClientRect().right ?? Number.POSITIVE_INFINITY;
          return right <= 696;
        }),
      );
      assert.ok((await page.locator(".view:not([hidden]) .chart svg").count()) >= 6);
      assert.equal(await page.locator(".view[hidden] .chart svg").count(), 0);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 696);
    });
  });
});

async function textOf(place: Locator): Promise<string> {
  return (await place.textContent()) ?? "";
}

/** Runs in the page: WCAG contrast of every piece of text against the nearest background behind it. */
function findPoorContrast(): { checked: number; list: string[] } {
  const parse = (colour: string): number[] => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r = 0, g = 0, b = 0]: number[]): number => {
    const [x, y, z] = [r, g, b].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (start: Element): number[] => {
    for (let node: Element | null = start; node !== null; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if ((colour[3] ?? 1) > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const list: string[] = [];
  let checked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text !== null; text = walker.nextNode()) {
    const node = text.parentElement!;
    if ((text.textContent ?? "").trim() === "" || node.closest("script,style,noscript,svg") !== null) continue;
    if (!node.checkVisibility()) continue;
    const pair = [luminance(parse(getComputedStyle(node).color)), luminance(behind(node))].sort((a, b) => a - b);
    const ratio = (pair[1]! + 0.05) / (pair[0]! + 0.05);
    checked += 1;
    if (!(ratio >= 4.5))
      list.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className}: ${text.textContent!.slice(0, 40)}`);
  }
  return { checked, list: [...new Set(list)].slice(0, 20) };
}
