/**
 * Which texts are near-duplicates: locality-sensitive hashing of MinHash signatures (Indyk and Motwani, STOC 1998; the
 * banding of Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, ch. 3.4). A signature is cut into bands of r
 * entries; two texts of similarity s share a band with probability 1 − (1 − s^r)^bands. Those that share one are
 * compared; band after band is sorted, so that memory beside the signatures is 8 bytes a text.
 */
import { type Rows, rowsIn } from "./byte-rows.js";
import { entriesFor, isNear, SIGNATURE_BYTES } from "./minhash.js";
import { mix } from "./text.js";
import { UnionFind } from "./union-find.js";

/** A pair of texts at the threshold shares a band, and so is compared, with at least this probability. */
const RECALL = 0.99;
/** More entries in a band than this save no comparison worth having. */
const MAX_ROWS = 16;
/**
 * Texts that share a band are compared each with this many before it, not with all: a million texts of one template
 * would be compared for hours. Between them such chains still join what is alike.
 */
const MAX_COMPARED = 1024;

/** Entries in a band: as many as `RECALL` allows, since every one more spares comparisons. */
export function rowsOfBand(threshold: number): number {
  for (let rows = MAX_ROWS; rows > 1; rows--) {
    const bands = Math.floor(SIGNATURE_BYTES / rows);
    if (1 - (1 - threshold ** rows) ** bands >= RECALL) return rows;
  }
  return 1;
}

export interface NearDuplicateOptions {
  /** Jaccard similarity from which on two texts are near-duplicates, in [0.5, 1]. */
  threshold: number;
  signal?: AbortSignal;
}

/**
 * Groups texts into near-duplicates, transitively.
 *
 * @param signatures n × `SIGNATURE_BYTES`, in memory or as rows
 * @returns for each text the first one of its group
 */
export function groupTexts(signatures: Uint8Array | Rows, options: NearDuplicateOptions): Uint32Array {
  const rows = asRows(signatures);
  const groups = new UnionFind(rows.length);
  const near = comparer(rows, options.threshold);
  forEachCandidate(rows, null, options, (left, right) => {
    if (groups.find(left) !== groups.find(right) && near(left, right)) groups.union(left, right);
  });
  return Uint32Array.from({ length: rows.length }, (_, text) => groups.find(text));
}

/**
 * Groups pairs: near-duplicates are those of one group of prompts whose two responses are near-duplicates too, in
 * either order.
 *
 * @param responses 2n × `SIGNATURE_BYTES`: chosen, rejected of each pair
 * @param prompts for each pair the group of its prompt
 * @returns for each pair the first one of its group
 */
export function groupPairs(
  responses: Uint8Array | Rows,
  prompts: Uint32Array,
  options: NearDuplicateOptions,
): Uint32Array {
  const rows = asRows(responses);
  const groups = new UnionFind(prompts.length);
  const near = comparer(rows, options.threshold);
  // Response 2p is chosen, 2p + 1 rejected, of pair p: ⊕ 1 is the other response.
  forEachCandidate(
    rows,
    (response) => prompts[response >>> 1]!,
    options,
    (left, right) => {
      const [a, b] = [left >>> 1, right >>> 1];
      if (prompts[a] !== prompts[b] || groups.find(a) === groups.find(b)) return;
      if (near(left, right) && near(left ^ 1, right ^ 1)) groups.union(a, b);
    },
  );
  return Uint32Array.from({ length: prompts.length }, (_, pair) => groups.find(pair));
}

function asRows(signatures: Uint8Array | Rows): Rows {
  return signatures instanceof Uint8Array ? rowsIn(signatures, SIGNATURE_BYTES) : signatures;
}

/** Whether two texts are as near as `threshold`. */
function comparer(rows: Rows, threshold: number): (left: number, right: number) => boolean {
  const needed = entriesFor(threshold);
  const buffers = [new Uint8Array(SIGNATURE_BYTES), new Uint8Array(SIGNATURE_BYTES)] as const;
  return (left, right) => isNear(rows.row(left, buffers[0]), rows.row(right, buffers[1]), needed);
}

/** Calls `visit` for texts that share a band (and a `scope`, where that is given), the smaller index first. */
function forEachCandidate(
  signatures: Rows,
  scope: ((text: number) => number) | null,
  { threshold, signal }: NearDuplicateOptions,
  visit: (left: number, right: number) => void,
): void {
  const count = signatures.length;
  const rows = rowsOfBand(threshold);
  const sorted = new BigUint64Array(count);
  // The same memory as pairs of 32-bit numbers, low half first: every system that Node runs on here is little-endian.
  const halves = new Uint32Array(sorted.buffer);
  for (let band = 0; (band + 1) * rows <= SIGNATURE_BYTES; band++) {
    signal?.throwIfAborted();
    let text = 0;
    for (const block of signatures.blocks())
      for (let begin = band * rows; begin < block.length; begin += SIGNATURE_BYTES, text++) {
        let hash = scope === null ? 0 : scope(text);
        for (let entry = begin; entry < begin + rows; entry++) hash = mix(hash ^ (block[entry]! + 0x9e3779b9));
        halves[2 * text] = text;
        halves[2 * text + 1] = hash;
      }
    sorted.sort();
    let first = 0;
    for (let at = 1; at < count; at++) {
      if (halves[2 * at + 1] !== halves[2 * first + 1]) first = at;
      for (let other = Math.max(first, at - MAX_COMPARED); other < at; other++)
        visit(halves[2 * other]!, halves[2 * at]!);
    }
  }
}
