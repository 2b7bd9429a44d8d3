/**
 * The CUDA kernels' bytes, tensor-core instructions and bank conflicts, by formula and as the emulation counts them; and
 * what is planned from the formulas.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { ROOT } from "../golden.js";

interface Launch {
  kernel: string;
  bytes: number;
  tensor: number;
  float32: number;
  ldmatrix: number;
}
const load = (file: string) => import(pathToFileURL(join(ROOT, "scripts", file)).href);
const { compare } = (await load("roofline.mjs")) as {
  compare(lines: string[]): { kernel: string; ratio: number; mma: number; ldmatrix: number; conflicts: number }[];
};
const { atBest, layerForward, planStudy, passes, PAIR, PLANS } = (await load("roofline/study.mjs")) as {
  atBest(
    launch: Launch,
    gpu: { memory: number; tensor: number; float32: number; shared: number },
  ): { seconds: number; limiter: string };
  layerForward(trees: object[]): Launch[];
  planStudy(plan: object): { stepSeconds: number; hours: number; plannedHours: number };
  passes(plan: object): { reference: Launch[]; step: Launch[] };
  PAIR: object;
  PLANS: object[];
};

// Of scripts/test.mjs, where the core's own tests are among those asked for.
const list = new URL("../../native-tests.json", import.meta.url);
const built = existsSync(list) && "tests" in (JSON.parse(readFileSync(list, "utf8")) as object);
const skip = built ? false : "the core's own tests were not built";

test("kernels move at most a tenth more than the fewest bytes, without bank conflicts, as the formulas say", {
  skip,
}, () => {
  const lines = execFileSync(join(ROOT, "build/native/test/cuda_counts"), { encoding: "utf8" }).trim().split("\n");
  const launches = compare(lines);
  const kernels = new Set(launches.map(({ kernel }) => kernel));
  for (const kernel of ["linear_forward", "linear_backward", "lora_gradient", "head_expected", "attention_dkv", "add"])
    assert.ok(kernels.has(kernel), kernel);
  for (const { kernel, mma, ldmatrix } of launches) {
    if (/^(linear|head)_/.test(kernel) && mma > 0) assert.equal(mma / ldmatrix, 4, kernel);
  }
});

const op = '{"op": "add", "shape": {"rows": 2, "cols": 8}}';
const launch = (changes: object) =>
  JSON.stringify({ kernel: "add", bytes: 192, mma: 0, ldmatrix: 0, conflicts: 0, accesses: 0, ...changes });

test("counts that differ from a formula are refused with what differs", () => {
  assert.equal(compare([op, launch({})])[0]?.ratio, 1);
  assert.equal(compare([op, launch({ bytes: 210 })])[0]?.ratio, 210 / 192);
  assert.throws(() => compare([op, launch({ bytes: 212 })]), /moves 212 bytes, by its formula 192/);
  assert.throws(() => compare([op, launch({ bytes: 100 })]), /moves 100 bytes/);
  assert.throws(() => compare([op, launch({ mma: 1 })]), /issues 1 mma/);
  assert.throws(() => compare([op, launch({ conflicts: 3 })]), /3 bank conflicts/);
  assert.throws(() => compare([op, launch({}), launch({})]), /starts add add, by its formula add/);
});

test("a launch waits for whichever of memory, arithmetic and shared memory takes longest", () => {
  const gpu = { memory: 100, tensor: 1000, float32: 10, shared: 5120 };
  const one = { kernel: "", bytes: 200, tensor: 500, float32: 0, ldmatrix: 10 };
  assert.deepEqual(atBest(one, gpu), { seconds: 2, limiter: "memory" });
  assert.deepEqual(atBest({ ...one, tensor: 1500 }, gpu), { seconds: 3, limiter: "tensor cores" });
  assert.deepEqual(atBest({ ...one, float32: 20 }, gpu), { seconds: 5, limiter: "float32" });
  assert.deepEqual(atBest({ ...one, ldmatrix: 70 }, gpu), { seconds: 7, limiter: "shared memory" });
});

test("a layer of OLMo-2 13B multiplies every row with its 317 million numbers, and attends besides", () => {
  const tensor = layerForward([PAIR]).reduce((sum, { tensor }) => sum + tensor, 0);
  const attention = layerForward([PAIR]).find(({ kernel }) => kernel === "attention_forward")?.tensor ?? 0;
  assert.equal(tensor - attention, 369 * 317_194_240);
  assert.ok(attention > 0 && attention < 0.05 * tensor);
});

test("a plan that recomputes layers adds their forward pass, and takes longer than its floor", () => {
  const sum = (launches: Launch[]) => launches.reduce((all, { tensor }) => all + tensor, 0);
  const kept = passes({ recomputes: false, expands: false });
  const again = passes({ recomputes: true, expands: false });
  const layers = 40 * sum(layerForward(Array.from({ length: 16 }, () => PAIR)));
  assert.equal(sum(again.step) - sum(kept.step), layers);
  for (const plan of PLANS) {
    const { stepSeconds, hours, plannedHours } = planStudy(plan);
    assert.ok(stepSeconds > 0 && hours > 0 && plannedHours > hours);
  }
});
