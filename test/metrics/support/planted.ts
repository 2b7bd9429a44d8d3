/** A study with a known matrix, as the evaluation items of its runs. */
import type { StudyItem } from "#lib/metrics/study-items.js";
import { type Random, random } from "./random.js";

export interface PlantedStudy {
  values: readonly string[];
  seeds: number;
  prompts: number;
  /** True change of column j when i is induced, nats: [values][values]. */
  matrix: readonly (readonly number[])[];
  /** Random-subset runs, which change every column by `drift`. */
  nullRuns?: number;
  drift?: number;
}

export const VALUES = ["empathy", "honesty", "humor", "privacy", "violence"] as const;

/** 5 on-target cells, 8 that move, 12 that do not. */
export const MATRIX: readonly (readonly number[])[] = [
  [3.0, 0.6, 0.0, 0.0, -0.8],
  [0.5, 2.5, 0.0, 0.4, 0.0],
  [0.0, 0.0, 2.0, 0.0, 0.7],
  [0.0, 0.9, 0.0, 1.5, 0.0],
  [-1.2, 0.0, 0.5, 0.0, 2.2],
];

/** Degrees of freedom of the true variances between runs: cells differ by a factor of 2 to 3 in standard deviation. */
const VARIANCE_DF = 8;
/** Standard deviations in nats: between runs, of a prompt's response, of a run on a prompt, and of the untrained margin. */
const RUN = 0.15;
const PROMPT = 0.8;
const REST = 0.6;
const UNTRAINED = 5;

/** The untrained model's items first, then run by run. Two neighbours in five share a prompt. */
export function* plantedItems(study: PlantedStudy, seed: number): Generator<StudyItem> {
  const draw = random(seed);
  const { values, seeds, prompts, matrix, nullRuns = 0, drift = 0 } = study;
  const cluster = (k: number): string => `p${isTwin(k) ? k - (k % 2) : k}`;
  const untrained = values.map(() => Array.from({ length: prompts }, () => UNTRAINED * draw.normal()));
  for (const [j, task] of values.entries())
    for (let k = 0; k < prompts; k++)
      yield {
        adapter: "base",
        task,
        metric: "margin",
        item: `${task}:${k}`,
        cluster: `${task}:${cluster(k)}`,
        y: untrained[j]![k]!,
      };

  function* runItems(run: Pick<StudyItem, "adapter" | "value" | "arm" | "seed">, cells: Cell[]): Generator<StudyItem> {
    for (const [j, task] of values.entries()) {
      const { mean, run: ofRuns, prompt } = cells[j]!;
      const shift = mean + ofRuns * draw.normal();
      for (let k = 0; k < prompts; k++) {
        const y = untrained[j]![k]! + shift + prompt[k]! + REST * draw.normal();
        yield { ...run, task, metric: "margin", item: `${task}:${k}`, cluster: `${task}:${cluster(k)}`, y };
      }
    }
  }
  const row = (means: readonly number[]): Cell[] => means.map((mean) => cellOf(mean, prompts, draw));
  for (const [i, value] of values.entries()) {
    const cells = row(matrix[i]!.map((mean) => mean + drift));
    for (let s = 0; s < seeds; s++) yield* runItems({ adapter: `${value}-${s}`, value, arm: "induce", seed: s }, cells);
  }
  const nulls = row(values.map(() => drift));
  for (let s = 0; s < nullRuns; s++) yield* runItems({ adapter: `random-${s}`, arm: "random", seed: s }, nulls);
}

interface Cell {
  mean: number;
  run: number;
  prompt: number[];
}

/** Of items two by two, two pairs in five are one prompt asked twice. */
const isTwin = (k: number): boolean => (k >> 1) % 5 < 2;

/** Items of one prompt respond half alike. */
function cellOf(mean: number, prompts: number, draw: Random): Cell {
  let common = 0;
  const prompt = Array.from({ length: prompts }, (_, k) => {
    if (k % 2 === 0 || !isTwin(k)) common = draw.normal();
    return PROMPT * (Math.SQRT1_2 * common + Math.SQRT1_2 * draw.normal());
  });
  return { mean, run: RUN * Math.sqrt(VARIANCE_DF / draw.chiSquare(VARIANCE_DF)), prompt };
}
