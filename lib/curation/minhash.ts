/**
 * MinHash signatures (Broder, "On the resemblance and containment of documents", 1997): the share of equal entries of two
 * signatures estimates the Jaccard similarity of two texts' sets of shingles. A shingle is two words in a row.
 *
 * An entry keeps 8 bits of its minimum (Li and König, "b-Bit Minwise Hashing", WWW 2010): 128 bytes a text, and two
 * different minima look equal once in 256, which the estimate takes off again. Its standard error is
 * √(J (1 − J) / 128), 0.035 at J = 0.8.
 */
import { philox } from "../engine/random.js";
import { mix } from "./text.js";

/** Entries, and bytes, of a signature. */
export const SIGNATURE_BYTES = 128;
/** How often two different minima have the same 8 bits. */
const CHANCE = 1 / 256;
/** Keeps these constants apart from what else is drawn from seed 0. */
const MINHASH_DOMAIN = 0x6d696e68;

/** Each entry's own order of the shingles: (shingle ⊕ salt) × odd number, mod 2^32. The same for everybody, for ever. */
const SALTS = new Int32Array(SIGNATURE_BYTES);
const FACTORS = new Int32Array(SIGNATURE_BYTES);
for (let entry = 0; entry < SIGNATURE_BYTES; entry++) {
  const [salt, factor] = philox([entry, 0, 0, MINHASH_DOMAIN], [0, 0]);
  SALTS[entry] = salt;
  FACTORS[entry] = factor | 1;
}

const minima = new Int32Array(SIGNATURE_BYTES);

/**
 * The signature of a text's words, in `target`.
 *
 * @param words a 32-bit hash of each word, in order; of one word that word is the only shingle, and all texts without a
 *   word look alike
 */
export function minhash(words: Uint32Array, target: Uint8Array): void {
  minima.fill(0x7fffffff);
  const shingles = Math.max(1, words.length - 1);
  for (let begin = 0; begin < shingles; begin++) {
    const shingle = mix(Math.imul(words[begin] ?? 0, 0x9e3779b1) + (words[begin + 1] ?? 0));
    for (let entry = 0; entry < SIGNATURE_BYTES; entry++) {
      const order = Math.imul(shingle ^ SALTS[entry]!, FACTORS[entry]!);
      if (order < minima[entry]!) minima[entry] = order;
    }
  }
  for (let entry = 0; entry < SIGNATURE_BYTES; entry++) target[entry] = mix(minima[entry]!);
}

/** The estimated Jaccard similarity, within [0, 1], of the texts of two signatures. */
export function similarity(left: Uint8Array, right: Uint8Array): number {
  let equal = 0;
  for (let entry = 0; entry < SIGNATURE_BYTES; entry++) if (left[entry] === right[entry]) equal++;
  return Math.max(0, (equal / SIGNATURE_BYTES - CHANCE) / (1 - CHANCE));
}

/** Equal entries from which on `similarity` reaches `threshold`. */
export function entriesFor(threshold: number): number {
  return Math.ceil(SIGNATURE_BYTES * (threshold * (1 - CHANCE) + CHANCE) - 1e-9);
}

/** Whether two signatures have at least `needed` entries equal. */
export function isNear(left: Uint8Array, right: Uint8Array, needed: number): boolean {
  let missing = SIGNATURE_BYTES - needed;
  for (let entry = 0; entry < SIGNATURE_BYTES; entry++) {
    if (left[entry] !== right[entry] && --missing < 0) return false;
  }
  return true;
}
