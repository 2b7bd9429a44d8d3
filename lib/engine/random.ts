/**
 * Philox4x32-10, a counter-based random generator (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011): the number at a counter depends on nothing but the key, so that a sampler resumes
 * anywhere without replaying what came before.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
/** The last counter word of what is drawn here: an adapter made under the same seed draws other numbers. */
const SAMPLER = 1;

/** The high 32 bits of the 64-bit product of two 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 0x10000);
  const carry = aLow * bHigh + (middle % 0x10000);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

export type Counter = readonly [number, number, number, number];

/** Four uniform 32-bit numbers for one counter under one key. */
export function philox(counter: Counter, key: readonly [number, number]): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0 >>> 0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2 >>> 0);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** A seed of up to 53 bits as a Philox key. */
export function keyOf(seed: number): [number, number] {
  return [seed >>> 0, Math.floor(seed / 0x100000000) >>> 0];
}

/**
 * A uniform whole number in [0, bound), bound ≤ 2^32, for draw `index` of `stream`. Numbers from the
 * incomplete last block of 2^32 are drawn again, so that there is no bias.
 */
export function drawBelow(bound: number, seed: number, stream: number, index: number): number {
  const usable = Math.floor(0x100000000 / bound) * bound;
  for (let attempt = 0; ; attempt++) {
    for (const value of philox([index >>> 0, stream >>> 0, attempt, SAMPLER], keyOf(seed))) {
      if (value < usable) return value % bound;
    }
  }
}
