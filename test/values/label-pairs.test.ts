/** The driver of extractors and its cache, with extractors whose every call is counted. */
import assert from "node:assert/strict";
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { PreferencePair } from "#lib/data/pairs.js";
import { CancelledError, DataFormatError } from "#lib/errors.js";
import type { Extractor } from "#lib/values/extractor.js";
import { type LabelledPair, labelPairs } from "#lib/values/label-pairs.js";
import { ScoreCache } from "#lib/values/score-cache.js";
import { withFolder } from "../temporary-folder.js";
import { collect, fakeExtractor, pair, value } from "./support.js";

const VALUES = [value("warm"), value("cold")];
const PAIRS: PreferencePair[] = Array.from({ length: 57 }, (_, i) =>
  pair(`p${i}`, `answer ${i}${i % 2 === 0 ? " warm" : ""}`, `answer ${i} worse${i % 3 === 0 ? " cold" : ""}`),
);
const EXPECTED = PAIRS.map(({ id }, i) => ({
  id,
  values: { chosen: i % 2 === 0 ? ["warm"] : [], rejected: i % 3 === 0 ? ["cold"] : [] },
}));
const essence = (labelled: readonly LabelledPair[]) => labelled.map(({ id, values }) => ({ id, values }));

async function withCache<T>(extractor: Extractor, folder: string, body: (cache: ScoreCache) => Promise<T>): Promise<T> {
  const cache = await ScoreCache.open(extractor, folder);
  try {
    return await body(cache);
  } finally {
    await cache.close();
  }
}

describe("labelPairs", () => {
  test("labels every pair, in order, whatever the batch size and the number of calls at a time", async () => {
    for (const [batchSize, concurrency] of [
      [1, 1],
      [1, 5],
      [3, 2],
      [1000, 1],
      [7, 16],
    ] as const) {
      const extractor = fakeExtractor(VALUES, { batchSize, concurrency });
      const labelled = await collect(labelPairs(PAIRS, extractor, { values: VALUES }));
      assert.deepEqual(essence(labelled), EXPECTED, `${batchSize} × ${concurrency}`);
      assert.equal(extractor.asked.length, 2 * PAIRS.length);
      assert.ok(extractor.peak() <= concurrency);
      assert.equal(labelled[0]?.extractor, "fake@1");
      assert.deepEqual(labelled[0]?.scores, { chosen: { warm: 1 }, rejected: { cold: 1 } });
    }
  });

  test("runs several calls at once where the extractor allows it", async () => {
    const extractor = fakeExtractor(VALUES, { batchSize: 2, concurrency: 4 });
    await collect(labelPairs(PAIRS, extractor, { values: VALUES }));
    assert.equal(extractor.peak(), 4);
  });

  test("keeps a pair's other fields, and replaces labels that it brought along", async () => {
    const old = { ...pair("a", "warm", "x"), note: 7, values: { chosen: ["old"], rejected: [] }, extractor: "old@1" };
    const [labelled] = await collect(labelPairs([old], fakeExtractor(VALUES), { values: VALUES }));
    assert.deepEqual(labelled, {
      ...old,
      values: { chosen: ["warm"], rejected: [] },
      scores: { chosen: { warm: 1 }, rejected: {} },
      extractor: "fake@1",
    });
  });

  test("counts a value from the threshold on: the caller's, else the value's own, else the extractor's", async () => {
    const extractor = fakeExtractor(VALUES, {
      answer: () => ({ warm: 0.5, cold: 0.5 }),
      thresholds: { cold: 0.51 },
      threshold: 0.5,
    });
    const label = async (threshold?: number) =>
      (await collect(labelPairs([pair("a", "x", "y")], extractor, { values: VALUES, threshold })))[0]?.values.chosen;
    assert.deepEqual(await label(), ["warm"]);
    assert.deepEqual(await label(0.4), ["warm", "cold"]);
    assert.deepEqual(await label(0.6), []);
  });

  test("asks equal responses to equal prompts once, and the same text under another prompt again", async () => {
    const extractor = fakeExtractor(VALUES, { batchSize: 2 });
    const twins = [pair("a", "warm", "x"), pair("b", "x", "warm"), pair("c", "warm", "x", "other")];
    await withFolder((folder) =>
      withCache(extractor, folder, async (cache) => {
        const labelled = await collect(labelPairs(twins, extractor, { values: VALUES, cache }));
        assert.deepEqual(
          labelled.map(({ values }) => values),
          [
            { chosen: ["warm"], rejected: [] },
            { chosen: [], rejected: ["warm"] },
            { chosen: ["warm"], rejected: [] },
          ],
        );
      }),
    );
    assert.equal(extractor.asked.length, 4);
  });

  test("asks nothing twice after it was stopped half-way, and then gives what an undisturbed run gives", async () => {
    await withFolder(async (folder) => {
      const first = fakeExtractor(VALUES);
      const stop = new AbortController();
      await withCache(first, folder, async (cache) => {
        const run = collect(
          labelPairs(PAIRS, first, {
            values: VALUES,
            cache,
            signal: stop.signal,
            onProgress: ({ pairs }) => {
              if (pairs === 20) stop.abort();
            },
          }),
        );
        await assert.rejects(run, CancelledError);
      });
      assert.ok(first.asked.length >= 40 && first.asked.length < 2 * PAIRS.length);
      const second = fakeExtractor(VALUES);
      const labelled = await withCache(second, folder, (cache) =>
        collect(labelPairs(PAIRS, second, { values: VALUES, cache })),
      );
      assert.deepEqual(essence(labelled), EXPECTED);
      const all = [...first.asked, ...second.asked].map(({ response }) => response);
      assert.equal(new Set(all).size, 2 * PAIRS.length);
      assert.equal(all.length, 2 * PAIRS.length, "a response was asked twice");
    });
  });

  test("keeps what was answered when the loop is left early", async () => {
    await withFolder(async (folder) => {
      const first = fakeExtractor(VALUES);
      await withCache(first, folder, async (cache) => {
        for await (const { id } of labelPairs(PAIRS, first, { values: VALUES, cache })) if (id === "p9") break;
      });
      const second = fakeExtractor(VALUES);
      await withCache(second, folder, (cache) => collect(labelPairs(PAIRS, second, { values: VALUES, cache })));
      assert.equal(first.asked.length + second.asked.length, 2 * PAIRS.length);
    });
  });

  test("waits, when it is left, for the answers of calls that cannot be stopped, and keeps them", async () => {
    await withFolder(async (folder) => {
      let asked = 0;
      const stubborn = fakeExtractor(VALUES, {
        score: async (batch) => {
          await new Promise((resolve) => setTimeout(resolve, 30));
          asked += batch.length;
          return batch.map(() => ({}));
        },
      });
      await withCache(stubborn, folder, async (cache) => {
        for await (const _ of labelPairs(PAIRS, stubborn, { values: VALUES, cache })) break;
      });
      await withCache(stubborn, folder, (cache) => collect(labelPairs(PAIRS, stubborn, { values: VALUES, cache })));
      assert.equal(asked, 2 * PAIRS.length);
    });
  });

  test("asks only for values that were not asked before, and again where a definition has changed", async () => {
    await withFolder(async (folder) => {
      const run = async (values: typeof VALUES) => {
        const extractor = fakeExtractor(values);
        const labelled = await withCache(extractor, folder, (cache) =>
          collect(labelPairs(PAIRS.slice(0, 3), extractor, { values, cache })),
        );
        return { labelled, asked: extractor.asked.map(({ values: names }) => names.join()) };
      };
      assert.deepEqual(new Set((await run([VALUES[0]!])).asked), new Set(["warm"]));
      const both = await run(VALUES);
      assert.deepEqual(new Set(both.asked), new Set(["cold"]));
      assert.deepEqual(essence(both.labelled), EXPECTED.slice(0, 3));
      assert.deepEqual((await run(VALUES)).asked, []);
      assert.equal((await run([value("warm", "Another meaning."), VALUES[1]!])).asked.length, 6);
    });
  });

  test("does not take answers that another extractor, or another setting of it, has given", async () => {
    await withFolder(async (folder) => {
      for (const options of [{}, { settings: { prompt: 2 } }, { name: "fake@2" }]) {
        const extractor = fakeExtractor(VALUES, options);
        await withCache(extractor, folder, (cache) => collect(labelPairs(PAIRS, extractor, { values: VALUES, cache })));
        assert.equal(extractor.asked.length, 2 * PAIRS.length);
      }
      assert.equal(readdirSync(folder).length, 3);
    });
  });

  test("leaves out, or fails at, a response that cannot be scored and a pair without text", async () => {
    const extractor = fakeExtractor(VALUES, {
      answer: ({ response }) => (response === "bad" ? new DataFormatError("no answer to this") : { warm: 1 }),
    });
    const pairs: PreferencePair[] = [
      pair("a", "fine", "fine"),
      pair("b", "fine", "bad"),
      { id: "c", prompt_tokens: [1], chosen_tokens: [2], rejected_tokens: [3] },
      pair("d", "fine", "fine"),
    ];
    const skipped: string[] = [];
    const labelled = await collect(
      labelPairs(pairs, extractor, { values: VALUES, onError: "skip", onSkip: (message) => skipped.push(message) }),
    );
    assert.deepEqual(
      labelled.map(({ id }) => id),
      ["a", "d"],
    );
    assert.equal(skipped.length, 2);
    assert.ok(skipped.some((message) => message.includes("no answer to this")));
    assert.ok(skipped.some((message) => message.includes('pair "c"')));
    await assert.rejects(collect(labelPairs(pairs.slice(0, 2), extractor, { values: VALUES })), /no answer to this/);
    await assert.rejects(collect(labelPairs(pairs.slice(2), extractor, { values: VALUES })), /pair "c"/);
  });

  test("ends with what ends a call, and does not keep failed answers", async () => {
    await withFolder(async (folder) => {
      const broken = fakeExtractor(VALUES, {
        answer: ({ response }) => {
          if (response.startsWith("answer 30")) throw new DataFormatError("the server has gone");
          return {};
        },
      });
      await withCache(broken, folder, async (cache) => {
        await assert.rejects(collect(labelPairs(PAIRS, broken, { values: VALUES, cache })), /the server has gone/);
      });
      const mended = fakeExtractor(VALUES);
      await withCache(mended, folder, (cache) => collect(labelPairs(PAIRS, mended, { values: VALUES, cache })));
      assert.ok(mended.asked.some(({ response }) => response.startsWith("answer 30")));
      assert.ok(mended.asked.length < 2 * PAIRS.length);
    });
  });

  test("names an extractor that gives too few answers, or scores outside 0 to 1", async () => {
    for (const score of [-0.1, 1.1, Number.NaN]) {
      const extractor = fakeExtractor(VALUES, { answer: () => ({ warm: score }) });
      await assert.rejects(collect(labelPairs(PAIRS, extractor, { values: VALUES })), /fake@1 gave warm the score/);
    }
    const short = fakeExtractor(VALUES, { score: async () => [] });
    await assert.rejects(collect(labelPairs(PAIRS, short, { values: VALUES })), /fake@1 gave 0 answers/);
  });

  test("holds a bounded number of pairs, however slowly they are taken", async () => {
    let read = 0;
    function* endless(): Generator<PreferencePair> {
      for (;;) yield pair(`p${read++}`, `answer ${read}`, "worse");
    }
    const extractor = fakeExtractor(VALUES, { batchSize: 5, concurrency: 3 });
    let taken = 0;
    for await (const _ of labelPairs(endless(), extractor, { values: VALUES })) {
      assert.ok(read - taken <= 31, `${read} read, ${taken} taken`);
      if (++taken === 100) break;
    }
  });

  test("gets through pairs that are all known", async () => {
    await withFolder(async (folder) => {
      const extractor = fakeExtractor(VALUES);
      const run = () =>
        withCache(extractor, folder, (cache) => collect(labelPairs(PAIRS, extractor, { values: VALUES, cache })));
      await run();
      const { length } = extractor.asked;
      assert.deepEqual(essence(await run()), EXPECTED);
      assert.equal(extractor.asked.length, length);
    });
  });
});

describe("the cache of scores", () => {
  test("asks again what a killed process left half-written, and loses nothing that follows", async () => {
    await withFolder(async (folder) => {
      const extractor = fakeExtractor(VALUES);
      const run = () =>
        withCache(extractor, folder, (cache) => collect(labelPairs(PAIRS, extractor, { values: VALUES, cache })));
      await run();
      const path = join(folder, readdirSync(folder)[0]!);
      const whole = readFileSync(path, "utf8");
      writeFileSync(path, whole.slice(0, -10));
      extractor.asked.length = 0;
      assert.deepEqual(essence(await run()), EXPECTED);
      assert.equal(extractor.asked.length, 1);
      extractor.asked.length = 0;
      await run();
      assert.equal(extractor.asked.length, 0, "what was answered after the damage is there");
    });
  });

  test("passes over lines that are no answers", async () => {
    await withFolder(async (folder) => {
      const extractor = fakeExtractor(VALUES);
      await withCache(extractor, folder, async () => {});
      const path = join(folder, readdirSync(folder)[0]!);
      appendFileSync(path, 'null\n{"key":1}\n{"key":"k","scores":{"a":7}}\nnot json\n\ufffd\n');
      const labelled = await withCache(extractor, folder, (cache) =>
        collect(labelPairs(PAIRS, extractor, { values: VALUES, cache })),
      );
      assert.deepEqual(essence(labelled), EXPECTED);
    });
  });
});
