/**
 * The likelihood crosstalk matrix: what inducing one value does to the preference for every value.
 *
 * For a held-out pair p of value j, margin(p) = log p(side that matches j) − log p(other side), in nats over the whole
 * answer. Cell (i, j) is the mean over the pairs of j of margin under adapter i minus margin of the untrained model, with
 * a bootstrap interval over pairs. Accuracy is the share of pairs with a margin above 0.
 */
import { bootstrapMean, type Interval } from "./bootstrap.js";

/** One pair under one adapter. */
export interface PairMargin {
  /** Value induced by the adapter; "base" is the untrained model. */
  adapter: string;
  /** Value that the pair is about. */
  value: string;
  pair: string;
  /** log p(matching) − log p(not matching), nats. */
  margin: number;
}

export interface CrosstalkCell {
  induced: string;
  measured: string;
  /** Change of the margin per pair against the untrained model, nats. */
  delta: Interval;
  accuracyBefore: number;
  accuracyAfter: number;
  /** Change of accuracy, paired. */
  accuracyDelta: Interval;
}

export interface Crosstalk {
  induced: string[];
  measured: string[];
  /** Row by row, `induced` outermost. */
  cells: CrosstalkCell[];
}

export interface CrosstalkOptions {
  seed?: number;
  resamples?: number;
  confidence?: number;
}

/**
 * Rows are the adapters other than `base`, columns the values, both in order of first appearance.
 * @throws RangeError where an adapter lacks a pair that the untrained model has, or the other way round
 */
export function crosstalkMatrix(margins: readonly PairMargin[], options: CrosstalkOptions = {}): Crosstalk {
  const table = new Map<string, Map<string, Map<string, number>>>();
  for (const { adapter, value, pair, margin } of margins) {
    const values = getOrMake(table, adapter, () => new Map<string, Map<string, number>>());
    const pairs = getOrMake(values, value, () => new Map<string, number>());
    if (pairs.has(pair)) throw new RangeError(`pair ${pair} appears twice under ${adapter}`);
    pairs.set(pair, margin);
  }
  const base = table.get("base");
  if (base === undefined) throw new RangeError("the untrained model (base) has no margins to compare with");
  const induced = [...table.keys()].filter((adapter) => adapter !== "base");
  const measured = [...base.keys()];
  const cells = induced.flatMap((adapter, row) =>
    measured.map((value, column) => {
      const before = base.get(value)!;
      const after = table.get(adapter)!.get(value);
      if (after === undefined || after.size !== before.size)
        throw new RangeError(
          `${adapter} has ${after?.size ?? 0} pairs of ${value}, the untrained model ${before.size}`,
        );
      const changes: number[] = [];
      const corrected: number[] = [];
      for (const [pair, margin] of before) {
        const moved = after.get(pair);
        if (moved === undefined) throw new RangeError(`${adapter} lacks pair ${pair} of ${value}`);
        changes.push(moved - margin);
        corrected.push(Number(moved > 0) - Number(margin > 0));
      }
      const stream = row * measured.length + column;
      return {
        induced: adapter,
        measured: value,
        delta: bootstrapMean(changes, { ...options, stream: 2 * stream }),
        accuracyBefore: shareAboveZero(before),
        accuracyAfter: shareAboveZero(after),
        accuracyDelta: bootstrapMean(corrected, { ...options, stream: 2 * stream + 1 }),
      };
    }),
  );
  return { induced, measured, cells };
}

function shareAboveZero(pairs: Map<string, number>): number {
  let above = 0;
  for (const margin of pairs.values()) above += margin > 0 ? 1 : 0;
  return above / pairs.size;
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
