/** Held-out pairs: loss, margin and accuracy of an adapter that is being trained, without gradients. */
import type { NativeLoss } from "../native.js";
import type { Adapter } from "./adapter.js";
import { pairLoss } from "./loss.js";
import type { Model } from "./model.js";
import type { ReferencedPair } from "./pair-batch.js";
import { pairLogprobs } from "./reference.js";
import type { TrainStep } from "./train-options.js";

export interface HeldOut {
  pairs: ReferencedPair[];
}

export async function evaluatePairs(
  model: Model,
  adapter: Adapter,
  { pairs }: HeldOut,
  loss: NativeLoss,
  signal: AbortSignal | undefined,
): Promise<Required<Pick<TrainStep, "eval_loss" | "eval_margin" | "eval_accuracy">>> {
  const logprobs = await pairLogprobs(model, pairs, adapter.handle, { signal });
  let lossSum = 0;
  let marginSum = 0;
  let won = 0;
  pairs.forEach((pair, index) => {
    const chosen = logprobs[2 * index]!;
    const rejected = logprobs[2 * index + 1]!;
    const margin = loss.beta * (chosen - pair.chosenReference - (rejected - pair.rejectedReference));
    lossSum += pairLoss(loss, {
      chosen,
      rejected,
      chosenReference: pair.chosenReference,
      rejectedReference: pair.rejectedReference,
      chosenTokens: pair.chosen.length,
      rejectedTokens: pair.rejected.length,
    });
    marginSum += margin;
    won += margin > 0 ? 1 : 0;
  });
  return {
    eval_loss: lossSum / pairs.length,
    eval_margin: marginSum / pairs.length,
    eval_accuracy: won / pairs.length,
  };
}
