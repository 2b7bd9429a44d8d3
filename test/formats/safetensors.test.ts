/** safetensors: what is written is read again, and no damaged header passes. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decodeFloats, encodeFloats } from "#lib/models/floats.js";
import {
  createSafetensorsWriter,
  readSafetensorsFile,
  readSafetensorsHeader,
  readSafetensorsIndex,
  writeSafetensorsFile,
} from "#lib/models/safetensors.js";
import { failsWith, GOLDEN, safetensorsBytes, TINY_MODELS, withFolder, writeZeros } from "./format-support.js";

test("a written file holds the same tensors, shapes and metadata, its data aligned to 8 bytes", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "some.safetensors");
    const a = Float32Array.of(1.5, -0, Number.MIN_VALUE, 3e38, Number.NaN, Number.POSITIVE_INFINITY);
    const tensors = [
      { name: "a.weight", shape: [2, 3], data: a },
      { name: "empty", shape: [0, 4], data: new Float32Array() },
      { name: "7", shape: [1], data: Float32Array.of(7) },
    ];
    await writeSafetensorsFile(path, tensors, { format: "pt" });
    const { tensors: read, metadata } = await readSafetensorsHeader(path);
    assert.deepEqual(metadata, { format: "pt" });
    const shapes = read.map(({ name, shape }): [string, number[]] => [name, shape]).sort();
    assert.deepEqual(shapes, [
      ["7", [1]],
      ["a.weight", [2, 3]],
      ["empty", [0, 4]],
    ]);
    assert.equal(read.find(({ name }) => name === "a.weight")!.offset % 8, 0);
    const values = await readSafetensorsFile(path);
    for (const { name, data } of tensors) assert.deepEqual(values.get(name), data);
    assert.deepEqual(readdirSync(folder), ["some.safetensors"]);
  });
});

test("files of the format's own implementation are read", async () => {
  for (const model of TINY_MODELS) {
    for (const name of ["model", "adapter_model"]) {
      const path = join(GOLDEN, model, `${name}.safetensors`);
      const { tensors } = await readSafetensorsHeader(path);
      const values = await readSafetensorsFile(path);
      const bytes = readFileSync(path);
      for (const { name, offset, shape } of tensors) {
        const data = values.get(name)!;
        assert.equal(
          data.length,
          shape.reduce((product, axis) => product * axis, 1),
        );
        assert.equal(data[0], bytes.readFloatLE(offset));
        assert.equal(data.at(-1), bytes.readFloatLE(offset + 4 * (data.length - 1)));
      }
    }
  }
});

test("every F16 number decodes to the value that IEEE 754 gives it", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const decoded = decodeFloats(new Uint8Array(bits.buffer), "F16");
  for (let half = 0; half < 65536; ++half) {
    const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
    const size =
      exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : exponent === 0
          ? fraction * 2 ** -24
          : (1 + fraction / 1024) * 2 ** (exponent - 15);
    assert.ok(
      Object.is(decoded[half], half >= 32768 ? -size : size) || (Number.isNaN(size) && Number.isNaN(decoded[half])),
      `${half}`,
    );
  }
});

test("BF16 is rounded to nearest, ties to even, and every BF16 number survives", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const all = decodeFloats(new Uint8Array(bits.buffer), "BF16");
  const again = decodeFloats(encodeFloats(all, "BF16"), "BF16");
  assert.ok(all.every((value, i) => Object.is(value, again[i])));
  const round = (value: number): number => decodeFloats(encodeFloats(Float32Array.of(value), "BF16"), "BF16")[0]!;
  assert.equal(round(1 + 2 ** -8), 1); // a tie: down to the even neighbour
  assert.equal(round(1 + 3 * 2 ** -8), 1 + 2 ** -6); // a tie: up to it
  assert.equal(round(1 + 2 ** -8 + 2 ** -20), 1 + 2 ** -7);
  assert.equal(round(3.4e38), Number.POSITIVE_INFINITY);
  // A NaN whose fraction lies wholly in the bits that go.
  const nan = new Float32Array(Uint32Array.of(0x7f800001).buffer);
  assert.ok(Number.isNaN(decodeFloats(encodeFloats(nan, "BF16"), "BF16")[0]));
});

test("a model is written piece by piece, and appears only when every tensor is whole", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "model.safetensors");
    const layout = [
      { name: "a", shape: [2, 2], dtype: "BF16" as const },
      { name: "b", shape: [3], dtype: "F32" as const },
    ];
    const writer = await createSafetensorsWriter(path, layout);
    const piece = Float32Array.of(1, 2);
    await writer.write("a", piece);
    piece.set([3, 4]);
    await writer.write("a", piece);
    await assert.rejects(writer.write("a", piece), RangeError);
    await assert.rejects(writer.commit(), RangeError);
    await writer.write("b", Float32Array.of(0.1, 0.2, 0.3));
    assert.ok(!readdirSync(folder).includes("model.safetensors"));
    await writer.commit();
    const values = await readSafetensorsFile(path);
    assert.deepEqual(values.get("a"), Float32Array.of(1, 2, 3, 4));
    assert.deepEqual(values.get("b"), Float32Array.of(0.1, 0.2, 0.3));

    const given = await createSafetensorsWriter(path, layout);
    await given.write("a", piece);
    await given.abort();
    assert.deepEqual(readdirSync(folder), ["model.safetensors"]);
    assert.deepEqual((await readSafetensorsFile(path)).get("a"), Float32Array.of(1, 2, 3, 4));
  });
});

test("a file cut off anywhere is an error, never a shorter tensor", async () => {
  await withFolder(async (folder) => {
    const whole = safetensorsBytes({ a: { dtype: "F32", shape: [4], data_offsets: [0, 16] } }, 16);
    const path = join(folder, "cut.safetensors");
    for (let length = 0; length < whole.length; ++length) {
      writeFileSync(path, whole.subarray(0, length));
      await assert.rejects(readSafetensorsHeader(path), failsWith("ERR_MODEL_FORMAT", /cut off|not a readable/));
    }
    writeFileSync(path, Buffer.concat([whole, Buffer.alloc(1)]));
    await assert.rejects(readSafetensorsHeader(path), failsWith("ERR_MODEL_FORMAT", /1 bytes at its end/));
  });
});

test("a header that contradicts itself is an error that names the tensor", async () => {
  const entry = (shape: unknown, begin: unknown, end: unknown, dtype: unknown = "F32") => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const cases: [string, Record<string, unknown> | string, number, RegExp][] = [
    ["overlap", { a: entry([2], 0, 8), b: entry([2], 4, 12) }, 12, /"b" overlaps/],
    ["gap", { a: entry([1], 0, 4), b: entry([1], 8, 12) }, 12, /4 bytes before tensor "b"/],
    ["shape", { a: entry([3], 0, 8) }, 8, /"a" has 8 bytes, its shape \[3\] as F32 takes 12/],
    ["backwards", { a: entry([1], 4, 0) }, 4, /"a" has -4 bytes/],
    ["negative", { a: entry([-1], 0, 4) }, 4, /"a" has no shape/],
    ["fraction", { a: entry([1.5], 0, 6) }, 6, /"a" has no shape/],
    ["absurd axes", { a: entry([2 ** 40, 2 ** 40], 0, 4) }, 4, /"a" has 4 bytes/],
    ["text offset", { a: entry([1], "0", 4) }, 4, /"a" has no pair of data_offsets/],
    ["no dtype", { a: entry([1], 0, 4, null) }, 4, /"a" has no dtype/],
    ["no object", { a: 7 }, 0, /"a" has no dtype/],
    [
      "twice",
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "\\u0061" :{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      4,
      /"a" is there twice/,
    ],
    ["array", "[]", 0, /not JSON/],
    ["not JSON", '{"a":', 0, /not valid JSON/],
    ["metadata", { __metadata__: { x: 1 } }, 0, /__metadata__/],
  ];
  await withFolder(async (folder) => {
    for (const [name, header, bytes, says] of cases) {
      const path = join(folder, `${name}.safetensors`);
      writeFileSync(path, safetensorsBytes(header, bytes));
      await assert.rejects(readSafetensorsHeader(path), failsWith("ERR_MODEL_FORMAT", says), name);
    }
    const path = join(folder, "unknown.safetensors");
    writeFileSync(path, safetensorsBytes({ a: entry([8], 0, 4, "F4") }, 4));
    await assert.rejects(readSafetensorsHeader(path), failsWith("ERR_UNSUPPORTED", /"F4"/));
    writeFileSync(path, safetensorsBytes({ a: entry([1], 0, 8, "I64") }, 8));
    await assert.rejects(readSafetensorsFile(path), failsWith("ERR_UNSUPPORTED", /I64/));
  });
});

test("an absurd header length allocates nothing, and a missing file is said to be missing", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "long.safetensors");
    writeFileSync(path, Buffer.alloc(64, 0xff));
    await assert.rejects(
      readSafetensorsHeader(path),
      failsWith("ERR_MODEL_FORMAT", /claim a header of 18446744073709551615 bytes/),
    );
    await assert.rejects(readSafetensorsHeader(join(folder, "none")), failsWith("ERR_FILE", /does not exist/));
    await assert.rejects(readSafetensorsHeader(folder), failsWith("ERR_FILE", /folder/));
  });
});

test("an index leads to the tensors of every shard, and one that does not fit is refused", async () => {
  await withFolder(async (folder) => {
    writeZeros(join(folder, "1.safetensors"), { a: [2], b: [3] });
    writeZeros(join(folder, "2.safetensors"), { c: [4] });
    const path = join(folder, "model.safetensors.index.json");
    const index = (weights: unknown): void =>
      writeFileSync(path, JSON.stringify({ metadata: {}, weight_map: weights }));
    index({ a: "1.safetensors", b: "1.safetensors", c: "2.safetensors" });
    const tensors = await readSafetensorsIndex(path);
    assert.deepEqual(tensors.map(({ name, file }) => [name, file]).sort(), [
      ["a", join(folder, "1.safetensors")],
      ["b", join(folder, "1.safetensors")],
      ["c", join(folder, "2.safetensors")],
    ]);
    const cases: [unknown, string, RegExp][] = [
      [{ a: "1.safetensors", d: "2.safetensors" }, "ERR_MODEL_FORMAT", /"d" is not in 2\.safetensors/],
      [{ a: "3.safetensors" }, "ERR_FILE", /3\.safetensors .* does not exist/],
      [{ a: "../1.safetensors" }, "ERR_MODEL_FORMAT", /not in a file of the same folder/],
      [{ a: ".." }, "ERR_FILE", /folder/],
      [{ a: 1 }, "ERR_MODEL_FORMAT", /not in a file/],
      [[], "ERR_MODEL_FORMAT", /no weight_map/],
    ];
    for (const [weights, code, says] of cases) {
      index(weights);
      await assert.rejects(readSafetensorsIndex(path), failsWith(code, says));
    }
    writeFileSync(path, "{");
    await assert.rejects(readSafetensorsIndex(path), failsWith("ERR_MODEL_FORMAT", /not valid JSON/));
  });
});
