/**
 * safetensors (github.com/huggingface/safetensors#format): eight bytes of header length, a JSON header, the tensors'
 * bytes without a gap. Reads headers, strictly: every offset is checked against the shape and the real size of the
 * file, so that what comes out can be mapped. Reads and writes whole small files (adapters, optimiser state), and
 * writes models tensor by tensor in bounded memory.
 */
import { isUtf8 } from "node:buffer";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { describeFileError, FileError, ModelFormatError, UnsupportedError, ValoraError } from "../errors.js";
import { createAtomicWriter } from "../files/atomic.js";
import { decodeFloats, encodeFloats, type FloatDtype } from "./floats.js";

/** Bytes of a number of every dtype of the format that fills whole bytes. */
const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
  C64: 8,
} as const;

export type SafetensorsDtype = keyof typeof DTYPE_BYTES;

export interface SafetensorsTensor {
  name: string;
  dtype: SafetensorsDtype;
  /** Slowest axis first, as the file has it. */
  shape: number[];
  /** From the start of the file. */
  offset: number;
  bytes: number;
}

export interface SafetensorsHeader {
  tensors: SafetensorsTensor[];
  /** `__metadata__`. */
  metadata: Record<string, string>;
}

/** The limit of the format's own implementation: it protects memory. */
const MAX_HEADER_BYTES = 100_000_000;
const MAX_AXES = 8;

/**
 * @throws FileError where the file cannot be read
 * @throws ModelFormatError where it is not safetensors, is cut off, or contradicts itself
 * @throws UnsupportedError naming an unknown dtype
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, async (file) => {
    const { size } = await file.stat();
    const length = parseHeaderLength(await readBytes(file, 0, Math.min(8, size), path), size, path);
    return parseSafetensorsHeader(await readBytes(file, 8, length, path), size, path);
  });
}

/** The header's length from the first eight bytes of a file of `fileSize`. */
export function parseHeaderLength(bytes: Buffer, fileSize: number, path: string): number {
  if (bytes.length < 8) throw unreadable(path, `it has ${fileSize} bytes, fewer than the 8 of the header's length`);
  const length = bytes.readBigUInt64LE(0);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw unreadable(
      path,
      `its first 8 bytes claim a header of ${length} bytes, above the format's ${MAX_HEADER_BYTES}`,
    );
  }
  if (8 + Number(length) > fileSize) {
    throw new ModelFormatError(
      `${path} is cut off: its header alone ends at byte ${8 + Number(length)} of a file of ${fileSize}; fetch it again`,
    );
  }
  return Number(length);
}

/** The header in `bytes`, which follow the eight of its length in a file of `fileSize`. */
export function parseSafetensorsHeader(bytes: Buffer, fileSize: number, path: string): SafetensorsHeader {
  // Some writers pad with spaces behind the JSON, none in front: the format asks for "{" at once.
  if (bytes[0] !== 0x7b || !isUtf8(bytes)) throw unreadable(path, "its header is not JSON in UTF-8");
  const text = bytes.toString("utf8");
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw unreadable(path, "its header is not valid JSON");
  }
  const repeated = findRepeatedKey(text);
  if (repeated !== null) throw unreadable(path, `tensor ${quote(repeated)} is there twice`);
  const dataStart = 8 + bytes.length;
  const tensors = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => parseEntry(name, entry, dataStart, path));
  checkCoverage(tensors, dataStart, fileSize, path);
  return { tensors, metadata: parseMetadata(header.__metadata__, path) };
}

function parseEntry(name: string, entry: unknown, dataStart: number, path: string): SafetensorsTensor {
  const {
    dtype,
    shape,
    data_offsets: range,
  } = (typeof entry === "object" && entry !== null ? entry : {}) as Record<string, unknown>;
  const fail = (problem: string): never => {
    throw unreadable(path, `tensor ${quote(name)} ${problem}`);
  };
  if (typeof dtype !== "string") return fail("has no dtype");
  if (!Object.hasOwn(DTYPE_BYTES, dtype)) {
    throw new UnsupportedError(
      `${path}: tensor ${quote(name)} has dtype ${quote(dtype)}, which valora does not read; save it as F32, F16 or BF16`,
    );
  }
  if (!isSizes(shape) || shape.length > MAX_AXES) return fail("has no shape of whole numbers");
  if (!isSizes(range) || range.length !== 2) return fail("has no pair of data_offsets");
  const [begin, end] = range as [number, number];
  const wanted = shape.reduce((product, axis) => product * axis, DTYPE_BYTES[dtype as SafetensorsDtype]);
  if (end - begin !== wanted) {
    return fail(`has ${end - begin} bytes, its shape [${shape.join(", ")}] as ${dtype} takes ${wanted}`);
  }
  return { name, dtype: dtype as SafetensorsDtype, shape, offset: dataStart + begin, bytes: end - begin };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** The format wants every byte behind the header to belong to one tensor. */
function checkCoverage(tensors: SafetensorsTensor[], dataStart: number, fileSize: number, path: string): void {
  let end = dataStart;
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (tensor.offset < end) throw unreadable(path, `tensor ${quote(tensor.name)} overlaps the one before it`);
    if (tensor.offset > end) {
      throw unreadable(path, `${tensor.offset - end} bytes before tensor ${quote(tensor.name)} belong to none`);
    }
    end += tensor.bytes;
    if (!(end <= fileSize)) {
      throw new ModelFormatError(
        `${path} is cut off: tensor ${quote(tensor.name)} ends at byte ${end} of a file of ${fileSize}; fetch it again`,
      );
    }
  }
  if (end < fileSize) throw unreadable(path, `${fileSize - end} bytes at its end belong to no tensor`);
}

function parseMetadata(value: unknown, path: string): Record<string, string> {
  if (value === undefined) return {};
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isMap || !Object.values(value).every((item) => typeof item === "string")) {
    throw unreadable(path, "its __metadata__ is not a map from text to text");
  }
  return value as Record<string, string>;
}

/** A key that the outermost object of a valid JSON text has twice; JSON.parse keeps the last without a word. */
function findRepeatedKey(text: string): string | null {
  const seen = new Set<string>();
  let depth = 0;
  for (let at = 0; at < text.length; ++at) {
    const character = text[at];
    if (character === "{" || character === "[") ++depth;
    else if (character === "}" || character === "]") --depth;
    else if (character === '"') {
      const begin = at++;
      while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
      if (depth !== 1 || !/^\s*:/.test(text.slice(at + 1, at + 32))) continue;
      const key = JSON.parse(text.slice(begin, at + 1)) as string;
      if (seen.has(key)) return key;
      seen.add(key);
    }
  }
  return null;
}

/**
 * Every tensor of a small file as float32 (adapters, optimiser state); never for a model, whose file is mapped.
 *
 * @throws FileError
 * @throws ModelFormatError where the file is damaged
 * @throws UnsupportedError where a tensor holds no F32, F16 or BF16
 */
export async function readSafetensorsFile(path: string): Promise<Map<string, Float32Array>> {
  const { tensors } = await readSafetensorsHeader(path);
  return withFile(path, async (file) => {
    const values = new Map<string, Float32Array>();
    for (const tensor of tensors) {
      const dtype = requireFloats(tensor, path);
      values.set(tensor.name, decodeFloats(await readBytes(file, tensor.offset, tensor.bytes, path), dtype));
    }
    return values;
  });
}

/** @throws UnsupportedError where a tensor holds no F32, F16 or BF16 */
export function requireFloats(tensor: SafetensorsTensor, path: string): FloatDtype {
  const { dtype } = tensor;
  if (dtype === "F32" || dtype === "F16" || dtype === "BF16") return dtype;
  throw new UnsupportedError(
    `${path}: tensor ${quote(tensor.name)} has dtype ${dtype}, which valora does not read; save it as F32, F16 or BF16`,
  );
}

export interface SafetensorsFloats {
  name: string;
  shape: number[];
  data: Float32Array;
}

/** Writes tensors as F32; the file appears whole. @throws FileError */
export async function writeSafetensorsFile(
  path: string,
  tensors: readonly SafetensorsFloats[],
  metadata?: Record<string, string>,
): Promise<void> {
  const layout = tensors.map(({ name, shape }): NewTensor => ({ name, shape, dtype: "F32" }));
  const writer = await createSafetensorsWriter(path, layout, metadata);
  try {
    for (const { name, data } of tensors) await writer.write(name, data);
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

export interface NewTensor {
  name: string;
  shape: number[];
  dtype: "F32" | "BF16";
}

export interface SafetensorsWriter {
  /** Appends rows to tensor `name`; tensors come in the order of the layout, each whole before the next. */
  write(name: string, values: Float32Array): Promise<void>;
  /** Makes the file appear. */
  commit(): Promise<void>;
  /** Leaves nothing behind; safe after a failure and after `commit`. */
  abort(): Promise<void>;
}

/**
 * Starts a file with the header of `layout`; the tensors follow piece by piece.
 *
 * @throws FileError from every method
 * @throws RangeError where the pieces are not what the layout says
 */
export async function createSafetensorsWriter(
  path: string,
  layout: readonly NewTensor[],
  metadata: Record<string, string> = {},
): Promise<SafetensorsWriter> {
  const sizes = layout.map(({ shape }) => shape.reduce((product, axis) => product * axis, 1));
  let index = 0;
  let written = 0;
  /** Passes over tensors that are whole, empty ones among them. */
  const advance = (): void => {
    for (; index < sizes.length && written === sizes[index]; ++index) written = 0;
  };
  advance();
  const writer = await createAtomicWriter(path);
  try {
    await writer.write(buildHeader(layout, sizes, metadata));
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return {
    async write(name, values) {
      if (values.length === 0) return;
      const tensor = layout[index];
      if (tensor?.name !== name || written + values.length > (sizes[index] as number)) {
        throw new RangeError(`${path}: ${values.length} numbers of ${name} do not fit into the layout here`);
      }
      await writer.write(encodeFloats(values, tensor.dtype));
      written += values.length;
      advance();
    },
    async commit() {
      if (index < layout.length) throw new RangeError(`${path}: tensor ${layout[index]?.name} is not complete`);
      await writer.commit();
    },
    abort: () => writer.abort(),
  };
}

function buildHeader(layout: readonly NewTensor[], sizes: number[], metadata: Record<string, string>): Buffer {
  const entries: [string, unknown][] = Object.keys(metadata).length === 0 ? [] : [["__metadata__", metadata]];
  let end = 0;
  layout.forEach(({ name, shape, dtype }, i) => {
    const begin = end;
    end += (sizes[i] as number) * DTYPE_BYTES[dtype];
    entries.push([name, { dtype, shape, data_offsets: [begin, end] }]);
  });
  // Padded so that the data begins at a multiple of 8, as the format's own writer does.
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.length - 8), 0);
  json.copy(header, 8);
  return header;
}

export interface ShardedTensor extends SafetensorsTensor {
  file: string;
}

/**
 * The tensors of all shards that an index (model.safetensors.index.json) names.
 *
 * @throws FileError, ModelFormatError, UnsupportedError
 */
export async function readSafetensorsIndex(path: string): Promise<ShardedTensor[]> {
  const fail = (problem: string): never => {
    throw new ModelFormatError(`${path} is not a readable index of shards: ${problem}`);
  };
  let index: unknown;
  try {
    index = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return fail("it is not valid JSON");
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
  const weightMap = (index as { weight_map?: unknown } | null)?.weight_map;
  if (typeof weightMap !== "object" || weightMap === null || Array.isArray(weightMap))
    return fail("it has no weight_map");
  const places = new Map<string, string>();
  for (const [name, shard] of Object.entries(weightMap)) {
    if (typeof shard !== "string" || shard === "" || basename(shard) !== shard || shard.includes("\\")) {
      return fail(`tensor ${quote(name)} is not in a file of the same folder`);
    }
    places.set(name, shard);
  }
  const tensors: ShardedTensor[] = [];
  const found = new Set<string>();
  for (const shard of [...new Set(places.values())].sort()) {
    const file = join(dirname(path), shard);
    for (const tensor of (await readSafetensorsHeader(file)).tensors) {
      // Where a name is in two shards, the index says which counts.
      if ((places.get(tensor.name) ?? shard) !== shard) continue;
      if (found.has(tensor.name)) return fail(`tensor ${quote(tensor.name)} is in two shards and not in the index`);
      found.add(tensor.name);
      tensors.push({ ...tensor, file });
    }
  }
  for (const [name, shard] of places) {
    if (!found.has(name)) return fail(`tensor ${quote(name)} is not in ${shard}`);
  }
  return tensors;
}

function unreadable(path: string, problem: string): ModelFormatError {
  return new ModelFormatError(`${path} is not a readable safetensors file: ${problem}`);
}

/** A name from the file, fit for a one-line message. */
function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    return await work(file);
  } catch (error) {
    if (error instanceof ValoraError) throw error;
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  } finally {
    await file?.close();
  }
}

/** Linux reads at most 2 GiB a call. */
const READ_BYTES = 1 << 30;

async function readBytes(file: FileHandle, offset: number, count: number, path: string): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(count);
  for (let done = 0; done < count; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(count - done, READ_BYTES), offset + done);
    if (bytesRead === 0) throw new ModelFormatError(`${path} became shorter while it was read; fetch it again`);
    done += bytesRead;
  }
  return bytes;
}
