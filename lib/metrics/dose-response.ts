/** How the shift of the target and its side effects grow with dose: optimiser steps, or KL from the untrained model. */
import { type CrossedEstimate, combine, type Inference, infer } from "./crossed.js";
import { crossedRatio, type Ratio } from "./fieller.js";

/** What one dose did. Runs of all doses share their group names: a checkpoint of a run is the same run. */
export interface Dose {
  /** Steps, or nats of KL. */
  dose: number;
  target: CrossedEstimate;
  sideEffects: Readonly<Record<string, CrossedEstimate>>;
}

export interface DosePoint {
  dose: number;
  target: Inference;
  sideEffects: Record<string, { shift: Inference; perUnit: Ratio }>;
}

export interface DoseResponse {
  /** By dose, ascending. */
  points: DosePoint[];
  /** Change per unit of dose: the least-squares line over the doses, each counting alike. Absent with a single dose. */
  slopes?: { target: Inference; sideEffects: Record<string, Inference> };
}

/**
 * Every dose's estimates and, of each measure, the slope Σ (x − x̄) θ_x / Σ (x − x̄)², whose interval knows that the doses
 * share runs and prompts. A line is a summary, not a claim that the response is one: doses beyond saturation flatten it.
 *
 * @throws RangeError where two doses are the same, or a dose lacks a side effect that another has
 */
export function doseResponse(doses: readonly Dose[], confidence = 0.95): DoseResponse {
  const sorted = [...doses].sort((left, right) => left.dose - right.dose);
  for (const [index, { dose }] of sorted.entries())
    if (sorted[index + 1]?.dose === dose) throw new RangeError(`dose ${dose} appears twice`);
  const names = [...new Set(sorted.flatMap(({ sideEffects }) => Object.keys(sideEffects)))];
  const side = ({ dose, sideEffects }: Dose, name: string): CrossedEstimate => {
    const found = sideEffects[name];
    if (found === undefined) throw new RangeError(`dose ${dose} lacks ${name}`);
    return found;
  };
  const points = sorted.map((dose) => ({
    dose: dose.dose,
    target: infer(dose.target, { confidence }),
    sideEffects: Object.fromEntries(
      names.map((name) => {
        const estimate = side(dose, name);
        return [
          name,
          { shift: infer(estimate, { confidence }), perUnit: crossedRatio(estimate, dose.target, confidence) },
        ];
      }),
    ),
  }));
  if (sorted.length < 2) return { points };

  const middle = sorted.reduce((sum, { dose }) => sum + dose, 0) / sorted.length;
  const spread = sorted.reduce((sum, { dose }) => sum + (dose - middle) ** 2, 0);
  const slope = (of: (dose: Dose) => CrossedEstimate): Inference =>
    infer(combine(sorted.map((dose) => ({ weight: (dose.dose - middle) / spread, of: of(dose) }))), { confidence });
  const sideEffects = Object.fromEntries(names.map((name) => [name, slope((dose) => side(dose, name))]));
  return { points, slopes: { target: slope(({ target }) => target), sideEffects } };
}
