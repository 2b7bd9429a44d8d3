/**
 * The first pass: reads every pair once and keeps of it what choosing needs. Exact duplicates are left out here, near
 * ones at the end, when all signatures are known.
 */
import { type PreferencePair, readPairs } from "../data/pairs.js";
import { type ItemErrorOptions, prepareOrSkip } from "../engine/requests.js";
import { DataFormatError } from "../errors.js";
import { ByteRows } from "./byte-rows.js";
import { KeyColumn } from "./columns.js";
import { KeyMap } from "./key-map.js";
import { sidesOf } from "./labels.js";
import { minhash, SIGNATURE_BYTES } from "./minhash.js";
import { groupPairs, groupTexts } from "./near-duplicates.js";
import { PairTable } from "./pair-table.js";
import { type ComparedText, comparePair, textKey } from "./text.js";

export type LeftOutReason = "unusable" | "same-responses" | "exact-duplicate" | "near-duplicate";

export interface Scan {
  table: PairTable;
  /** 1 where the row is kept, 0 where an earlier one is nearly the same. */
  kept: Uint8Array;
  /** For each prompt the first prompt of its group of near-duplicates. */
  promptGroups: Uint32Array;
  promptKeys: KeyColumn;
  /** Pairs read, whatever became of them. */
  read: number;
  /** Pairs left out, by reason and source. */
  leftOut: Map<LeftOutReason, Map<string, number>>;
  /** Of the exact duplicates, those whose chosen is the other one's rejected. */
  exchanged: number;
  /** Pairs without scores, which a threshold cannot reach. */
  withoutScores: number;
}

export interface ScanOptions extends ItemErrorOptions {
  /** Values to look at; all where it is empty. */
  values: readonly string[];
  threshold: number | null;
  /** Jaccard similarity of near-duplicates; null keeps them. */
  nearDuplicates: number | null;
  signal?: AbortSignal | undefined;
  onProgress?: (read: number) => void;
}

/** The source of pairs that name none. */
const NO_SOURCE = "";

export async function scanPairs(inputs: readonly string[], options: ScanOptions): Promise<Scan> {
  const scanner = new Scanner(options);
  try {
    for (const path of inputs) {
      for await (const pair of readPairs(path, options)) {
        options.signal?.throwIfAborted();
        scanner.add(pair, path);
        options.onProgress?.(scanner.read);
      }
    }
    return scanner.finish();
  } finally {
    scanner.close();
  }
}

class Scanner {
  read = 0;
  private readonly table = new PairTable();
  private readonly leftOut: Scan["leftOut"] = new Map();
  private exchanged = 0;
  private withoutScores = 0;
  private readonly prompts = new KeyMap();
  private readonly promptKeys = new KeyColumn();
  private readonly promptSignatures = new ByteRows(SIGNATURE_BYTES);
  private readonly responseSignatures = new ByteRows(SIGNATURE_BYTES);
  /** Pairs seen, by a key that does not know chosen from rejected; 1 where chosen comes first in it. */
  private readonly pairs = new KeyMap();
  private readonly ids = new KeyMap();
  private readonly wanted: ReadonlySet<string> | null;
  private readonly signature = new Uint8Array(SIGNATURE_BYTES);

  constructor(private readonly options: ScanOptions) {
    this.wanted = options.values.length === 0 ? null : new Set(options.values);
  }

  add(pair: PreferencePair, path: string): void {
    const position = this.read++;
    const source = pair.source ?? NO_SOURCE;
    if (prepareOrSkip(this.options, () => requireLabels(pair, path)) === null) {
      this.leave("unusable", source);
      return;
    }
    const { prompt, chosen, rejected } = comparePair(pair);
    if (chosen.normal === rejected.normal) {
      this.leave("same-responses", source);
      return;
    }
    const chosenFirst = chosen.normal < rejected.normal;
    const [first, second] = chosenFirst ? [chosen, rejected] : [rejected, chosen];
    const key = textKey(prompt.normal, first.normal, second.normal);
    const earlier = this.pairs.get(key);
    if (earlier !== undefined) {
      if (earlier !== Number(chosenFirst)) this.exchanged++;
      this.leave("exact-duplicate", source);
      return;
    }
    if (prepareOrSkip(this.options, () => this.claimId(pair.id, path)) === null) {
      this.leave("unusable", source);
      return;
    }
    this.pairs.set(key, Number(chosenFirst));
    if (pair.scores === undefined) this.withoutScores++;
    const sides = [...sidesOf(pair, this.options.threshold)];
    this.table.push({
      position,
      key,
      prompt: this.promptNumber(prompt),
      source,
      chosenWords: chosen.words.length,
      rejectedWords: rejected.words.length,
      values: this.wanted === null ? sides : sides.filter(([value]) => this.wanted!.has(value)),
    });
    this.sign(chosen, this.responseSignatures);
    this.sign(rejected, this.responseSignatures);
  }

  finish(): Scan {
    const { table, promptKeys } = this;
    const { nearDuplicates, signal } = this.options;
    // All pairs are known: what recognised them makes room for what looks for near-duplicates.
    for (const keys of [this.prompts, this.pairs, this.ids]) keys.clear();
    let promptGroups: Uint32Array = Uint32Array.from({ length: promptKeys.length }, (_, prompt) => prompt);
    const kept = new Uint8Array(table.length).fill(1);
    if (nearDuplicates !== null) {
      const options = { threshold: nearDuplicates, ...(signal && { signal }) };
      promptGroups = groupTexts(this.promptSignatures, options);
      const groupOfRow = Uint32Array.from({ length: table.length }, (_, row) => promptGroups[table.promptOf(row)]!);
      const pairGroups = groupPairs(this.responseSignatures, groupOfRow, options);
      for (const [row, first] of pairGroups.entries()) {
        if (first === row) continue;
        kept[row] = 0;
        this.leave("near-duplicate", table.sources.list[table.sourceOf(row)]!);
      }
    }
    const { read, leftOut, exchanged, withoutScores } = this;
    return { table, kept, promptGroups, promptKeys, read, leftOut, exchanged, withoutScores };
  }

  /** Of temporary files. */
  close(): void {
    this.promptSignatures.close();
    this.responseSignatures.close();
  }

  private promptNumber(prompt: ComparedText): number {
    const key = textKey(prompt.normal);
    let number = this.prompts.get(key);
    if (number === undefined) {
      number = this.prompts.size;
      this.prompts.set(key, number);
      this.promptKeys.push(key);
      this.sign(prompt, this.promptSignatures);
    }
    return number;
  }

  private sign({ words }: ComparedText, rows: ByteRows): void {
    if (this.options.nearDuplicates === null) return;
    minhash(words, this.signature);
    rows.push(this.signature);
  }

  private leave(reason: LeftOutReason, source: string): void {
    const sources = this.leftOut.get(reason) ?? new Map<string, number>();
    this.leftOut.set(reason, sources.set(source, (sources.get(source) ?? 0) + 1));
  }

  /** An id names one pair everywhere behind this point: in logs, scores and evaluations. */
  private claimId(id: string, path: string): void {
    const key = textKey(id);
    if (this.ids.get(key) !== undefined)
      throw new DataFormatError(`${path}: the id "${id}" is of two different pairs; give every pair an id of its own`);
    this.ids.set(key, 1);
  }
}

function requireLabels(pair: PreferencePair, path: string): void {
  if (pair.values === undefined)
    throw new DataFormatError(`${path}: pair "${pair.id}" has no "values"; label the file first (valora label)`);
}
