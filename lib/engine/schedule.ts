/**
 * Learning-rate schedules, exactly as transformers' `get_constant_schedule_with_warmup`,
 * `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup` have them. So with a warm-up
 * the first step's rate is 0 (its multiplier is step / warm-up steps, counted from 0), as it is there.
 */

export type ScheduleKind = "cosine" | "linear" | "constant";

/**
 * Warm-up as given: a fraction of all steps where below 1 (rounded up, as transformers' `warmup_ratio`),
 * else a number of steps.
 */
export function warmupSteps(warmup: number, totalSteps: number): number {
  return warmup < 1 ? Math.ceil(totalSteps * warmup) : Math.round(warmup);
}

/** What the learning rate of step `step` (from 0) is multiplied by. */
export function scheduleFactor(kind: ScheduleKind, step: number, warmup: number, totalSteps: number): number {
  if (step < warmup) return step / Math.max(1, warmup);
  switch (kind) {
    case "constant":
      return 1;
    case "linear":
      return Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmup));
    case "cosine": {
      const progress = (step - warmup) / Math.max(1, totalSteps - warmup);
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
    }
  }
}
