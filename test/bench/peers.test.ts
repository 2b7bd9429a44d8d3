/** The comparison with the peers: its arithmetic, what it refuses to compare, and how it goes on from a file. No peer is run. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { withFolder } from "../temporary-folder.js";

interface Row {
  contender: string;
  rate: number;
  ratio: number | null;
  ratio_low: number | null;
  ratio_high: number | null;
  refused: string | null;
}
interface Result {
  work: number;
  seconds: number;
  answers: unknown[];
  answer_tokens?: number[];
  gaps?: number[][];
}
interface Task {
  name: string;
  kind: string;
  unit: string;
  contenders: { name: string; program?: string; against: string; precision: string | null }[];
}

const load = (file: string) => import(pathToFileURL(join(process.cwd(), "bench", "peers", file)).href);
const { Results, rowsOf } = (await load("results.mjs")) as {
  Results: new (
    path: string,
    settings: object,
  ) => { add(record: object): void; find(task: string, contender: string, round: number): object | undefined };
  rowsOf(task: Task, records: object[]): Row[];
};
const { disagreement } = (await load("agree.mjs")) as {
  disagreement(kind: string, ours: object, theirs: object, precision: string): string | null;
};
const { TASKS, chooseTasks } = (await load("tasks.mjs")) as {
  TASKS: Task[];
  chooseTasks(pattern: RegExp): Task[];
};

const TASK: Task = {
  name: "texts",
  kind: "logprobs",
  unit: "tokens",
  contenders: [
    { name: "valora", against: "valora", precision: "float32" },
    { name: "peer", against: "valora", precision: "float32" },
  ],
};

const result = (contender: string, round: number, seconds: number, answers = [-10]) => ({
  ...{ task: "texts", contender, round, work: 60, seconds, answers },
  ...{ answer_tokens: answers.map(() => 5), startup_seconds: 1, peak_rss_bytes: 1, machine_gflops: null },
});

test("a ratio is the median of the ratios of each round, however the machine's speed changed between rounds", () => {
  // Round by round valora is 4, 2 and 1 times as fast; the medians of the rates would give 20 / 15.
  const seconds = { valora: [1, 10, 3], peer: [4, 20, 3] };
  const records = Object.entries(seconds).flatMap(([name, all]) => all.map((s, at) => result(name, at + 1, s)));
  const [valora, peer] = rowsOf(TASK, records) as [Row, Row];
  assert.deepEqual([peer.ratio, peer.ratio_low, peer.ratio_high], [2, 1, 4]);
  assert.equal(peer.rate, 60 / 4);
  assert.equal(valora.rate, 60 / 3);
  assert.equal(valora.ratio, null);
  assert.equal(valora.refused, null);
});

test("there is no ratio where the answers of any round disagree", () => {
  const records = [1, 2].flatMap((round) => [
    result("valora", round, 1),
    result("peer", round, 2, [round === 2 ? -10.01 : -10]),
  ]);
  const [, peer] = rowsOf(TASK, records) as [Row, Row];
  assert.equal(peer.ratio, null);
  assert.match(peer.refused!, /^round 2, answer 1: -10\.01 is 0\.01\d* from -10/);
});

test("there is no ratio where a contender counts other work than its answers took, and part of them is part of the work", () => {
  const [ours, theirs] = [result("valora", 1, 1, [-10, -20]), result("peer", 1, 2, [-10])];
  const [, other] = rowsOf(TASK, [ours, theirs]) as [Row, Row];
  assert.equal(other.ratio, null);
  assert.match(other.refused!, /counts 60 tokens where there are 30/);
  const [, part] = rowsOf(TASK, [ours, { ...theirs, work: 30 }]) as [Row, Row];
  assert.equal(part.ratio, 60 / 15);
});

test("there is no ratio where the contender to compare with has no result of the same round", () => {
  const [peer] = rowsOf(TASK, [result("peer", 1, 2), result("valora", 2, 1)]).filter((row) => row.contender === "peer");
  assert.equal(peer!.ratio, null);
  assert.match(peer!.refused!, /nothing of valora/);
});

test("log-probabilities that are not numbers, or are missing, do not agree", () => {
  const ours = { answers: [-10, -20], answer_tokens: [5, 5] };
  assert.equal(disagreement("logprobs", ours, { answers: [-10.0001, -20] }, "float32"), null);
  assert.notEqual(disagreement("logprobs", ours, { answers: [Number.NaN, -20] }, "float32"), null);
  assert.notEqual(disagreement("logprobs", ours, { answers: [] }, "float32"), null);
  assert.notEqual(disagreement("logprobs", ours, { answers: [-10, -20, -30] }, "float32"), null);
});

test("every precision gives a limit for every kind of answer that it is used with", () => {
  for (const { kind, contenders } of TASKS) {
    for (const { precision } of contenders.filter(({ precision }) => precision !== null)) {
      const off = kind === "tokens" ? { answers: [[1, 2]], gaps: [[9, 9]] } : { answers: [1e9] };
      const ours: Partial<Result> = kind === "tokens" ? { answers: [[1, 3]] } : { answers: [0], answer_tokens: [1] };
      assert.notEqual(disagreement(kind, ours, off, precision!), null);
      assert.equal(disagreement(kind, ours, ours, precision!), null);
    }
  }
});

test("greedy tokens may part where two logits are within rounding of one another, and nowhere else", () => {
  const ours = { answers: [[4, 5, 6, 7]] };
  const parted = (gap: number) => ({ answers: [[4, 5, 9, 1]], gaps: [[3, 3, gap, 3]] });
  assert.equal(disagreement("tokens", ours, parted(0.0005), "float32"), null);
  assert.match(disagreement("tokens", ours, parted(0.1), "float32")!, /token 3 is 9, not 6/);
  assert.notEqual(disagreement("tokens", ours, { answers: [[4, 5, 9, 1]] }, "float32"), null);
  assert.notEqual(disagreement("tokens", ours, { answers: [[4, 5, 6]] }, "float32"), null);
});

test("a run goes on from what its file holds, and not from what other settings gave", () =>
  withFolder(async (folder) => {
    const path = join(folder, "results.json");
    const settings = { commit: "a", threads: 2 };
    new Results(path, settings).add(result("valora", 1, 1));
    const again = new Results(path, settings);
    assert.ok(again.find("texts", "valora", 1));
    assert.equal(again.find("texts", "valora", 2), undefined);
    assert.equal(again.find("texts", "peer", 1), undefined);
    again.add(result("peer", 1, 2));
    assert.equal((JSON.parse(readFileSync(path, "utf8")) as { records: object[] }).records.length, 2);
    assert.throws(() => new Results(path, { ...settings, threads: 1 }), /was made with threads 2, not 1.*--results/);
  }));

test("contenders chosen by name bring those along that they are compared with, which are there", () => {
  const chosen = chooseTasks(/generate-1: llama.cpp F32/);
  assert.deepEqual(
    chosen.map(({ name, contenders }) => [name, contenders.map((contender) => contender.name).sort()]),
    [["generate-1", ["llama.cpp F32", "valora F32"]]],
  );
  assert.deepEqual(chooseTasks(/no such name/), []);
  for (const { contenders } of TASKS) {
    const names = contenders.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { against } of contenders) assert.ok(names.includes(against), against);
  }
});
