/** How much of the study `smoke` a demo does in the minutes it is given: all of it, or ever less. */
import type { StudyChange } from "../study/read-study.js";

export interface DemoPlan {
  /** Training pairs of each induced trait. */
  trainPairs: number;
  epochs: number;
  /** Held-out pairs of each measured trait. */
  heldOutPairs: number;
  /** Prompts that divergence is sampled with. */
  klPrompts: number;
  /** Random pairs and system prompts beside the induced traits. */
  controls: boolean;
}

/** The whole study, then ever smaller ones. The last is done whatever the time. */
export const DEMO_PLANS: readonly DemoPlan[] = [
  { trainPairs: 64, epochs: 2, heldOutPairs: 32, klPrompts: 8, controls: true },
  { trainPairs: 64, epochs: 2, heldOutPairs: 16, klPrompts: 4, controls: true },
  { trainPairs: 64, epochs: 1, heldOutPairs: 16, klPrompts: 4, controls: true },
  { trainPairs: 32, epochs: 1, heldOutPairs: 16, klPrompts: 4, controls: true },
  { trainPairs: 32, epochs: 1, heldOutPairs: 16, klPrompts: 0, controls: false },
];

/** What a plan says otherwise than the study's file. */
export function changesOf(plan: DemoPlan): StudyChange[] {
  return [
    [["pairs", "train"], plan.trainPairs],
    [["pairs", "held-out"], plan.heldOutPairs],
    [["training", "epochs"], plan.epochs],
    [["kl", "prompts"], plan.klPrompts],
    ...(plan.controls ? [] : [[["arms"], ["induce"]] satisfies StudyChange]),
  ];
}

/** The largest plan that fits into `seconds`, else the smallest. */
export async function choosePlan(
  seconds: number,
  secondsOf: (plan: DemoPlan) => Promise<number>,
): Promise<{ plan: DemoPlan; expectedSeconds: number }> {
  for (const plan of DEMO_PLANS) {
    const expectedSeconds = await secondsOf(plan);
    if (expectedSeconds <= seconds || plan === DEMO_PLANS.at(-1)) return { plan, expectedSeconds };
  }
  throw new RangeError("there are no plans");
}

/** What a plan leaves out of the whole study, one phrase each. */
export function describeCuts(plan: DemoPlan): string[] {
  const whole = DEMO_PLANS[0]!;
  const cuts: string[] = [];
  if (plan.trainPairs < whole.trainPairs)
    cuts.push(`${plan.trainPairs} training pairs a trait instead of ${whole.trainPairs}`);
  if (plan.epochs < whole.epochs) cuts.push(`${plan.epochs} epoch instead of ${whole.epochs}`);
  if (plan.heldOutPairs < whole.heldOutPairs)
    cuts.push(`${plan.heldOutPairs} held-out pairs a trait instead of ${whole.heldOutPairs}`);
  if (plan.klPrompts < whole.klPrompts)
    cuts.push(
      plan.klPrompts === 0 ? "no divergence" : `divergence by ${plan.klPrompts} instead of ${whole.klPrompts} prompts`,
    );
  if (!plan.controls) cuts.push("no controls");
  return cuts;
}
