/**
 * The likelihood crosstalk matrix with one adapter a value: the study's estimator (crosstalk-study.ts) with one run a row,
 * beside accuracies.
 *
 * For a held-out pair p of value j, margin(p) = log p(side that matches j) − log p(other side), in nats over the whole
 * answer. Cell (i, j) is the mean over the pairs of j of margin under adapter i minus margin of the untrained model. Its
 * interval is over pairs: it says nothing of other runs. Accuracy is the share of pairs with a margin above 0.
 */
import type { Interval } from "./bootstrap.js";
import type { Inference } from "./crossed.js";
import { crosstalkOfTable } from "./crosstalk-study.js";
import { StudyTable } from "./study-items.js";

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
  /** Default 0.95. */
  confidence?: number;
}

const MARGIN = "margin";
const ACCURACY = "accuracy";

/**
 * Rows are the adapters other than `base`, columns the values, both in order of first appearance.
 * @throws RangeError where an adapter lacks a pair that the untrained model has, or the other way round
 */
export function crosstalkMatrix(margins: readonly PairMargin[], options: CrosstalkOptions = {}): Crosstalk {
  const table = new StudyTable();
  const accuracy = new Map<string, { above: number; pairs: number }>();
  for (const { adapter, value, pair, margin } of margins) {
    const line = { adapter, value: adapter, task: value, item: pair };
    table.add({ ...line, metric: MARGIN, y: margin });
    table.add({ ...line, metric: ACCURACY, y: margin > 0 ? 1 : 0 });
    const key = keyOf(adapter, value);
    const { above, pairs } = accuracy.get(key) ?? { above: 0, pairs: 0 };
    accuracy.set(key, { above: above + (margin > 0 ? 1 : 0), pairs: pairs + 1 });
  }
  const [study, accuracies] = crosstalkOfTable(table, { ...options, metrics: [MARGIN, ACCURACY] });
  const { induced, measured } = study!;
  const share = (adapter: string, value: string): number => {
    const { above, pairs } = accuracy.get(keyOf(adapter, value))!;
    return above / pairs;
  };
  for (const adapter of induced)
    for (const value of measured) {
      const [after, before] = [adapter, "base"].map((name) => accuracy.get(keyOf(name, value))?.pairs ?? 0);
      const leftOut = study!.cells.find((cell) => cell.induced === adapter && cell.measured === value)?.leftOut;
      if (leftOut !== 0)
        throw new RangeError(
          `${adapter} has ${after} pairs of ${value}, the untrained model ${before}, not the same ones`,
        );
    }
  const cells = study!.cells.map(({ induced, measured, delta }, index) => ({
    induced,
    measured,
    delta: intervalOf(delta),
    accuracyBefore: share("base", measured),
    accuracyAfter: share(induced, measured),
    accuracyDelta: intervalOf(accuracies!.cells[index]!.delta),
  }));
  return { induced, measured, cells };
}

function keyOf(adapter: string, value: string): string {
  return JSON.stringify([adapter, value]);
}

/** Of a single pair the interval is the pair itself. */
function intervalOf({ estimate, low, high, items }: Inference): Interval {
  return { mean: estimate, low: low ?? estimate, high: high ?? estimate, n: items };
}
