/** Float32 numbers to and from the three unquantised formats that weight files store, little-endian. */
import { OutOfMemoryError } from "../errors.js";

export type FloatDtype = "F32" | "F16" | "BF16";

export const FLOAT_BYTES: Record<FloatDtype, number> = { F32: 4, F16: 2, BF16: 2 };

/** An array of `count` zeros. @throws OutOfMemoryError where the machine has no room for it */
export function allocateFloats(count: number): Float32Array {
  try {
    return new Float32Array(count);
  } catch (error) {
    const size = ((count * 4) / 2 ** 30).toFixed(1);
    throw new OutOfMemoryError(`${count} numbers need ${size} GiB, which cannot be had`, { cause: error });
  }
}

/** What `bytes` hold; every F16 and BF16 number is exact in float32. */
export function decodeFloats(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  const values = allocateFloats(bytes.length / FLOAT_BYTES[dtype]);
  if (dtype === "F32") {
    new Uint8Array(values.buffer).set(bytes);
    return values;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < values.length; ++i) {
    const half = view.getUint16(2 * i, true);
    bits[i] = dtype === "BF16" ? half << 16 : halfToFloatBits(half);
  }
  return values;
}

/** IEEE 754 binary16 to the bits of the same binary32 number. */
function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: the leading bit of the fraction becomes the implicit one.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

/** Rounded to nearest, ties to even; NaN stays NaN. */
export function encodeFloats(values: Float32Array, dtype: "F32" | "BF16"): Uint8Array {
  if (dtype === "F32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; ++i) {
    const word = bits[i] as number;
    const isNan = (word & 0x7fffffff) > 0x7f800000;
    // Half a unit in the last place kept, minus one where that bit is even; a NaN keeps a fraction.
    halves[i] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}
