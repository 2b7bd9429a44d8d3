/** The random arms: as many pairs, of the same sources and lengths, none of which the value tells apart. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Arm } from "#lib/curation/arms.js";
import { curate } from "#lib/curation/curate.js";
import { withFolder } from "../temporary-folder.js";
import {
  type CuratedPair,
  generator,
  ids,
  type LabelledPair,
  randomPairs,
  readCsv,
  readCurated,
  writePairs,
} from "./support.js";

const VALUE = "humor";

/** Humor goes with source b and with long chosen responses, so that a plain random sample would differ in both. */
function confounded(count: number): LabelledPair[] {
  const random = generator(11);
  return randomPairs({ count, seed: 4, values: ["honesty"], sources: ["a", "b"] }).map((pair) => {
    const longer = pair.chosen.length > pair.rejected.length;
    const likely = (pair.source === "b" ? 0.3 : 0.08) * (longer ? 1.5 : 0.7);
    const [plus, minus] = [random() < likely, random() < likely / 2];
    return {
      ...pair,
      values: {
        chosen: [...pair.values.chosen, ...(plus ? [VALUE] : [])],
        rejected: [...pair.values.rejected, ...(minus ? [VALUE] : [])],
      },
    };
  });
}

async function arms(pairs: readonly LabelledPair[], seed = 0) {
  return withFolder(async (folder) => {
    const inputs = [writePairs(join(folder, "labelled.jsonl"), pairs)];
    const made = {} as Record<Arm, Map<string, CuratedPair[]>>;
    let matching: Record<string, string>[] = [];
    for (const arm of ["induce", "unflipped", "random", "flipped-random"] as const) {
      const output = join(folder, arm);
      await curate({ inputs, output, values: [VALUE], minPairs: 1, heldOut: 0.2, arm, seed });
      made[arm] = readCurated(output);
      if (arm === "random") matching = readCsv(join(output, "matching.csv"));
    }
    return { made, matching };
  });
}

const words = (text: string): number => text.split(" ").length;
const difference = ({ chosen, rejected }: CuratedPair): number => words(chosen) - words(rejected);

function summary(pairs: readonly CuratedPair[]) {
  const mean = pairs.reduce((sum, pair) => sum + difference(pair), 0) / pairs.length;
  const sd = Math.sqrt(pairs.reduce((sum, pair) => sum + (difference(pair) - mean) ** 2, 0) / (pairs.length - 1));
  const total = pairs.reduce((sum, { chosen, rejected }) => sum + words(chosen) + words(rejected), 0) / pairs.length;
  const b = pairs.filter(({ source }) => source === "b").length;
  return { n: pairs.length, b, flipped: pairs.filter(({ flipped }) => flipped).length, mean, sd, total };
}

/** Largest distance of the two distribution functions of length difference (Kolmogorov and Smirnov). */
function distance(left: readonly CuratedPair[], right: readonly CuratedPair[]): number {
  const share = (pairs: readonly CuratedPair[], at: number): number =>
    pairs.filter((pair) => difference(pair) <= at).length / pairs.length;
  const places = [...new Set([...left, ...right].map(difference))];
  return Math.max(...places.map((at) => Math.abs(share(left, at) - share(right, at))));
}

describe("the random arms", () => {
  const pairs = confounded(4000);
  const made = arms(pairs);
  const exclusive = new Set(
    pairs.filter(({ values }) => values.chosen.includes(VALUE) !== values.rejected.includes(VALUE)).map(({ id }) => id),
  );

  for (const file of [`${VALUE}.jsonl`, `${VALUE}.held-out.jsonl`]) {
    for (const [arm, model] of [
      ["random", "unflipped"],
      ["flipped-random", "induce"],
    ] as const) {
      it(`match in number, source, flips and lengths: ${arm} ${model} (${file})`, async () => {
        const { made: files } = await made;
        const [control, wanted] = [files[arm].get(file)!, files[model].get(file)!];
        const [c, w] = [summary(control), summary(wanted)];
        assert.deepEqual({ n: c.n, b: c.b, flipped: c.flipped }, { n: w.n, b: w.b, flipped: w.flipped });
        assert.ok(w.n > 100, `${w.n} pairs`);
        assert.ok(!(Math.abs(c.mean - w.mean) > 0.1 * w.sd), `mean ${c.mean}, wanted ${w.mean}`);
        assert.ok(!(Math.abs(c.sd / w.sd - 1) > 0.1), `sd ${c.sd}, wanted ${w.sd}`);
        assert.ok(!(Math.abs(c.total / w.total - 1) > 0.1), `total ${c.total}, wanted ${w.total}`);
        // Groups of a twentieth of 80 and more pairs cannot let the functions run apart much further.
        assert.ok(!(distance(control, wanted) > 0.1), `${distance(control, wanted)}`);
        for (const { id } of control) assert.ok(!exclusive.has(id), id);
      });
    }
  }

  it("differ from a plain random sample, which is what the matching is for", async () => {
    const { made: files } = await made;
    const wanted = summary(files.unflipped.get(`${VALUE}.jsonl`)!);
    const plain = summary(
      pairs.filter(({ id }) => !exclusive.has(id)).map((pair) => ({ ...pair, value: VALUE, flipped: false })),
    );
    assert.ok(Math.abs(plain.b / plain.n - wanted.b / wanted.n) > 0.1);
    assert.ok(Math.abs(plain.mean - wanted.mean) > 0.15 * wanted.sd);
  });

  it("are the same pairs with and without flips, as the induced ones are", async () => {
    const { made: files } = await made;
    for (const [flipped, plain] of [
      ["induce", "unflipped"],
      ["flipped-random", "random"],
    ] as const) {
      const [left, right] = [files[flipped].get(`${VALUE}.jsonl`)!, files[plain].get(`${VALUE}.jsonl`)!];
      assert.deepEqual(ids(left), ids(right));
      for (const [index, pair] of left.entries()) {
        assert.equal(pair.chosen, pair.flipped ? right[index]!.rejected : right[index]!.chosen);
        assert.equal(right[index]!.flipped, false);
      }
    }
  });

  it("use a pair once, and other pairs under another seed", async () => {
    const { made: files } = await made;
    const first = ids(files.random.get(`${VALUE}.jsonl`));
    assert.equal(new Set(first).size, first.length);
    const other = ids((await arms(pairs, 1)).made.random.get(`${VALUE}.jsonl`));
    assert.ok(other.filter((id) => first.includes(id)).length < 0.7 * first.length);
  });

  it("take the nearest pair, then another source's, where a stratum runs out, and say how many are missing", async () => {
    const rare = pairs.slice(0, 300).map((pair, index) => ({
      ...pair,
      // Source b has only pairs with the value; source a few without it.
      source: index % 3 === 0 ? "b" : "a",
      values: { chosen: index % 3 === 0 || index % 5 < 2 ? [VALUE] : [], rejected: [] },
    }));
    const { made: files, matching } = await arms(rare);
    for (const row of matching) {
      const file = `${VALUE}${row.part === "train" ? "" : ".held-out"}.jsonl`;
      const [drawn, wanted] = [files.random.get(file)!, files.induce.get(file)!];
      const count = (name: string): number => Number(row[name]);
      assert.equal(drawn.length, count("pairs"));
      assert.equal(count("same_stratum") + count("same_source") + count("other_source"), drawn.length);
      assert.equal(drawn.length + count("missing"), wanted.length);
      // The pool is smaller than the subset, so all of it is used.
      assert.ok(count("missing") > 0 && count("same_source") > 0 && count("other_source") > 0);
      for (const { source } of drawn) assert.equal(source, "a");
    }
  });
});
