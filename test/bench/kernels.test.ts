/** Single operations as the addon times them; that a wrong one is found out is shown by native/test/kernel_bench_test.cc. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { kernelTasks, taskName } from "#lib/bench/kernels.js";
import { type NativeKernelSpec, native } from "#lib/native.js";

type Shape = Omit<NativeKernelSpec, "backend" | "threads">;

const MATRIX = { rows: 3, inputs: 64, outputs: 37 };
const HEADS = { heads: 4, kvHeads: 2, headDim: 8 };
const SHAPES: Shape[] = [
  { op: "linear_forward", ...MATRIX, dtype: "Q4_1" },
  { op: "linear_forward", ...MATRIX, inputs: 256, dtype: "Q4_K", rank: 2 },
  { op: "linear_backward", ...MATRIX, dtype: "Q8_0" },
  { op: "linear_backward", ...MATRIX, dtype: "BF16", rank: 2 },
  { op: "lora_gradient", ...MATRIX, rank: 2 },
  { op: "head_forward", ...MATRIX, outputs: 600 },
  { op: "sample", ...MATRIX, outputs: 600, rows: 1 },
  { op: "attention_forward", ...HEADS, spans: [9, 3, 1] },
  { op: "attention_backward", ...HEADS, spans: [70] },
  { op: "rmsnorm_forward", rows: 3, inputs: 33 },
  { op: "swiglu_forward", rows: 3, inputs: 33 },
  { op: "rope", ...HEADS, rows: 3 },
  { op: "adamw", rows: 3, inputs: 33 },
];

for (const backend of [...native.info().isas, "reference"] as const) {
  test(`every operation agrees with the reference on ${backend} and says its work`, () => {
    for (const shape of SHAPES) {
      const kernel = native.createKernelBench({ ...shape, backend, threads: 2 });
      const { error, tolerance } = kernel.verify();
      assert.ok(error <= tolerance && tolerance < 1e-3, `${shape.op}: ${error} of ${tolerance}`);
      assert.ok(kernel.flops > 0 && kernel.bytes > 0, shape.op);
      assert.ok(kernel.run(2) > 0, shape.op);
    }
  });
}

test("the work is that of the definition", () => {
  const work = (shape: Shape) => {
    const { flops, bytes } = native.createKernelBench({ ...shape, backend: "generic", threads: 1 });
    return [flops, bytes];
  };
  // Q4_1 takes 20 bytes for 32 numbers; the rest is x and y.
  assert.deepEqual(work({ op: "linear_forward", rows: 3, inputs: 64, outputs: 10, dtype: "Q4_1" }), [
    2 * 3 * 64 * 10,
    10 * 40 + 4 * 3 * (64 + 10),
  ]);
  // Rows of the root see 1 and 2 keys, those of the two branches 3, and 3 and 4.
  const [flops] = work({ op: "attention_forward", ...HEADS, spans: [2, 1, 2] });
  assert.equal(flops, 4 * 4 * 8 * (1 + 2 + 3 + 3 + 4));
});

describe("a spec that cannot be", () => {
  const refused = (name: string, spec: object, message: RegExp) =>
    test(`is refused: ${name}`, () => {
      assert.throws(
        () => native.createKernelBench({ backend: "generic", threads: 1, ...spec } as NativeKernelSpec),
        (error: NodeJS.ErrnoException) => {
          assert.equal(error.code, "ERR_INVALID_ARGUMENT", `${error}`);
          assert.match(error.message, message);
          return true;
        },
      );
    });
  refused("no operation", {}, /^spec\.op must be a string/);
  refused("an unknown operation", { op: "embed" }, /embed/);
  refused("an unknown backend", { op: "rope", backend: "sse" }, /^spec\.backend/);
  refused("no threads", { op: "rope", threads: 0 }, /^spec\.threads/);
  refused("an unknown dtype", { op: "rope", dtype: "Q9" }, /^spec\.dtype/);
  refused("rows that are no number", { op: "rope", rows: "3" }, /^spec\.rows/);
  refused("a span without rows", { op: "attention_forward", ...HEADS, spans: [4, 0] }, /^spec\.spans\[1\]/);
  refused("a missing size", { op: "linear_forward", rows: 3, inputs: 4 }, /outputs/);
  refused("half a block", { op: "linear_forward", ...MATRIX, inputs: 33, dtype: "Q4_1" }, /Q4_1/);
  refused("heads that do not divide", { op: "attention_forward", ...HEADS, kvHeads: 3, spans: [4] }, /kvHeads/);
  refused("an odd head", { op: "rope", ...HEADS, headDim: 7, rows: 3 }, /headDim/);
  refused("more than there is room for", { op: "adamw", rows: 2 ** 24, inputs: 2 ** 24 }, /4 GiB/);

  test("is refused where a peak is asked for", () => {
    assert.throws(() => native.measurePeak("sse" as "avx2", 1), { code: "ERR_INVALID_ARGUMENT" });
    assert.throws(() => native.measurePeak("generic", 0), { code: "ERR_INVALID_ARGUMENT" });
    assert.throws(() => native.measureBandwidth(1.5), { code: "ERR_INVALID_ARGUMENT" });
  });

  test("is refused where no run is asked for", () => {
    const kernel = native.createKernelBench({ ...SHAPES[0]!, backend: "generic", threads: 1 });
    assert.throws(() => kernel.run(0), { code: "ERR_INVALID_ARGUMENT" });
  });
});

test("every instruction set of the machine has a peak, and memory has one", () => {
  for (const isa of native.info().isas) assert.ok(native.measurePeak(isa, 2) > 0, isa);
  assert.ok(native.measureBandwidth(2) > 0);
});

describe("bench/kernels.json", () => {
  test("has no task twice, and the default ones among all", async () => {
    const all = (await kernelTasks(/./)).map(taskName);
    assert.equal(new Set(all).size, all.length);
    const names = (await kernelTasks(undefined)).map(taskName);
    assert.deepEqual(names, all.slice(0, names.length));
    for (const { op } of SHAPES)
      assert.ok(
        names.some((name) => name.startsWith(`${op} `)),
        op,
      );
  });

  test("holds shapes that can be", async () => {
    // The weights of the larger models would take seconds to make.
    for (const { spec } of await kernelTasks(/ 135M (1|512)×(576|1536)→(576|1536)|attention/))
      native.createKernelBench({ ...spec, backend: "generic", threads: 1 });
  });
});
