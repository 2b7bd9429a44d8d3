/**
 * TensorBoard's event files, as far as scalars need them: a sequence of records, each a protocol buffer `Event`.
 *
 * A record is a TFRecord: length (uint64), its checksum (uint32), the bytes, their checksum (uint32), little-endian. The
 * checksum is CRC-32C (RFC 3720, appendix B.4), rotated right by 15 bits and shifted by a constant (TensorFlow's
 * core/lib/hash/crc32c.h, core/lib/io/record_writer.h). Field numbers are those of TensorFlow's core/util/event.proto and
 * core/framework/summary.proto.
 */

/** What has to stand first in a file: the version of the format, which says that steps are not to be guessed at. */
export function versionRecord(wallTime: number): Buffer {
  return record(Buffer.concat([double(1, wallTime), bytes(3, Buffer.from("brain.Event:2"))]));
}

/**
 * Numbers of one step, kept as float32.
 *
 * @param wallTime seconds since 1970
 * @param scalars by tag; a "/" in a tag groups its chart with those of the same start
 */
export function scalarsRecord(wallTime: number, step: number, scalars: Readonly<Record<string, number>>): Buffer {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)])),
  );
  return record(Buffer.concat([double(1, wallTime), integer(2, step), bytes(5, Buffer.concat(values))]));
}

function record(data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(data.length));
  head.writeUInt32LE(maskedChecksum(head.subarray(0, 8)), 8);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(maskedChecksum(data));
  return Buffer.concat([head, data, tail]);
}

function maskedChecksum(data: Uint8Array): number {
  const sum = crc32c(data);
  return (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0;
}

/** Remainders of every byte by the Castagnoli polynomial, bits reversed. */
const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0x82f63b78 : rest >>> 1;
  return rest;
});

/** CRC-32C (Castagnoli) of some bytes. */
export function crc32c(data: Uint8Array): number {
  let rest = 0xffffffff;
  for (const byte of data) rest = (rest >>> 8) ^ REMAINDERS[(rest ^ byte) & 0xff]!;
  return ~rest >>> 0;
}

// Fields of a protocol buffer (protobuf.dev/programming-guides/encoding): number and wire type, then the value.
const [VARINT, EIGHT_BYTES, LENGTH_FIRST, FOUR_BYTES] = [0, 1, 2, 5];

function varint(value: number): Buffer {
  const parts: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) parts.push((rest % 128) | 0x80);
  parts.push(rest);
  return Buffer.from(parts);
}

function field(number: number, type: number, value: Buffer): Buffer {
  return Buffer.concat([varint(number * 8 + type), value]);
}

function integer(number: number, value: number): Buffer {
  return field(number, VARINT, varint(value));
}

function bytes(number: number, value: Buffer): Buffer {
  return field(number, LENGTH_FIRST, Buffer.concat([varint(value.length), value]));
}

function double(number: number, value: number): Buffer {
  const data = Buffer.alloc(8);
  data.writeDoubleLE(value);
  return field(number, EIGHT_BYTES, data);
}

function float(number: number, value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return field(number, FOUR_BYTES, data);
}
