/** Subsets of values: against brute force on random labels, split by prompt, sampled stably. */
import assert from "node:assert/strict";
import { readdirSync as readdir, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type CurateOptions, curate } from "#lib/curation/curate.js";
import { withFolder } from "../temporary-folder.js";
import { type CuratedPair, ids, type LabelledPair, randomPairs, readCsv, readCurated, writePairs } from "./support.js";

const VALUES = ["empathy", "honesty", "open-mindedness", "humor"];

async function curated(
  pairs: readonly object[],
  options: Partial<CurateOptions> = {},
): Promise<{ files: Map<string, CuratedPair[]>; counts: Record<string, string>[] }> {
  return withFolder(async (folder) => {
    const inputs = [writePairs(join(folder, "labelled.jsonl"), pairs)];
    const output = join(folder, "curated");
    await curate({ inputs, output, minPairs: 1, ...options });
    return { files: readCurated(output), counts: readCsv(join(output, "counts.csv")) };
  });
}

/** The subset of a value as the study defines it, written without regard to lib/. */
function bruteForce(pairs: readonly LabelledPair[], value: string): CuratedPair[] {
  const subset: CuratedPair[] = [];
  for (const pair of pairs) {
    const inPlus = new Set(pair.values.chosen).has(value);
    const inMinus = new Set(pair.values.rejected).has(value);
    if (inPlus && !inMinus) subset.push({ ...pair, value, flipped: false });
    if (!inPlus && inMinus)
      subset.push({
        ...pair,
        chosen: pair.rejected,
        rejected: pair.chosen,
        values: { chosen: pair.values.rejected, rejected: pair.values.chosen },
        value,
        flipped: true,
      });
  }
  return subset;
}

const withoutArm = ({ arm: _, ...pair }: CuratedPair & { arm?: unknown }): object => pair;

describe("a value's subset", () => {
  for (const seed of [1, 2, 3]) {
    it(`is the pairs with the value on exactly one side, flipped where that is the rejected one (labels ${seed})`, async () => {
      const pairs = randomPairs({ count: 400, seed, values: VALUES });
      const { files, counts } = await curated(pairs, { heldOut: 0 });
      assert.deepEqual([...files.keys()].sort(), VALUES.map((value) => `${value}.jsonl`).sort());
      for (const value of VALUES) {
        const expected = bruteForce(pairs, value);
        assert.deepEqual(files.get(`${value}.jsonl`)!.map(withoutArm), expected);
        const flipped = expected.filter((pair) => pair.flipped).length;
        assert.deepEqual(
          counts.find((row) => row.value === value),
          {
            value,
            chosen: String(expected.length - flipped),
            rejected: String(flipped),
            total: String(expected.length),
            pairs: String(expected.length),
            flipped_share: String(Number((flipped / expected.length).toPrecision(6))),
          },
        );
      }
      const totals = counts.map(({ total }) => Number(total));
      assert.deepEqual(
        totals,
        [...totals].sort((a, b) => b - a),
        "the most frequent value comes first",
      );
    });
  }

  it("has every field of a side exchanged with it, scores and tokens too", async () => {
    const pair = {
      id: "p",
      prompt_tokens: [1],
      chosen_tokens: [2, 3],
      rejected_tokens: [4],
      chosen_rating: 5,
      values: { chosen: [], rejected: ["humor"] },
      scores: { chosen: { humor: 0.1 }, rejected: { humor: 0.9 } },
      note: "kept",
    };
    const { files } = await curated([pair], { heldOut: 0 });
    assert.deepEqual(files.get("humor.jsonl"), [
      {
        id: "p",
        prompt_tokens: [1],
        chosen_tokens: [4],
        rejected_tokens: [2, 3],
        rejected_rating: 5,
        values: { chosen: ["humor"], rejected: [] },
        scores: { chosen: { humor: 0.9 }, rejected: { humor: 0.1 } },
        note: "kept",
        value: "humor",
        flipped: true,
        arm: "induce",
      },
    ]);
  });

  it("follows --threshold where there are scores, and the labels where there are none", async () => {
    const [one, two, three] = randomPairs({ count: 3, seed: 1, values: [] });
    const pairs = [
      {
        ...one,
        scores: { chosen: { humor: 0.9 }, rejected: { humor: 0.6 } },
        values: { chosen: ["humor"], rejected: ["humor"] },
      },
      { ...two, values: { chosen: [], rejected: ["humor"] } },
      { ...three, scores: { chosen: { humor: 0.7 }, rejected: {} }, values: { chosen: ["humor"], rejected: [] } },
    ];
    const at = async (threshold?: number): Promise<string[]> =>
      ids((await curated(pairs, { heldOut: 0, ...(threshold && { threshold }) })).files.get("humor.jsonl"));
    assert.deepEqual(await at(), ["p1", "p2"]);
    assert.deepEqual(await at(0.8), ["p0", "p1"]);
    assert.deepEqual(await at(0.7), ["p0", "p1", "p2"]);
  });

  it("is left out where it has fewer pairs than asked for", async () => {
    const pairs = randomPairs({ count: 300, seed: 1, values: VALUES });
    const sizes = VALUES.map((value) => bruteForce(pairs, value).length);
    const minPairs = Math.max(...sizes);
    const { counts } = await curated(pairs, { minPairs });
    assert.deepEqual(
      counts.map(({ value }) => value),
      VALUES.filter((_, index) => sizes[index] === minPairs),
    );
  });

  it("comes in the order of --value where values are asked for", async () => {
    const pairs = randomPairs({ count: 300, seed: 1, values: VALUES });
    const { counts } = await curated(pairs, { values: ["humor", "empathy", "nonesuch"] });
    assert.deepEqual(
      counts.map(({ value }) => value),
      ["humor", "empathy"],
    );
  });
});

describe("duplicates", () => {
  it("are left out, whatever their case, spaces and order of responses", async () => {
    const [pair] = randomPairs({ count: 1, seed: 1, values: [] });
    const labelled = { ...pair!, values: { chosen: ["humor"], rejected: [] } };
    const pairs = [
      labelled,
      { ...labelled, id: "spaces", prompt: `  ${pair!.prompt.toUpperCase().replaceAll(" ", "\n")} ` },
      { ...labelled, id: "exchanged", chosen: pair!.rejected, rejected: pair!.chosen },
      { ...labelled, id: "message", prompt: [{ role: "user", content: pair!.prompt }] },
      { ...labelled, id: "nearly", chosen: `${sentence40}`, rejected: pair!.rejected },
      { ...labelled, id: "nearly the same", chosen: `${sentence40} indeed`, rejected: pair!.rejected },
      { ...labelled, id: "other chosen", chosen: "something else altogether" },
    ];
    const kept = async (nearDuplicates: number | null): Promise<string[]> =>
      ids((await curated(pairs, { heldOut: 0, nearDuplicates })).files.get("humor.jsonl"));
    assert.deepEqual(await kept(0.8), ["p0", "nearly", "other chosen"]);
    assert.deepEqual(await kept(null), ["p0", "nearly", "nearly the same", "other chosen"]);
  });
});

const sentence40 = Array.from({ length: 40 }, (_, index) => `word${index}`).join(" ");

describe("the split", () => {
  it("has no prompt, and no near-duplicate of one, in two parts, over all values and arms", async () => {
    const pairs = randomPairs({ count: 600, seed: 5, values: VALUES, prompts: 80 });
    // Every third pair asks with two words more, which changes less than a fifth of the shingles of 24 words.
    const asked = pairs.map((pair, index) => ({
      ...pair,
      prompt: `${pair.prompt} ${pair.prompt.split(" ").reverse().join(" ")}${index % 3 === 0 ? " thank you" : ""}`,
    }));
    const core = (prompt: string): string => prompt.replace(/ thank you$/, "");
    for (const arm of ["induce", "random"] as const) {
      const { files } = await curated(asked, { heldOut: 0.3, arm });
      const parts = [new Set<string>(), new Set<string>()];
      for (const [name, list] of files)
        for (const { prompt } of list) parts[name.endsWith(".held-out.jsonl") ? 1 : 0]!.add(core(prompt));
      assert.ok(parts[0]!.size > 40 && parts[1]!.size > 10, `${parts[0]!.size} and ${parts[1]!.size} prompts`);
      for (const prompt of parts[0]!) assert.ok(!parts[1]!.has(prompt), prompt);
    }
  });

  it("holds out about the share of prompts asked for, other ones under another seed", async () => {
    const pairs = randomPairs({ count: 1000, seed: 5, values: ["humor"] });
    const heldOut = async (seed: number): Promise<string[]> =>
      ids((await curated(pairs, { heldOut: 0.2, seed })).files.get("humor.held-out.jsonl"));
    const [one, two] = [await heldOut(1), await heldOut(2)];
    const expected = 0.2 * bruteForce(pairs, "humor").length;
    // Four standard deviations of a binomial.
    for (const part of [one, two]) assert.ok(!(Math.abs(part.length - expected) > 4 * Math.sqrt(0.8 * expected)));
    assert.ok(one.filter((id) => two.includes(id)).length < 0.5 * one.length);
  });
});

describe("a sample under --max-pairs", () => {
  it("is part of any larger one and of the whole, and mostly stays when data are added", async () => {
    const pairs = randomPairs({ count: 1500, seed: 9, values: VALUES });
    const sample = async (count: number, maxPairs?: number): Promise<string[]> =>
      ids((await curated(pairs.slice(0, count), { ...(maxPairs && { maxPairs }), seed: 4 })).files.get("humor.jsonl"));
    const [small, large, whole, less] = [
      await sample(1500, 100),
      await sample(1500, 200),
      await sample(1500),
      await sample(1350, 100),
    ];
    assert.equal(small.length, 100);
    assert.equal(large.length, 200);
    for (const id of small) assert.ok(large.includes(id));
    for (const id of large) assert.ok(whole.includes(id));
    // A tenth of new pairs takes about a tenth of the places.
    assert.ok(small.filter((id) => less.includes(id)).length >= 75);
  });

  it("is the same for the same seed, another for another, and another for another value", async () => {
    const pairs = randomPairs({ count: 800, seed: 9, values: ["humor"] }).map((pair) => ({
      ...pair,
      values: {
        chosen: pair.values.chosen.flatMap((value) => [value, "wit"]),
        rejected: pair.values.rejected.flatMap((value) => [value, "wit"]),
      },
    }));
    const sample = async (value: string, seed: number): Promise<string[]> =>
      ids((await curated(pairs, { maxPairs: 100, seed, heldOut: 0 })).files.get(`${value}.jsonl`));
    const first = await sample("humor", 1);
    assert.deepEqual(await sample("humor", 1), first);
    for (const other of [await sample("humor", 2), await sample("wit", 1)])
      assert.ok(other.filter((id) => first.includes(id)).length < 60);
  });
});

describe("a curated folder", () => {
  it("is the same, byte for byte, however often it is made", async () => {
    await withFolder(async (folder) => {
      const inputs = [writePairs(join(folder, "in.jsonl"), randomPairs({ count: 200, seed: 1, values: VALUES }))];
      for (const output of ["one", "two"])
        assert.notEqual(
          await curate({ inputs, output: join(folder, output), minPairs: 1, arm: "flipped-random" }),
          null,
        );
      for (const name of readdir(join(folder, "one")))
        assert.equal(readFileSync(join(folder, "one", name), "utf8"), readFileSync(join(folder, "two", name), "utf8"));
    });
  });
});
