/** The second pass: reads the pairs again and writes each into the files of the values that chose it. */
import { join } from "node:path";
import { type PreferencePair, readPairs } from "../data/pairs.js";
import type { ItemErrorOptions } from "../engine/requests.js";
import { type AtomicWriter, createAtomicWriter } from "../files/atomic.js";
import type { Arm, ArmSubset } from "./arms.js";
import { fileOf } from "./file-names.js";
import type { PairTable } from "./pair-table.js";
import { isFlipped, type Member, PARTS, type Part, rowOf } from "./select.js";

export interface WritePairsOptions {
  arm: Arm;
  /** Parts to write; without held-out prompts there is only the one. */
  parts: readonly Part[];
  onError: ItemErrorOptions["onError"];
  signal?: AbortSignal | undefined;
  onProgress?: (read: number) => void;
}

/** Files that are open at a time; the usual limit of a process is 1,024. */
const MAX_OPEN_FILES = 256;

/** Writes `<value>.jsonl` and `<value>.held-out.jsonl` for each subset into `folder`, lines in input order. */
export async function writePairs(
  inputs: readonly string[],
  table: PairTable,
  subsets: readonly ArmSubset[],
  folder: string,
  options: WritePairsOptions,
): Promise<void> {
  const targets = subsets.flatMap((subset) =>
    PARTS.filter((part) => options.parts.includes(part)).map((part) => ({
      value: subset.value,
      path: join(folder, fileOf(subset.value, part)),
      members: subset.members[part],
    })),
  );
  for (let begin = 0; begin < targets.length; begin += MAX_OPEN_FILES)
    await writeTargets(inputs, table, targets.slice(begin, begin + MAX_OPEN_FILES), options);
}

interface Target {
  value: string;
  path: string;
  members: readonly Member[];
}

async function writeTargets(
  inputs: readonly string[],
  table: PairTable,
  targets: readonly Target[],
  { arm, onError, signal, onProgress }: WritePairsOptions,
): Promise<void> {
  const open: (Target & { writer: AtomicWriter; next: number })[] = [];
  try {
    for (const target of targets) open.push({ ...target, writer: await createAtomicWriter(target.path), next: 0 });
    let [read, row] = [0, 0];
    for (const path of inputs) {
      for await (const pair of readPairs(path, onError === undefined ? {} : { onError })) {
        signal?.throwIfAborted();
        const position = read++;
        onProgress?.(read);
        if (row === table.length || table.positionOf(row) !== position) continue;
        for (const target of open) {
          const member = target.members[target.next];
          if (member === undefined || rowOf(member) !== row) continue;
          target.next++;
          await target.writer.write(`${JSON.stringify(curatedPair(pair, target.value, arm, isFlipped(member)))}\n`);
        }
        row++;
      }
    }
    for (const { writer } of open) await writer.commit();
  } finally {
    for (const { writer } of open) await writer.abort();
  }
}

/** The pair as it is written: exchanged where it is flipped, and everything that belongs to a side with it. */
export function curatedPair(pair: PreferencePair, value: string, arm: Arm, flipped: boolean): PreferencePair {
  return { ...(flipped ? exchangeSides(pair) : pair), value, flipped, arm };
}

/**
 * Exchanges `chosen` and `rejected`, their tokens, and any other field of a side (`chosen_rating`), in
 * place, so that the order of the fields stays.
 */
function exchangeSides(pair: PreferencePair): PreferencePair {
  const exchanged = Object.fromEntries(
    Object.entries(pair).map(([field, content]) => {
      const other = otherSide(field);
      if (other !== null) return [field, pair[other]];
      return [field, field === "values" || field === "scores" ? exchange(content as Sided) : content];
    }),
  );
  // A field of one side only moves to the other.
  for (const field of Object.keys(pair)) {
    const other = otherSide(field);
    if (other === null || other in pair) continue;
    exchanged[other] = pair[field];
    delete exchanged[field];
  }
  return exchanged as PreferencePair;
}

interface Sided {
  chosen: unknown;
  rejected: unknown;
}

const exchange = ({ chosen, rejected, ...rest }: Sided): Sided => ({ chosen: rejected, rejected: chosen, ...rest });

/** "chosen_tokens" → "rejected_tokens" and back; null for a field of the whole pair. */
function otherSide(field: string): string | null {
  const match = /^(chosen|rejected)(_.*)?$/.exec(field);
  if (match === null) return null;
  return (match[1] === "chosen" ? "rejected" : "chosen") + (match[2] ?? "");
}
