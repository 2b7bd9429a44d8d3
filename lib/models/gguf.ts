/**
 * Reads the header of a GGUF file (github.com/ggml-org/ggml/blob/master/docs/gguf.md): metadata and where each tensor lies.
 *
 * Our own parser, not @huggingface/gguf: of version 0.4.6 we measured that it pads a cut-off file with zeros and returns
 * what it reads there as tensors, that a 24-byte file claiming ten million tensors holds it for 6.4 s and 400 MB, and
 * that the default model's header takes 260 ms (here about 30). Here every count is checked against the bytes that are
 * there before anything is allocated for it, and every tensor against the size of the file.
 */
import { type FileHandle, open } from "node:fs/promises";
import { describeFileError, FileError, ModelFormatError, UnsupportedError } from "../errors.js";
import type { Dtype } from "../native.js";

export type GgufNumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** 64-bit integers are numbers where a number holds them exactly. */
export type GgufValue = string | number | bigint | boolean | string[] | GgufNumberArray;

export interface GgufTensor {
  name: string;
  /** Fastest axis first, as the file has it. */
  shape: number[];
  dtype: Dtype;
  /** From the start of the file. */
  offset: number;
  bytes: number;
}

export interface GgufHeader {
  version: number;
  metadata: Map<string, GgufValue>;
  tensors: GgufTensor[];
}

/** Protects memory: the largest vocabularies known make headers of about 30 MB. */
const MAX_HEADER_BYTES = 256 * 2 ** 20;
/** Protects the arithmetic; ggml itself knows four axes and no name above 64 bytes. */
const MAX_AXES = 4;
const MAX_NAME_BYTES = 256;
/** The header is parsed from a growing prefix of the file; most fit into the first. */
const FIRST_READ_BYTES = 4 * 2 ** 20;

interface DtypeLayout {
  dtype: Dtype;
  /** Numbers a block, and its bytes. */
  block: number;
  bytes: number;
}

/** ggml type number → layout (ggml.h, ggml-common.h). */
const DTYPES = new Map<number, DtypeLayout>([
  [0, { dtype: "F32", block: 1, bytes: 4 }],
  [1, { dtype: "F16", block: 1, bytes: 2 }],
  [2, { dtype: "Q4_0", block: 32, bytes: 18 }],
  [3, { dtype: "Q4_1", block: 32, bytes: 20 }],
  [6, { dtype: "Q5_0", block: 32, bytes: 22 }],
  [7, { dtype: "Q5_1", block: 32, bytes: 24 }],
  [8, { dtype: "Q8_0", block: 32, bytes: 34 }],
  [10, { dtype: "Q2_K", block: 256, bytes: 84 }],
  [11, { dtype: "Q3_K", block: 256, bytes: 110 }],
  [12, { dtype: "Q4_K", block: 256, bytes: 144 }],
  [13, { dtype: "Q5_K", block: 256, bytes: 176 }],
  [14, { dtype: "Q6_K", block: 256, bytes: 210 }],
  [30, { dtype: "BF16", block: 1, bytes: 2 }],
]);

/** Names of the types that exist but are not read, for the message. */
const OTHER_DTYPES = new Map<number, string>([
  [9, "Q8_1"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [20, "IQ4_NL"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [23, "IQ4_XS"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
  [39, "MXFP4"],
]);

/**
 * @throws FileError where the file cannot be read
 * @throws ModelFormatError where it is not GGUF, is cut off, or contradicts itself
 * @throws UnsupportedError naming a tensor type that is not read
 */
export async function readGgufHeader(path: string): Promise<GgufHeader> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { size } = await file.stat();
    for (let wanted = FIRST_READ_BYTES; ; wanted *= 4) {
      const bytes = await readPrefix(file, Math.min(wanted, size, MAX_HEADER_BYTES));
      try {
        return parseGgufHeader(bytes, size, path);
      } catch (error) {
        if (!(error instanceof PastEnd) || bytes.length < Math.min(wanted, size, MAX_HEADER_BYTES)) throw error;
        if (bytes.length >= MAX_HEADER_BYTES) {
          throw new ModelFormatError(
            `${path}: the header is longer than ${MAX_HEADER_BYTES / 2 ** 20} MiB; is the file damaged?`,
          );
        }
        if (bytes.length >= size) throw error;
      }
    }
  } catch (error) {
    if (error instanceof PastEnd) {
      throw new ModelFormatError(`${path} is cut off: ${error.message}; fetch it again`, { cause: error });
    }
    if (error instanceof ModelFormatError || error instanceof UnsupportedError) throw error;
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  } finally {
    await file?.close();
  }
}

async function readPrefix(file: FileHandle, count: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(count);
  let done = 0;
  while (done < count) {
    const { bytesRead } = await file.read(bytes, done, count - done, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** The header goes on past the bytes at hand. */
class PastEnd extends Error {}

/**
 * The header in `bytes`, the first of a file of `fileSize`.
 *
 * @throws PastEnd where more of the file is needed
 */
export function parseGgufHeader(bytes: Buffer, fileSize: number, path: string): GgufHeader {
  const fail = (problem: string): never => {
    throw new ModelFormatError(`${path} is not a readable GGUF file: ${problem}`);
  };
  const reader = new HeaderReader(bytes, fileSize, fail);
  if (bytes.length < 4 || bytes.toString("latin1", 0, 4) !== "GGUF") fail('it does not begin with "GGUF"');
  reader.skip(4);
  const version = reader.uint32();
  if (version !== 2 && version !== 3) {
    fail(
      version === 1 || version > 0xffff
        ? `version ${version} (1, or big-endian) is not read`
        : `version ${version} is unknown`,
    );
  }
  // A tensor takes at least 24 bytes (name length, axes, type, offset), a metadata entry 13.
  const tensorCount = reader.count(24, "tensors");
  const entryCount = reader.count(13, "metadata entries");

  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < entryCount; ++i) {
    const key = reader.string();
    if (metadata.has(key)) fail(`metadata ${quote(key)} is there twice`);
    metadata.set(key, reader.value(reader.uint32(), key));
  }

  const entries: { name: string; shape: number[]; layout: DtypeLayout; offset: number }[] = [];
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; ++i) {
    const name = reader.string(MAX_NAME_BYTES);
    if (names.has(name)) fail(`tensor ${quote(name)} is there twice`);
    names.add(name);
    const axes = reader.uint32();
    if (axes < 1 || axes > MAX_AXES) fail(`tensor ${quote(name)} has ${axes} axes`);
    const shape = Array.from({ length: axes }, () => reader.size(`an axis of tensor ${quote(name)}`));
    const type = reader.uint32();
    const layout = DTYPES.get(type) ?? rejectDtype(type, name, path);
    entries.push({ name, shape, layout, offset: reader.size(`the offset of tensor ${quote(name)}`) });
  }

  const alignment = metadata.get("general.alignment") ?? 32;
  // ggml asks for a power of two; a page is more than any writer uses.
  if (typeof alignment !== "number" || alignment < 1 || alignment > 65536 || (alignment & (alignment - 1)) !== 0) {
    fail(`the alignment is ${String(alignment)}, not a power of two`);
  }
  const align = alignment as number;
  const dataStart = Math.ceil(reader.position / align) * align;
  const tensors = entries.map(({ name, shape, layout, offset }): GgufTensor => {
    const numbers = shape.reduce((product, axis) => product * axis, 1);
    if (numbers === 0) fail(`tensor ${quote(name)} has an axis of 0`);
    if ((shape[0] as number) % layout.block !== 0) {
      fail(`tensor ${quote(name)} has rows of ${shape[0]}, not a multiple of the ${layout.block} of ${layout.dtype}`);
    }
    const size = (numbers / layout.block) * layout.bytes;
    if (offset % align !== 0) fail(`tensor ${quote(name)} is at ${offset}, not a multiple of the alignment ${align}`);
    // Not `>`: a product past 2^53 is inexact, and infinity, but never small enough to pass.
    if (!(dataStart + offset + size <= fileSize)) {
      throw new ModelFormatError(
        `${path} is cut off or damaged: tensor ${quote(name)} ends at byte ${dataStart + offset + size} of a file of ${fileSize}; fetch it again`,
      );
    }
    return { name, shape, dtype: layout.dtype, offset: dataStart + offset, bytes: size };
  });
  return { version, metadata, tensors };
}

function rejectDtype(type: number, name: string, path: string): never {
  const known = [...DTYPES.values()].map(({ dtype }) => dtype).join(", ");
  throw new UnsupportedError(
    `${path}: tensor ${quote(name)} has type ${OTHER_DTYPES.get(type) ?? type}, which valora does not read; use a file with ${known}`,
  );
}

/** A name from the file, fit for a one-line message. */
function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

/** Takes values one after another, never past the end of the bytes or of the file. */
class HeaderReader {
  position = 0;
  private readonly bytes: Buffer;
  private readonly fileSize: number;
  private readonly fail: (problem: string) => never;

  constructor(bytes: Buffer, fileSize: number, fail: (problem: string) => never) {
    this.bytes = bytes;
    this.fileSize = fileSize;
    this.fail = fail;
  }

  /** Where the next `count` bytes begin. */
  private take(count: number): number {
    const start = this.position;
    if (start + count > this.bytes.length) {
      throw new PastEnd(`its header needs ${start + count} bytes of a file of ${this.fileSize}`);
    }
    this.position = start + count;
    return start;
  }

  skip(count: number): void {
    this.take(count);
  }

  uint32(): number {
    return this.bytes.readUInt32LE(this.take(4));
  }

  /** An unsigned 64-bit integer that a number holds exactly. */
  size(what: string): number {
    const start = this.take(8);
    // By halves: a BigInt for each of a hundred thousand strings takes longer than the strings.
    const value = this.bytes.readUInt32LE(start) + this.bytes.readUInt32LE(start + 4) * 2 ** 32;
    if (value > Number.MAX_SAFE_INTEGER) this.fail(`${what} is ${this.bytes.readBigUInt64LE(start)}`);
    return value;
  }

  /** A number of things that take at least `least` bytes each: the rest of the file must be able to hold them. */
  count(least: number, what: string): number {
    const value = this.size(`the number of ${what}`);
    if (value * least > this.fileSize - this.position) {
      this.fail(`it claims ${value} ${what}, more than its ${this.fileSize} bytes can hold`);
    }
    return value;
  }

  string(longest = MAX_HEADER_BYTES): string {
    const length = this.count(1, "bytes in a string");
    if (length > longest) this.fail(`a name has ${length} bytes, more than ${longest}`);
    const start = this.take(length);
    return this.bytes.toString("utf8", start, start + length);
  }

  value(type: number, key: string): GgufValue {
    const { bytes } = this;
    switch (type) {
      case 0:
        return bytes.readUInt8(this.take(1));
      case 1:
        return bytes.readInt8(this.take(1));
      case 2:
        return bytes.readUInt16LE(this.take(2));
      case 3:
        return bytes.readInt16LE(this.take(2));
      case 4:
        return this.uint32();
      case 5:
        return bytes.readInt32LE(this.take(4));
      case 6:
        return bytes.readFloatLE(this.take(4));
      case 7:
        return bytes.readUInt8(this.take(1)) !== 0;
      case 8:
        return this.string();
      case 9:
        return this.array(key);
      case 10:
        return exact(bytes.readBigUInt64LE(this.take(8)));
      case 11:
        return exact(bytes.readBigInt64LE(this.take(8)));
      case 12:
        return bytes.readDoubleLE(this.take(8));
      default:
        return this.fail(`metadata ${quote(key)} has the unknown type ${type}`);
    }
  }

  private array(key: string): GgufValue {
    const type = this.uint32();
    if (type === 8) {
      const values: string[] = [];
      for (let left = this.count(8, `strings in ${quote(key)}`); left > 0; --left) values.push(this.string());
      return values;
    }
    const kind = ARRAY_KINDS[type];
    if (kind === undefined) return this.fail(`metadata ${quote(key)} is an array of the unknown type ${type}`);
    const width = kind.BYTES_PER_ELEMENT;
    const length = this.count(width, `numbers in ${quote(key)}`);
    const start = this.take(length * width);
    // A copy, because the file does not align its arrays.
    const copy = Uint8Array.prototype.slice.call(this.bytes, start, start + length * width);
    return new kind(copy.buffer, 0, length);
  }
}

/** GGUF's value types by number; booleans come as bytes, strings and arrays of arrays are not here. */
const ARRAY_KINDS: Record<
  number,
  { BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer, offset: number, length: number): GgufNumberArray }
> = {
  0: Uint8Array,
  1: Int8Array,
  2: Uint16Array,
  3: Int16Array,
  4: Uint32Array,
  5: Int32Array,
  6: Float32Array,
  7: Uint8Array,
  10: BigUint64Array,
  11: BigInt64Array,
  12: Float64Array,
};

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
