/**
 * Blinded annotation: what the table says and does not say, that spreadsheets open it, and what annotators' picks come to.
 *
 * Seen failing: with items in the order of the values, with the response's other values among the distractors, without the
 * apostrophe before a formula, with the intersection counted over items that have none, and with line feeds unquoted.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { readRecords } from "#lib/data/records.js";
import { DataFormatError } from "#lib/errors.js";
import { compareAnnotators } from "#lib/precision/annotation/compare.js";
import { annotationCsv, type Picks, readPicks } from "#lib/precision/annotation/csv.js";
import { type KeyEntry, makeItems } from "#lib/precision/annotation/items.js";
import { keyText, readKey } from "#lib/precision/annotation/key.js";
import { generator } from "../curation/support.js";
import { withFolder } from "../engine/support.js";

const VALUES = ["a", "b", "c", "d", "e", "f"];

function pairs(count: number) {
  const random = generator(5);
  const some = (): string[] => VALUES.filter(() => random() < 0.25);
  return Array.from({ length: count }, (_, index) => ({
    id: `p${index}`,
    source: "s",
    extractor: "lexicon@1",
    prompt: [{ role: "user", content: `question ${index}` }],
    chosen: `chosen ${index}`,
    rejected: `rejected ${index}`,
    values: { chosen: some(), rejected: some() },
  }));
}

const OPTIONS = { values: VALUES, perValue: 20, choices: 4, seed: 3 };

describe("items for annotators", () => {
  test("show the extractor's value among others that it did not find, in no telling order", async () => {
    const all = pairs(400);
    const { items, key } = await makeItems(all, OPTIONS);
    assert.equal(items.length, 6 * 20);
    const byId = new Map(all.map((pair) => [pair.id, pair]));
    const places = new Map<number, number>();
    for (const [index, entry] of key.entries()) {
      const { item, prompt, response, labels } = items[index]!;
      const pair = byId.get(entry.pair)!;
      assert.equal(item, entry.item);
      assert.deepEqual([prompt, response], [pair.prompt[0]!.content, pair[entry.side]]);
      assert.equal(new Set(labels).size, 4);
      assert.deepEqual(
        labels.filter((label) => pair.values[entry.side].includes(label)),
        [entry.target],
      );
      const place = labels.indexOf(entry.target);
      places.set(place, (places.get(place) ?? 0) + 1);
    }
    for (const value of VALUES) assert.equal(key.filter(({ target }) => target === value).length, 20, value);
    // 120 in four places: 30 each, with a deviation of 4.7.
    for (const [place, count] of places) assert.ok(Math.abs(count - 30) <= 20, `place ${place}: ${count}`);
    // Values follow one another as in a shuffled deck: of 119 neighbours about 19 are alike, in sorted order 114.
    const alike = key.filter(({ target }, index) => target === key[index - 1]?.target).length;
    assert.ok(alike < 40, String(alike));
  });

  test("are a random sample that another seed draws otherwise, and that holds the smaller one", async () => {
    const all = pairs(400);
    const ids = async (change: object) =>
      new Set(
        (await makeItems(all, { ...OPTIONS, ...change })).key.map(
          ({ pair, side, target }) => `${pair} ${side} ${target}`,
        ),
      );
    const [small, large, other] = [await ids({ perValue: 5 }), await ids({}), await ids({ seed: 4 })];
    assert.deepEqual(await ids({}), large);
    for (const id of small) assert.ok(large.has(id), id);
    assert.notDeepEqual(other, large);
  });

  test("are not made of a response with so many values that too few others are left to show", async () => {
    const [pair] = pairs(1);
    const one = (chosen: string[]) => ({ ...pair!, values: { chosen, rejected: [] } });
    assert.equal((await makeItems([one(["a", "b", "c"])], OPTIONS)).items.length, 3);
    await assert.rejects(makeItems([one(["a", "b", "c", "d"])], OPTIONS), DataFormatError);
  });

  test("are refused where pairs are not labelled, or have none of the values", async () => {
    const [pair] = pairs(1);
    await assert.rejects(makeItems([{ ...pair!, values: undefined } as never], OPTIONS), /label the file first/);
    const none = { ...pair!, values: { chosen: [], rejected: ["z"] } };
    await assert.rejects(makeItems([none], OPTIONS), DataFormatError);
  });
});

describe("the table", () => {
  const items = [
    { item: "item-1", prompt: "=1+1", response: '+cmd|" /C calc"!A0', labels: ["a", "b", "c", "d"] },
    { item: "item-2", prompt: 'two\nlines, "quoted"; and é', response: "@sum", labels: ["b", "c", "d", "a"] },
    { item: "item-3", prompt: "-2", response: `x${"y".repeat(40_000)}`, labels: ["c", "a", "b", "d"] },
  ];
  const key = new Map(
    items.map(({ item, labels }): [string, KeyEntry] => [
      item,
      { item, target: labels[0]!, labels, pair: "p", side: "chosen", source: "", extractor: "lexicon@1" },
    ]),
  );

  test("opens in a spreadsheet: byte-order mark, CRLF, quotes, no formula, no cell that is cut without a word", () => {
    const csv = annotationCsv(items);
    assert.ok(csv.startsWith("\ufeffitem,prompt,response,label_1,label_2,label_3,label_4,picked\r\n"));
    assert.ok(csv.includes(`item-1,'=1+1,"'+cmd|"" /C calc""!A0",a,b,c,d,\r\n`), csv.slice(0, 300));
    assert.ok(csv.includes(`"two\nlines, ""quoted""; and é",'@sum`));
    assert.ok(csv.includes("item-3,'-2,x"));
    assert.ok(csv.includes("yyy […],c,a"));
    for (const cell of csv.split(/[\r\n,]+/)) assert.ok(!/^"?[=+@]/.test(cell), cell.slice(0, 40));
    assert.ok(Math.max(...csv.split(",").map((cell) => cell.length)) <= 32_767);
  });

  test("has a row an item, whatever line breaks its texts have", async () => {
    await withFolder(async (folder) => {
      const texts = ["two\nlines", "\n", "a paragraph\n\nand another", "old\rMac", "Windows\r\nlines", "plain"];
      const broken = texts.map((text, index) => ({
        ...items[0]!,
        item: `item-${index}`,
        prompt: text,
        response: text,
      }));
      const path = join(folder, "table.csv");
      writeFileSync(path, annotationCsv(broken));
      const read: unknown[] = [];
      for await (const { value } of readRecords(path)) read.push([value.item, value.prompt, value.response]);
      assert.deepEqual(
        read,
        broken.map(({ item, prompt, response }) => [item, prompt, response]),
      );
    });
  });

  test("tells neither extractor nor side nor which label is the extractor's", () => {
    const csv = annotationCsv(items);
    for (const word of ["lexicon", "chosen", "rejected", "target"]) assert.ok(!csv.includes(word), word);
  });

  test("is read again as annotators leave it: numbers, names, none, several, and rows left out", async () => {
    await withFolder(async (folder) => {
      const read = async (text: string) => {
        writeFileSync(join(folder, "t.csv"), text);
        return Object.fromEntries(
          [...(await readPicks(join(folder, "t.csv"), key))].map(([item, of]) => [item, [...of]]),
        );
      };
      const filled = annotationCsv(items)
        .replace(/,d,\r\n/, ",d,3\r\n")
        .replace(/,a,\r\n/, ',a,"1, 4"\r\n');
      assert.deepEqual(await read(filled), { "item-1": ["c"], "item-2": ["b", "a"] });
      const table = (...rows: string[]) => ["item,picked", ...rows].join("\n");
      assert.deepEqual(await read(table("item-1,none", "item-2,2.0", "item-3,b;c")), {
        "item-1": [],
        "item-2": ["c"],
        "item-3": ["b", "c"],
      });
      assert.deepEqual(await read("item;picked\nitem-3;0\nitem-1;A\n"), { "item-3": [], "item-1": ["a"] });
      await assert.rejects(read(table("item-1,5")), /t\.csv, line 2: picked has to be numbers from 1 to 4.*not "5"/);
      await assert.rejects(read(table("item-9,1")), /no item "item-9"/);
      await assert.rejects(read(table("item-1,1", "item-1,2")), /line 3: item-1 is there twice/);
      await assert.rejects(read(table("item-1,")), /nothing is picked/);
      await assert.rejects(read("item,answer\nitem-1,1\n"), /no column "picked"/);
      writeFileSync(join(folder, "k.jsonl"), keyText([...key.values()]));
      assert.deepEqual(await readKey(join(folder, "k.jsonl")), key);
      writeFileSync(join(folder, "k.jsonl"), keyText([{ ...key.get("item-1")!, target: "z" }]));
      await assert.rejects(readKey(join(folder, "k.jsonl")), /line 1: target "z"/);
    });
  });
});

describe("annotators' picks", () => {
  const entry = (item: string, target: string): [string, KeyEntry] => [
    item,
    { item, target, labels: ["a", "b", "c", "d"], pair: "p", side: "chosen", source: "", extractor: "x" },
  ];
  const picks = (of: Record<string, string>): Picks =>
    new Map(Object.entries(of).map(([item, labels]) => [item, new Set(labels === "" ? [] : labels.split(""))]));

  test("come to a precision each, in the union and in the intersection, beside chance", () => {
    const key = new Map([entry("1", "a"), entry("2", "a"), entry("3", "b"), entry("4", "b"), entry("5", "c")]);
    const report = compareAnnotators(
      key,
      [
        { name: "x", picks: picks({ 1: "a", 2: "b", 3: "bc", 4: "", 5: "c" }) },
        { name: "y", picks: picks({ 1: "a", 2: "a", 3: "c", 4: "b" }) },
      ],
      { seed: 1, resamples: 100 },
    );
    assert.deepEqual([report.items, report.unanswered], [4, 1]);
    assert.deepEqual(
      report.annotators.map(({ precision: { hits, random }, picked }) => [hits.value, random, picked]),
      [
        [2 / 4, 4 / 16, 4],
        [3 / 4, 4 / 16, 4],
      ],
    );
    // Unions: a, ab, bc, b; in common: a, –, c, –.
    assert.deepEqual([report.union.hits.value, report.union.random], [1, 6 / 16]);
    assert.deepEqual(
      [report.intersection.hits.value, report.intersection.hits.n, report.intersection.random],
      [1 / 2, 2, 1 / 4],
    );
    assert.deepEqual(
      report.values.map(({ value, items, intersection }) => [value, items, intersection.hits.n]),
      [
        ["a", 2, 1],
        ["b", 2, 1],
      ],
    );
    // 16 decisions: both yes 2, x alone 2, y alone 2, neither 10.
    const kappa = (12 / 16 - (4 * 4 + 12 * 12) / 256) / (1 - (4 * 4 + 12 * 12) / 256);
    assert.equal(report.agreement.length, 1);
    assert.ok(Math.abs(report.agreement[0]!.kappa.value - kappa) <= 1e-12);
  });

  test("agree by chance where they pick at random, wholly where they pick alike, with intervals that say so", () => {
    const random = generator(8);
    const key = new Map(Array.from({ length: 300 }, (_, index) => entry(String(index), "abcd"[index % 4]!)));
    const pick = (): string => "abcd"[Math.floor(random() * 4)]!;
    const anyone = () => picks(Object.fromEntries([...key.keys()].map((item) => [item, pick()])));
    const first = anyone();
    const report = compareAnnotators(
      key,
      [
        { name: "x", picks: first },
        { name: "y", picks: first },
        { name: "z", picks: anyone() },
      ],
      { seed: 2, resamples: 200 },
    );
    const [alike, other, , fleiss] = report.agreement;
    assert.equal(alike!.kappa.value, 1);
    assert.ok(other!.kappa.low < 0 && other!.kappa.high > 0 && other!.kappa.high < 0.2, JSON.stringify(other));
    assert.match(fleiss!.between, /all 3 \(Fleiss\)/);
    assert.ok(fleiss!.kappa.value > 0.2 && fleiss!.kappa.value < 0.5, JSON.stringify(fleiss));
    assert.ok(Math.abs(report.annotators[2]!.precision.hits.value - 0.25) <= 0.1);
    assert.equal(report.annotators[2]!.precision.random, 0.25);
  });
});
