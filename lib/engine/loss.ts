/**
 * The losses of preference training on log-probabilities, for held-out pairs, which need no gradient. The
 * formulas and their sources stand in native/model/loss.h; a test holds the two to each other.
 */
import type { NativeLoss } from "../native.js";

export interface PairLogprobs {
  chosen: number;
  rejected: number;
  chosenReference: number;
  rejectedReference: number;
  chosenTokens: number;
  rejectedTokens: number;
}

function logLogistic(x: number): number {
  return x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x));
}

export function pairLoss({ kind, beta, labelSmoothing, rpoAlpha }: NativeLoss, pair: PairLogprobs): number {
  const chosenRatio = pair.chosen - pair.chosenReference;
  const rejectedRatio = pair.rejected - pair.rejectedReference;
  const scaled = beta * (chosenRatio - rejectedRatio);
  const likelihood = -pair.chosen / pair.chosenTokens;
  switch (kind) {
    case "sft":
      return likelihood;
    case "sigmoid":
      return (
        -(1 - labelSmoothing) * logLogistic(scaled) - labelSmoothing * logLogistic(-scaled) + rpoAlpha * likelihood
      );
    case "robust":
      return (
        (labelSmoothing * logLogistic(-scaled) - (1 - labelSmoothing) * logLogistic(scaled)) /
          (1 - 2 * labelSmoothing) +
        rpoAlpha * likelihood
      );
    case "hinge":
      return Math.max(0, 1 - scaled) + rpoAlpha * likelihood;
    case "ipo": {
      const off = chosenRatio / pair.chosenTokens - rejectedRatio / pair.rejectedTokens - 1 / (2 * beta);
      return off * off + rpoAlpha * likelihood;
    }
  }
}
