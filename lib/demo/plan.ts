/** How much work a demo does in the minutes it is given, from the speed of its first training step. */

export interface DemoPlan {
  /** Training pairs of each induced trait. */
  trainPairs: number;
  epochs: number;
  /** Held-out pairs of each measured trait. */
  heldOutPairs: number;
}

/** The whole demo, then ever smaller ones. The last is done whatever the time. */
export const DEMO_PLANS: readonly DemoPlan[] = [
  { trainPairs: 64, epochs: 2, heldOutPairs: 64 },
  { trainPairs: 64, epochs: 2, heldOutPairs: 32 },
  { trainPairs: 64, epochs: 1, heldOutPairs: 32 },
  { trainPairs: 32, epochs: 1, heldOutPairs: 32 },
  { trainPairs: 32, epochs: 1, heldOutPairs: 16 },
];

/** Pairs of an optimiser step. */
export const BATCH_PAIRS = 8;

export interface DemoWork {
  /** Adapters trained. */
  induced: number;
  measured: number;
  /** Adapters scored, the untrained model among them. */
  scored: number;
}

/**
 * A trained pair costs a forward and a backward pass over prompt and both statements. A scored pair costs the forward
 * pass of its two statements alone, since all share one prompt: about a seventh (measured on 2 cores, AVX2).
 */
const SCORED_PAIR_COST = 1 / 7;

/** Seconds that a plan takes where training makes `pairsPerSecond`. */
export function expectedSeconds(plan: DemoPlan, work: DemoWork, pairsPerSecond: number): number {
  const trained = plan.trainPairs * plan.epochs * work.induced;
  const scored = plan.heldOutPairs * work.measured * work.scored * SCORED_PAIR_COST;
  return (trained + scored) / pairsPerSecond;
}

/** The largest plan that fits into `seconds`, else the smallest. */
export function choosePlan(seconds: number, work: DemoWork, pairsPerSecond: number): DemoPlan {
  return DEMO_PLANS.find((plan) => expectedSeconds(plan, work, pairsPerSecond) <= seconds) ?? DEMO_PLANS.at(-1)!;
}

/** What a plan leaves out of the whole demo, one phrase each. */
export function describeCuts(plan: DemoPlan): string[] {
  const whole = DEMO_PLANS[0]!;
  const cuts: string[] = [];
  if (plan.trainPairs < whole.trainPairs)
    cuts.push(`${plan.trainPairs} training pairs a trait instead of ${whole.trainPairs}`);
  if (plan.epochs < whole.epochs) cuts.push(`${plan.epochs} epoch instead of ${whole.epochs}`);
  if (plan.heldOutPairs < whole.heldOutPairs)
    cuts.push(`${plan.heldOutPairs} held-out pairs a trait instead of ${whole.heldOutPairs}`);
  return cuts;
}
