/** What asking for log-probabilities and asking for answers have in common: blocks of questions, passes over subjects. */
import type { PlannedTask, PlanOptions, Subject } from "./plan.js";
import type { Question } from "./task.js";

export interface PassOptions extends PlanOptions {
  /** Told why a question was left out. */
  onSkip?: (message: string) => void;
}

/** Questions that are taken up together. */
export const BLOCK = 64;

export function questionsOf({ task }: PlannedTask, options: PassOptions): AsyncIterable<Question> {
  const { data, limit, seed, turns, signal } = options;
  // What there is to be said of the data has been said by the plan.
  return (async function* () {
    yield* task.load(data, { limit, seed, turns, signal });
  })();
}

export async function* blocksOf<Q extends Question>(questions: AsyncIterable<Question>): AsyncGenerator<Q[]> {
  let block: Q[] = [];
  for await (const question of questions) {
    block.push(question as Q);
    if (block.length < BLOCK) continue;
    yield block;
    block = [];
  }
  if (block.length > 0) yield block;
}

/** Adapters of a pass, under names that `indexOf` reads. */
export function adaptersOf(subjects: readonly Subject[], indices: readonly number[]) {
  return Object.fromEntries(indices.map((index) => [`subject ${index}`, subjects[index]!.adapter]));
}

export const indexOf = (adapter: string): number => Number(adapter.slice("subject ".length));

export function passOptions({ signal, onError, onSkip }: PassOptions) {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(onError === undefined ? {} : { onError }),
    ...(onSkip === undefined ? {} : { onSkip }),
  };
}
