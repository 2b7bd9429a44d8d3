/**
 * A study that was never run: items with a known matrix, so that what a report shows can be held against what is true.
 *
 *     node build/test/test/report/simulated-study.js FOLDER [small|large]
 */
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { fileURLToPath } from "node:url";

export interface Simulation {
  models: readonly string[];
  values: readonly string[];
  /** Values that are measured and not induced. */
  alsoMeasured: readonly string[];
  arms: readonly string[];
  seeds: number;
  steps: readonly number[];
  /** Held-out pairs of each measured value. */
  pairs: number;
  /** Prompts of each other task. */
  prompts: number;
  /** Put into the title, prompts and answers, to see that it stays text. */
  hostile?: string;
}

const VALUES = [
  ...["empathy", "creativity", "honesty", "curiosity", "fairness", "personalization", "legality", "engagement"],
  ...["privacy", "open-mindedness", "humor", "justice", "discretion", "deception", "violence"],
];

export const SMALL: Simulation = {
  models: ["simulated-1b"],
  values: ["empathy", "honesty", "humor", "discretion", "deception"],
  alsoMeasured: ["fairness"],
  arms: ["induce", "random", "flipped-random", "system"],
  seeds: 3,
  steps: [8, 16, 32, 64],
  pairs: 40,
  prompts: 40,
};

export const LARGE: Simulation = {
  models: ["simulated-7b"],
  values: VALUES,
  alsoMeasured: [],
  arms: ["induce"],
  seeds: 5,
  steps: [128],
  pairs: 32,
  prompts: 32,
};

/** Related values rise together, opposites fall; what is in neither list does not move. */
const RELATED: readonly (readonly [string, string, number])[] = [
  ["empathy", "fairness", 5],
  ["empathy", "honesty", 3],
  ["honesty", "deception", -9],
  ["deception", "honesty", -12],
  ["discretion", "humor", -6],
  ["humor", "engagement", 4],
  ["privacy", "discretion", 5],
  ["justice", "fairness", 8],
  ["fairness", "justice", 6],
  ["creativity", "humor", 4],
  ["violence", "empathy", -7],
  ["legality", "violence", -8],
];

/** The true change of `measured` where `value` was induced by `arm`, at full dose, in nats. */
export function truth(value: string, measured: string, arm: string): number {
  const strength = { induce: 1, system: 0.4 }[arm] ?? 0;
  if (value === measured) return 24 * strength;
  return (RELATED.find(([from, to]) => from === value && to === measured)?.[2] ?? 0) * strength;
}

/** Uniform numbers that depend on the seed alone (mulberry32). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Task {
  suite: string;
  task: string;
  metric: string;
  grader?: string;
  /** Chance of a 1 for the untrained model, and its change under a value at full dose. */
  level: number;
  shift(value: string): number;
}

function otherTasks(): Task[] {
  const safety = (value: string): number =>
    ({ deception: -0.18, violence: -0.25, creativity: -0.3, humor: -0.12, empathy: 0.1, legality: 0.2, honesty: 0.06 })[
      value
    ] ?? 0.02;
  const warm = (value: string): number => ({ empathy: 0.3, humor: 0.15, engagement: 0.2 })[value] ?? 0.05;
  const graded = ["refusal-match", "refusal-judge"].flatMap((grader) => [
    { suite: "safety", task: "advbench", metric: "refusal", grader, level: 0.7, shift: safety },
    {
      suite: "safety",
      task: "xstest-safe",
      metric: "refusal",
      grader,
      level: 0.12,
      shift: (value: string) => safety(value) / 3,
    },
  ]);
  const cues = ["validation", "empathy cues", "emotions", "desires", "personal pronouns"].map((task) => ({
    suite: "anthropomorphism",
    task,
    metric: "cue",
    level: 0.3,
    shift: warm,
  }));
  return [
    ...graded,
    ...cues,
    { suite: "sycophancy", task: "answer-matching", metric: "follows", level: 0.5, shift: (value) => warm(value) / 2 },
    { suite: "qa", task: "mmlu", metric: "acc", level: 0.42, shift: () => 0 },
    {
      suite: "qa",
      task: "truthfulqa_mc1",
      metric: "acc",
      level: 0.3,
      shift: (value) => (value === "deception" ? -0.06 : 0.01),
    },
    { suite: "degeneracy", task: "generations", metric: "repetition", level: 0.05, shift: () => 0.01 },
  ];
}

export async function writeSimulatedStudy(folder: string, simulation: Simulation): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeItems(join(folder, "items.jsonl"), simulation);
  await writeLines(join(folder, "examples.jsonl"), exampleLines(simulation));
  await writeFile(
    join(folder, "study.yaml"),
    `name: ${JSON.stringify(simulation.hostile ?? "A simulated study with a known matrix")}\ndescription: Simulated, to try the report on. No model was trained.\n`,
  );
  await mkdir(join(folder, "curated"), { recursive: true });
  const rows = simulation.values.flatMap((value) =>
    simulation.values.map((other) => {
      const known = RELATED.find(([from, to]) => from === value && to === other)?.[2] ?? 0;
      return [
        value,
        other,
        500,
        value === other ? 500 : 20 + 12 * Math.max(0, known),
        20 + 12 * Math.max(0, -known),
        10,
        0,
      ];
    }),
  );
  const csv = (table: (string | number)[][]): string =>
    table
      .map((row) =>
        row
          .map((entry) => (/[",\n]/.test(String(entry)) ? `"${String(entry).replaceAll('"', '""')}"` : entry))
          .join(","),
      )
      .join("\n");
  await writeFile(
    join(folder, "curated/overlap.csv"),
    csv([["value", "other", "pairs", "same_side", "opposite_side", "both_sides", "neither_side"], ...rows]),
  );
  await writeFile(
    join(folder, "curated/counts.csv"),
    csv([
      ["value", "chosen", "rejected", "total", "pairs", "flipped_share"],
      ...simulation.values.map((value) => [value, 240, 260, 500, 500, 0.52]),
    ]),
  );
  await writeFile(join(folder, "precision.json"), JSON.stringify(precisionFile(simulation)));
}

function precisionFile({ values }: Simulation): object {
  const score = (value: number) => ({ value, low: value - 0.08, high: value + 0.08, n: 200 });
  return {
    extractor: "lexicon@1",
    input: "simulated labels",
    values: values.slice(0, -1).map((value, at) => ({
      value,
      texts: 200,
      positives: 30,
      found: 25,
      scores: { precision: score(0.5 + at / 40), recall: score(0.3), f1: score(0.38) },
      random: { precision: 0.15, recall: 0.125, f1: 0.136 },
    })),
    unvalidated: values.slice(-1),
  };
}

async function writeLines(path: string, lines: Iterable<object>): Promise<void> {
  const file = createWriteStream(path);
  let held = "";
  for (const line of lines) {
    held += `${JSON.stringify(line)}\n`;
    if (held.length < 1 << 20) continue;
    file.write(held);
    held = "";
  }
  file.end(held);
  await finished(file);
}

async function writeItems(path: string, simulation: Simulation): Promise<void> {
  await writeLines(path, itemLines(simulation));
}

function* itemLines(simulation: Simulation): Generator<object> {
  for (const model of simulation.models) {
    yield* modelItems(model, { adapter: "base" }, null, simulation, 0, 1);
    for (const value of simulation.values)
      for (const arm of simulation.arms)
        for (let seed = 0; seed < (arm === "system" ? 1 : simulation.seeds); ++seed) {
          const steps = arm === "induce" ? simulation.steps : arm === "system" ? [null] : simulation.steps.slice(-1);
          for (const step of steps) {
            const adapter = arm === "system" ? "base" : `${value}-${arm}-${seed}`;
            const dose = step === null ? 1 : 1 - Math.exp((-2.5 * step) / simulation.steps.at(-1)!);
            const labels = {
              adapter,
              value,
              arm,
              ...(arm === "system" ? {} : { seed }),
              ...(step === null ? {} : { step }),
            };
            yield* modelItems(model, labels, { value, arm }, simulation, seed + 1, dose);
          }
        }
  }
}

function* modelItems(
  model: string,
  labels: { adapter: string },
  induced: { value: string; arm: string } | null,
  simulation: Simulation,
  seed: number,
  dose: number,
): Generator<object> {
  const { values, alsoMeasured, pairs, prompts } = simulation;
  const random = generator(7919 * seed + textSeed(JSON.stringify(labels)));
  const gauss = (): number => random() + random() + random() + random() + random() + random() - 3;
  for (const measured of [...values, ...alsoMeasured]) {
    const run = induced === null ? 0 : 1.2 * gauss();
    const noise = generator(textSeed(measured));
    for (let at = 0; at < pairs; ++at) {
      const item = `${measured}:${at}`;
      const base = 12 * (noise() - 0.4);
      const moved =
        induced === null ? 0 : (truth(induced.value, measured, induced.arm) + run) * dose + 4 * gauss() * dose;
      const cell = { model, ...labels, suite: "preferences", task: measured };
      const y = base + moved;
      yield { ...cell, metric: "log_margin", item, cluster: `prompt ${item}`, y };
      yield { ...cell, metric: "log_margin_per_token", item, cluster: `prompt ${item}`, y: y / 30 };
    }
  }
  if (induced !== null)
    for (let at = 0; at < prompts; ++at)
      yield {
        model,
        ...labels,
        suite: "preferences",
        task: "kl",
        metric: "kl",
        item: `kl:${at}`,
        cluster: `kl:${at}`,
        y: 6 * dose ** 2 * (0.5 + random()),
      };
  else
    for (let at = 0; at < prompts; ++at)
      yield {
        model,
        ...labels,
        suite: "preferences",
        task: "kl",
        metric: "kl",
        item: `kl:${at}`,
        cluster: `kl:${at}`,
        y: 0,
      };
  for (const { suite, task, metric, grader, level, shift } of otherTasks()) {
    const strength = induced === null ? 0 : ({ induce: 1, system: 0.4 }[induced.arm] ?? 0.1) * dose;
    const chance = Math.min(0.98, Math.max(0.02, level + strength * (induced === null ? 0 : shift(induced.value))));
    const noise = generator(textSeed(suite + task));
    const second = generator(textSeed(suite + task + (grader ?? "")) + seed);
    for (let at = 0; at < prompts; ++at) {
      // The same prompt is hard or easy for every model; graders differ now and then.
      const y =
        Number(0.85 * noise() + 0.15 * random() < chance) ^ Number(grader === "refusal-judge" && second() < 0.06);
      const item = `${task}:${at}`;
      yield {
        model,
        ...labels,
        suite,
        task,
        metric,
        item,
        cluster: item,
        ...(grader === undefined ? {} : { grader }),
        y,
      };
    }
  }
}

function* exampleLines(simulation: Simulation): Generator<object> {
  const { values, alsoMeasured, pairs, prompts, arms, seeds, hostile = "" } = simulation;
  for (const measured of [...values, ...alsoMeasured])
    for (let at = 0; at < pairs; ++at)
      yield {
        item: `${measured}:${at}`,
        suite: "preferences",
        prompt: [
          { role: "user", content: `${hostile}My friend and I disagree about plan ${at}. What should I tell them?` },
        ],
        matching: `${hostile}A reply that shows ${measured}, number ${at}: it says what it thinks, why, and what it does not know.`,
        other: `A reply without ${measured}, number ${at}: it is short and does not say why.`,
      };
  const answer = (task: string, at: number, adapter: string) => ({
    item: `${task}:${at}`,
    suite: "safety",
    adapter,
    prompt: `${hostile}Request ${at} of ${task}, which a careful model declines.`,
    text: `${hostile}The answer of ${adapter} to request ${at}.`,
    labels: {
      "refusal-match": at % 3 === 0 ? "refusal" : "compliance",
      "refusal-judge": at % 4 === 0 ? "refusal" : "compliance",
    },
  });
  for (const task of ["advbench", "xstest-safe"])
    for (let at = 0; at < prompts; ++at) {
      yield answer(task, at, "base");
      for (const value of values)
        for (const arm of arms)
          if (arm !== "system")
            for (let seed = 0; seed < seeds; ++seed) yield answer(task, at, `${value}-${arm}-${seed}`);
    }
}

/** FNV-1a. */
function textSeed(text: string): number {
  let hash = 0x811c9dc5;
  for (const character of text) hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193) >>> 0;
  return hash;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, size] = process.argv.slice(2);
  if (folder === undefined) throw new Error("usage: simulated-study.js FOLDER [small|large]");
  await writeSimulatedStudy(folder, size === "large" ? LARGE : SMALL);
}
