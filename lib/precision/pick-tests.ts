/**
 * The study's pick-the-target test with the roles exchanged: people have said which values a text expresses, and the
 * extractor, who is shown one of them among distractors, picks. It ranks by score, so that a threshold has no say.
 */
import { drawBelow } from "../engine/random.js";
import { bootstrapScores, type Estimate, type Judged } from "../metrics/classification.js";
import { makePickItem, randomPickPrecision } from "../metrics/pick-target.js";
import type { Scores } from "../values/extractor.js";
import type { LabelledText } from "./labelled.js";

export interface PickTest {
  name: "one of four" | "k of all";
  /** How many the extractor picks. */
  k: number;
  /** Share of targets among what it picked; equal scores are put in random order, so that no information is chance. */
  hits: Estimate;
  random: number;
  /** Hits of who always prefers the value that people give most often, whatever the text says. */
  commonest: number;
}

const DISTRACTORS = 3;
/** The study's random baselines. */
const PICKED_OF_ALL = [1, 5];
/** Keeps the order of equal scores apart from other draws under the same seed. */
const STREAM = 0x746f706b;

interface ScoredText {
  text: LabelledText;
  scores: Scores;
}

interface Outcome {
  cluster: string | null;
  hit: boolean;
  chance: number;
}

/** A test that no text allows, such as five of four values, is left out. */
export function pickTests(scored: readonly ScoredText[], values: readonly string[], seed: number): PickTest[] {
  const commonness = Object.fromEntries(
    values.map((value) => [value, scored.filter(({ text }) => text.labels.get(value)).length]),
  );
  const outcomes = pickAll(scored, values, seed);
  const byCommonness = pickAll(
    scored.map(({ text }) => ({ text, scores: commonness })),
    values,
    seed,
  );
  return outcomes
    .map(({ name, k, outcomes }, test): PickTest => {
      // Every target is there to be found, so that the share found is a recall.
      const judged = outcomes.map(
        ({ hit, cluster }): Judged => ({ truth: true, predicted: hit, ...(cluster === null ? {} : { cluster }) }),
      );
      return {
        name,
        k,
        hits: bootstrapScores(judged, { seed }).recall,
        random: mean(outcomes.map(({ chance }) => chance)),
        commonest: mean(byCommonness[test]!.outcomes.map(({ hit }) => Number(hit))),
      };
    })
    .filter(({ hits }) => hits.n > 0);
}

/** Who picks by these scores, test by test and target by target. */
function pickAll(
  scored: readonly ScoredText[],
  values: readonly string[],
  seed: number,
): (Pick<PickTest, "name" | "k"> & { outcomes: Outcome[] })[] {
  const ofFour: Outcome[] = [];
  const ofAll = PICKED_OF_ALL.map((k) => ({ name: "k of all" as const, k, outcomes: [] as Outcome[] }));
  let index = 0;
  for (const { text, scores } of scored) {
    const shown = values.filter((value) => text.labels.has(value));
    const expressed = shown.filter((value) => text.labels.get(value));
    const scoreOf = (value: string): number => scores[value] ?? 0;
    const { cluster } = text;
    for (const target of expressed) {
      index += 1;
      if (shown.length - expressed.length >= DISTRACTORS) {
        const { labels } = makePickItem({ id: text.id, target, exclude: expressed }, shown, {
          distractors: DISTRACTORS,
          seed,
          index,
        });
        // They are in random order: the first of the best is a random one of them.
        const best = labels.reduce((a, b) => (scoreOf(b) > scoreOf(a) ? b : a));
        ofFour.push({ cluster, hit: best === target, chance: randomPickPrecision(1, labels.length) });
      }
      const above = shown.filter((value) => scoreOf(value) > scoreOf(target)).length;
      const equal = shown.filter((value) => scoreOf(value) === scoreOf(target)).length;
      const rank = above + drawBelow(equal, seed, STREAM, index);
      for (const { k, outcomes } of ofAll)
        if (k < shown.length) outcomes.push({ cluster, hit: rank < k, chance: randomPickPrecision(k, shown.length) });
    }
  }
  return [{ name: "one of four", k: 1, outcomes: ofFour }, ...ofAll];
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
