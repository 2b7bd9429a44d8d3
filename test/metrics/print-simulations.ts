/**
 * Prints the tables of docs/statistics.md: what the estimators do on simulated truth.
 *
 *     npx tsc -p test/tsconfig.json && node build/test/test/metrics/print-simulations.js [replicates]
 */
import { smallestDetectableShift } from "#lib/metrics/power.js";
import { MATRIX, VALUES } from "./support/planted.js";
import { plantedRates } from "./support/planted-rates.js";
import {
  type Coverage,
  crossedCoverage,
  detectionRate,
  differenceCoverage,
  equivalenceRate,
  maxTErrorRate,
  moderatedCoverage,
  percentileCoverage,
  ratioCoverage,
  type World,
} from "./support/simulate.js";

const replicates = Number(process.argv[2] ?? 10_000);
const percent = (share: number): string => (100 * share).toFixed(1);
const share = ({ held, replicates }: Coverage): string => percent(held / replicates);

function print(title: string, head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  console.log([`\n${title}\n`, line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n"));
}

const WORLDS: [string, Omit<World, "runs" | "clusters">][] = [
  ["runs differ most (0.3, 1, 1)", { run: 0.3, prompt: 1, rest: 1 }],
  ["as much from either (0.1, 1.4, 0.5)", { run: 0.1, prompt: 1.4, rest: 0.5 }],
  ["prompts differ most (0.02, 1, 0.3)", { run: 0.02, prompt: 1, rest: 0.3 }],
  ["only the rest (0, 0, 1)", { run: 0, prompt: 0, rest: 1 }],
  [
    "skewed prompts, clusters of 1 to 5 (0.2, 1, 1)",
    { run: 0.2, prompt: 1, rest: 1, largestCluster: 5, shape: "skewed" },
  ],
];

const few = Math.ceil(replicates / 10);
console.log(
  `${replicates} replicates: a share of 95 % has a standard error of ${percent(Math.sqrt(0.0475 / replicates))} %.`,
);

print(
  "Coverage of 95 % intervals, % (σ of runs, prompts, rest); beneath, percentiles of an uncorrected pigeonhole bootstrap",
  [
    "world",
    "prompts",
    ...[1, 2, 3, 5, 10].map((runs) => `${runs} runs`),
    ...[3, 5].map((runs) => `percentile, ${runs} runs`),
  ],
  WORLDS.flatMap(([name, world]) =>
    [30, 200].map((clusters) => [
      name,
      clusters,
      ...[1, 2, 3, 5, 10].map((runs) => share(crossedCoverage({ ...world, runs, clusters }, replicates, 1 + runs))),
      ...[3, 5].map((runs) => share(percentileCoverage({ ...world, runs, clusters }, few, 1 + runs))),
    ]),
  ),
);

print(
  "Coverage of induced minus control, 200 prompts, %",
  ["runs", "control runs", "coverage"],
  [
    [3, 3],
    [3, 20],
    [5, 5],
    [1, 20],
  ].map(([runs, control]) => {
    const world = { runs: runs!, clusters: 200, run: runs === 1 ? 0 : 0.2, prompt: 1, rest: 1, mean: 0.5 };
    return [runs!, control!, share(differenceCoverage(world, control!, replicates, 7))];
  }),
);

print(
  "Moderated intervals over 20 cells, 100 prompts: coverage, %, and mean width",
  ["runs", "d0 of the truth", "plain", "moderated", "width plain", "width moderated"],
  [2, 3, 5].flatMap((runs) =>
    [4, 8, Number.POSITIVE_INFINITY].map((priorDf) => {
      const world = { runs, clusters: 100, run: 0.3, prompt: 1, rest: 1, cells: 20, priorDf };
      const { plain, moderated } = moderatedCoverage(world, Math.ceil(replicates / 20), 5);
      return [runs, priorDf, share(plain), share(moderated), plain.width.toFixed(2), moderated.width.toFixed(2)];
    }),
  ),
);

print(
  "Fieller: coverage of the ratio 0.4 to a target that moves by 2, 100 prompts, %; blanks, %",
  ["runs", "correlation of runs", "coverage", "blank"],
  [2, 3, 5].flatMap((runs) =>
    [0, 0.8].map((correlation) => {
      const world = { runs, clusters: 100, run: 0.15, prompt: 1, rest: 1 };
      const made = ratioCoverage(world, { target: 2, ratio: 0.4, correlation }, replicates, 8);
      return [runs, correlation, share(made), percent(made.blank / replicates)];
    }),
  ),
);

const equal = { clusters: 200, run: 0.1, prompt: 0.5, rest: 0.5 };
print(
  "How often a shift is called equivalent within ±0.3 at 5 %, % (σ 0.1, 0.5, 0.5; 200 prompts)",
  ["runs", "true shift 0.3", "0.15", "0"],
  [3, 5].map((runs) => [
    runs,
    ...[0.3, 0.15, 0].map((mean) => percent(equivalenceRate({ ...equal, runs, mean }, 0.3, replicates, 9))),
  ]),
);

const components = { run: 0.04, prompt: 1, rest: 0.5 };
print(
  "Smallest shift found with probability 0.8 at 5 % (σ 0.2, 1, 0.71), and how often simulated studies find it, %; at a shift of 0",
  ["runs", "prompts", "shift", "found", "found at 0"],
  [2, 3, 5, 10].flatMap((runs) =>
    [50, 200, 1000].map((prompts) => {
      const shift = smallestDetectableShift({ runs, prompts, components });
      const world = { runs, clusters: prompts, run: 0.2, prompt: 1, rest: Math.sqrt(0.5) };
      const found = detectionRate({ ...world, mean: shift }, few, 10);
      return [runs, prompts, shift.toFixed(3), percent(found), percent(detectionRate(world, few, 11))];
    }),
  ),
);

const studies = Math.ceil(replicates / 20);
print(
  `Max-T by relabelling runs: ${studies} studies that find anything of what is not there, % (5 rows × 6 columns, 2 of which move)`,
  ["runs", "random-subset runs", "false findings"],
  [3, 5].flatMap((runs) =>
    [20, 40].map((nullRuns) => [
      runs,
      nullRuns,
      percent(maxTErrorRate({ rows: 5, runs, nullRuns, columns: 6, moved: 2 }, studies, 12)),
    ]),
  ),
);

const planted: (string | number)[][] = [];
for (const [seeds, nullRuns] of [
  [1, 0],
  [3, 0],
  [5, 0],
  [3, 20],
  [5, 20],
] as const) {
  const study = { values: VALUES, seeds, prompts: 200, matrix: MATRIX, nullRuns, drift: nullRuns > 0 ? -0.7 : 0 };
  const rates = await plantedRates(study, Math.ceil(replicates / 50), 20_000);
  planted.push([
    seeds,
    nullRuns,
    rates.methods.join(),
    ...["plain", "moderated", "on target", "per unit"].map((name) => percent(rates.coverage[name]!)),
    percent(rates.nullFoundUnadjusted),
    percent(rates.studiesWithFalseFindings),
    percent(rates.falseDiscoveryRate),
    percent(rates.movedFound),
    percent(rates.nullCalledEquivalent),
  ]);
}
print(
  `The planted study, ${Math.ceil(replicates / 50)} times: 5 values × 200 items; coverage of 95 % intervals, %; error rates, %`,
  [
    "seeds",
    "random runs",
    "correction",
    "plain",
    "moderated",
    "on target",
    "per unit",
    "null cell has p < 0.05",
    "any null cell found",
    "false share of what is found",
    "moved cells found",
    "null cells called equivalent (±0.5)",
  ],
  planted,
);
