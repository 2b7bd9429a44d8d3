/** Writes small GGUF files: what the golden ones lack is a vocabulary and a chat template of their own. */
import { type GgufTensor, type GgufValue, readGgufHeader } from "#lib/models/gguf.js";

const string = (text: string): Buffer => {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([length, bytes]);
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};

/** Type number and bytes of a metadata value; whole numbers become uint32, others float32. */
function encodeValue(value: GgufValue): Buffer {
  if (typeof value === "string") return Buffer.concat([u32(8), string(value)]);
  if (typeof value === "boolean") return Buffer.concat([u32(7), Buffer.from([value ? 1 : 0])]);
  if (typeof value === "number")
    return Number.isInteger(value) ? Buffer.concat([u32(4), u32(value)]) : Buffer.concat([u32(6), f32(value)]);
  if (Array.isArray(value)) return Buffer.concat([u32(9), u32(8), u64(value.length), ...value.map(string)]);
  if (value instanceof Int32Array)
    return Buffer.concat([
      u32(9),
      u32(5),
      u64(value.length),
      Buffer.from(value.buffer, value.byteOffset, value.byteLength),
    ]);
  throw new TypeError("this writer has no such value");
}

/** ggml type numbers of what the golden models hold. */
const TYPES: Partial<Record<GgufTensor["dtype"], number>> = { F32: 0, F16: 1, Q8_0: 8 };
const ALIGNMENT = 32;

/** The header alone, and the size that the whole file would have: its tensors may be a hole. */
export function encodeGgufHeader(
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): { header: Buffer; size: number } {
  const parts = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.size)];
  for (const [key, value] of metadata) parts.push(string(key), encodeValue(value));
  let offset = 0;
  for (const { name, shape, dtype, bytes } of tensors) {
    const type = TYPES[dtype];
    if (type === undefined) throw new TypeError(`this writer has no type ${dtype}`);
    parts.push(string(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset));
    offset += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
  }
  const header = Buffer.concat(parts);
  return { header, size: Math.ceil(header.length / ALIGNMENT) * ALIGNMENT + offset };
}

/** The header of `path` with a byte-level vocabulary of 256 and a chat template put in. */
export async function withVocabulary(path: string, chatTemplate: string): Promise<{ header: Buffer; size: number }> {
  const { metadata, tensors } = await readGgufHeader(path);
  const { vocabulary, merges } = byteVocabulary();
  const tokens = ["<|pad|>", "<|im_start|>", "<|im_end|>", ...vocabulary].slice(0, 256);
  const all = new Map(metadata);
  all.set("tokenizer.ggml.model", "gpt2");
  all.set("tokenizer.ggml.pre", "smollm");
  all.set("tokenizer.ggml.tokens", tokens);
  all.set(
    "tokenizer.ggml.token_type",
    Int32Array.from(tokens, (_, index) => (index < 3 ? 3 : 1)),
  );
  all.set("tokenizer.ggml.merges", merges);
  all.set("tokenizer.ggml.bos_token_id", 1);
  all.set("tokenizer.ggml.eos_token_id", 2);
  all.set("tokenizer.ggml.add_bos_token", false);
  all.set("tokenizer.chat_template", chatTemplate);
  return encodeGgufHeader(all, tensors);
}

/** 251 of the 256 byte symbols of GPT-2's byte-level alphabet (printable ones first) and two merges. */
export function byteVocabulary(): { vocabulary: string[]; merges: string[] } {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  const symbols: string[] = [];
  let extra = 0;
  for (let byte = 0; byte < 256; ++byte) symbols.push(String.fromCodePoint(printable(byte) ? byte : 256 + extra++));
  const ordered = [...symbols.filter((_, byte) => printable(byte)), ...symbols.filter((_, byte) => !printable(byte))];
  return { vocabulary: ["he", "hel", ...ordered].slice(0, 253), merges: ["h e", "he l"] };
}
