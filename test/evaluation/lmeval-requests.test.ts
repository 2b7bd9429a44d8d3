/**
 * What suite qa asks of HellaSwag, ARC and MMLU without examples, against what lm-evaluation-harness asks of the same rows
 * (test/golden/make_lmeval_requests_golden.py): the same strings, and the same right choice. No model is needed.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { DataSources } from "#lib/evaluation/sources.js";
import { chooseTasks } from "#lib/evaluation/suites.js";
import type { LikelihoodQuestion } from "#lib/evaluation/task.js";
import { lines } from "../cli/program.js";
import { collect } from "../engine/support.js";
import { GOLDEN } from "../golden.js";
import { withFolder } from "../temporary-folder.js";

interface Item {
  row: object;
  context: string;
  continuations: string[];
  target: number;
}
const { tasks } = JSON.parse(readFileSync(join(GOLDEN, "lmeval-requests.json"), "utf8")) as {
  tasks: Record<string, Item[]>;
};

/** The task that asks what the harness's task of this name asks, and where it finds its rows. */
const PLACES: Readonly<Record<string, { task: string; file: string }>> = {
  hellaswag: { task: "hellaswag", file: "hellaswag/hellaswag_val.jsonl" },
  arc_easy: { task: "arc_easy", file: "arc/ARC-Easy/ARC-Easy-Test.jsonl" },
  arc_challenge: { task: "arc_challenge", file: "arc/ARC-Challenge/ARC-Challenge-Test.jsonl" },
  mmlu_anatomy: { task: "mmlu_anatomy_0shot", file: "mmlu/anatomy/test.jsonl" },
};

describe("the requests of lm-evaluation-harness", () => {
  for (const [name, items] of Object.entries(tasks))
    it(`are those of qa:${PLACES[name]!.task}, and the same choice is right`, async () => {
      await withFolder(async (folder) => {
        const { task, file } = PLACES[name]!;
        const path = join(folder, file);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, lines(...items.map(({ row }) => row)));
        const data = new DataSources({ folder });
        const [chosen] = await chooseTasks([`qa:${task}`], data);
        const questions = await collect(chosen!.load(data, { seed: 0 }) as AsyncIterable<LikelihoodQuestion>);
        assert.equal(questions.length, items.length);
        assert.ok(items.length > 0);
        questions.forEach(({ requests, read }, index) => {
          const { context, continuations, target } = items[index]!;
          assert.deepEqual(requests, [{ context, completions: continuations }], `row ${index}`);
          const results = continuations.map((_, completion) => ({
            id: "",
            adapter: "base",
            completion,
            logprob: completion === target ? -1 : -2,
            tokens: 1,
            bytes: 1,
            greedy: false,
          }));
          assert.equal(read([results]).acc, 1, `row ${index}`);
        });
      });
    });
});
