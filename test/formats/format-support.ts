/** What the tests of file formats share. They need no addon. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ValoraError } from "#lib/errors.js";

export { withFolder } from "../temporary-folder.js";

/** From build/test/test/formats to the golden values, which are not compiled. */
export const GOLDEN = fileURLToPath(new URL("../../../../test/golden/", import.meta.url));

/** The tiny models, one a family or variant of it. */
export const TINY_MODELS = ["llama-tied", "llama3-rope", "mistral-nemo", "olmo2", "qwen2", "qwen3"] as const;

export interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Bytes of a safetensors file with this header, as it stands, and `dataBytes` zeros. */
export function safetensorsBytes(header: Record<string, unknown> | string, dataBytes: number): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

/** Writes a safetensors file of zeros with these F32 tensors. */
export function writeZeros(path: string, shapes: Record<string, number[]>): void {
  let end = 0;
  const header: Record<string, Entry> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const begin = end;
    end += 4 * shape.reduce((product, axis) => product * axis, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [begin, end] };
  }
  writeFileSync(path, safetensorsBytes(header, end));
}

/** Asks for a failure with this code, whose message is one sentence that says this. */
export function failsWith(code: string, says: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof ValoraError, `not an error of valora's: ${String(error)}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, says);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  };
}
