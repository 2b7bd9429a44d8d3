/**
 * What annotators make of an extractor's labels: how often they pick its value, one by one, in their union and in their
 * intersection; and how far they agree with each other beyond chance.
 *
 * The study (arXiv 2605.07925) gives precision "against union and intersection" of three annotators without saying how it
 * counts; here
 *
 *     union         of the items, the share whose target at least one annotator picked
 *     intersection  of the items for which all annotators picked some label in common, the share whose target is among these
 *     random        what as many labels, drawn at random from those shown, would reach: mean of picked / shown
 */
import { philox } from "../../engine/random.js";
import { cohenKappa, fleissKappa } from "../../metrics/agreement.js";
import { sortedQuantile } from "../../metrics/bootstrap.js";
import { type Estimate, wilson } from "../../metrics/classification.js";
import type { Picks } from "./csv.js";
import type { KeyEntry } from "./items.js";

export interface PickPrecision {
  hits: Estimate;
  random: number;
}

export interface ValueAgreement {
  value: string;
  items: number;
  union: PickPrecision;
  intersection: PickPrecision;
}

export interface AnnotationReport {
  /** Items that every annotator answered: what everything is about. */
  items: number;
  /** Items of the key that somebody left out. */
  unanswered: number;
  annotators: { name: string; precision: PickPrecision; picked: number }[];
  union: PickPrecision;
  intersection: PickPrecision;
  values: ValueAgreement[];
  /** Cohen's kappa of each two; Fleiss' of all, where there are more than two. */
  agreement: { between: string; kappa: Estimate }[];
}

export interface CompareOptions {
  seed: number;
  resamples?: number;
}

/** Items that all annotators answered. */
interface Answered {
  entry: KeyEntry;
  picks: ReadonlySet<string>[];
}

/** @param annotators by name, in the order of the report */
export function compareAnnotators(
  key: ReadonlyMap<string, KeyEntry>,
  annotators: readonly { name: string; picks: Picks }[],
  { seed, resamples = 1000 }: CompareOptions,
): AnnotationReport {
  const answered = [...key.values()].flatMap((entry): Answered[] => {
    const picks = annotators.flatMap(({ picks }) => picks.get(entry.item) ?? []);
    return picks.length === annotators.length ? [{ entry, picks }] : [];
  });
  const targets = [...new Set(answered.map(({ entry }) => entry.target))].sort();
  return {
    items: answered.length,
    unanswered: key.size - answered.length,
    annotators: annotators.map(({ name }, at) => ({
      name,
      precision: precisionOf(answered, ({ picks }) => picks[at]!),
      picked: answered.reduce((sum, { picks }) => sum + picks[at]!.size, 0),
    })),
    union: precisionOf(answered, unionOf),
    intersection: intersectionOf(answered),
    values: targets.map((value) => {
      const some = answered.filter(({ entry }) => entry.target === value);
      return { value, items: some.length, union: precisionOf(some, unionOf), intersection: intersectionOf(some) };
    }),
    agreement: agreementOf(
      answered,
      annotators.map(({ name }) => name),
      seed,
      resamples,
    ),
  };
}

function unionOf({ picks }: Answered): ReadonlySet<string> {
  return new Set(picks.flatMap((one) => [...one]));
}

function common({ picks }: Answered): ReadonlySet<string> {
  const [first, ...others] = picks;
  return new Set([...(first ?? [])].filter((label) => others.every((other) => other.has(label))));
}

function intersectionOf(answered: readonly Answered[]): PickPrecision {
  return precisionOf(
    answered.filter((one) => common(one).size > 0),
    common,
  );
}

/** Wilson's interval takes the items for independent. */
function precisionOf(answered: readonly Answered[], picked: (one: Answered) => ReadonlySet<string>): PickPrecision {
  const hits = answered.filter((one) => picked(one).has(one.entry.target)).length;
  const chance = answered.reduce((sum, one) => sum + picked(one).size / one.entry.labels.length, 0);
  return { hits: wilson(hits, answered.length), random: chance / answered.length };
}

/**
 * Every label shown is a decision, yes or no. Decisions about one item hang together, so that intervals are percentile
 * bootstraps over items.
 */
function agreementOf(
  answered: readonly Answered[],
  names: readonly string[],
  seed: number,
  resamples: number,
): AnnotationReport["agreement"] {
  /** Item → label → annotator. */
  const decisions = answered.map(({ entry, picks }) =>
    entry.labels.map((label) => picks.map((one) => (one.has(label) ? "yes" : "no"))),
  );
  const kappaOf = (statistic: (drawn: readonly string[][]) => number): Estimate => {
    const value = statistic(decisions.flat());
    const drawn = Array.from({ length: resamples }, (_, resample) =>
      statistic(drawItems(decisions, resample, seed).flat()),
    ).filter(Number.isFinite);
    drawn.sort((a, b) => a - b);
    const end = (q: number): number => (drawn.length === 0 ? Number.NaN : sortedQuantile(drawn, q));
    return { value, low: end(0.025), high: end(0.975), n: answered.length };
  };
  if (answered.length === 0) return [];
  const couples = names.flatMap((first, a) =>
    names.slice(a + 1).map((second, offset) => {
      const b = a + 1 + offset;
      const kappa = kappaOf((drawn) =>
        cohenKappa(
          drawn.map((labels) => labels[a]!),
          drawn.map((labels) => labels[b]!),
        ),
      );
      return { between: `${first} and ${second} (Cohen)`, kappa };
    }),
  );
  if (names.length < 3) return couples;
  return [...couples, { between: `all ${names.length} (Fleiss)`, kappa: kappaOf(fleissKappa) }];
}

/** Keeps these draws apart from others under the same seed. */
const DOMAIN = 0x6b617031;

function drawItems<T>(items: readonly T[], resample: number, seed: number): T[] {
  const drawn: T[] = [];
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0] as const;
  for (let done = 0; done < items.length; done += 4) {
    const block = philox([done, resample, 0, DOMAIN], key);
    for (let lane = 0; lane < 4 && done + lane < items.length; lane++)
      drawn.push(items[Math.floor((block[lane]! / 2 ** 32) * items.length)]!);
  }
  return drawn;
}
