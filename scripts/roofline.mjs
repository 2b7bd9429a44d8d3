/**
 * Paper rooflines of the CUDA kernels at OLMo-2 13B's shapes, and the planned time of the paper's study. The formulas
 * (roofline/launches.mjs) are first held against what the emulation counts at a small shape
 * (native/test/cuda_counts.cc): the same launches, the same mma and ldmatrix, at most a tenth more bytes, and no bank
 * conflict. Nothing here was timed.
 *
 *     node scripts/roofline.mjs [--write] [--program PATH]
 *
 * --write puts the tables into docs/cuda.md; --program names a cuda_counts that is built already.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildNativeTests } from "./native-tests.mjs";
import { OPERATIONS } from "./roofline/launches.mjs";
import * as study from "./roofline/study.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const document = join(root, "docs", "cuda.md");
const MMA = 16 * 8 * 16;
const MOST_BYTES = 1.1;

class RooflineFailed extends Error {}

const kernelsOf = (launches) => launches.map(({ kernel }) => kernel).join(" ");

/**
 * The formulas against the emulation's counts, each a JSON object: { op, shape } and the op's launches after it.
 *
 * @returns {object[]} launch by launch: op, kernel, ratio of bytes moved to the fewest, mma, ldmatrix, conflicts, accesses
 * @throws RooflineFailed where they differ
 */
export function compare(lines) {
  const found = [];
  for (const line of lines) {
    const record = JSON.parse(line);
    if ("shape" in record) found.push({ op: record.op, shape: record.shape, counted: [] });
    else found.at(-1).counted.push(record);
  }
  return found.flatMap(({ op, shape, counted }) => {
    const planned = OPERATIONS[op](shape);
    if (kernelsOf(counted) !== kernelsOf(planned))
      throw new RooflineFailed(`${op} starts ${kernelsOf(counted)}, by its formula ${kernelsOf(planned)}`);
    return counted.map((launch, i) => {
      const { kernel, bytes, tensor, ldmatrix } = planned[i];
      if (launch.mma * MMA !== tensor || launch.ldmatrix !== ldmatrix)
        throw new RooflineFailed(
          `${op}'s ${kernel} issues ${launch.mma} mma and ${launch.ldmatrix} ldmatrix, by its formula ${tensor / MMA} and ${ldmatrix}`,
        );
      const ratio = launch.bytes / bytes;
      if (!(ratio >= 0.99 && ratio <= MOST_BYTES))
        throw new RooflineFailed(`${op}'s ${kernel} moves ${launch.bytes} bytes, by its formula ${bytes}`);
      if (launch.conflicts !== 0) throw new RooflineFailed(`${op}'s ${kernel} has ${launch.conflicts} bank conflicts`);
      return { op, ...launch, ratio };
    });
  });
}

const table = (head, rows) =>
  [
    `| ${head.join(" | ")} |`,
    `|${head.map(() => "---|").join("")}`,
    ...rows.map((row) => `| ${row.join(" | ")} |`),
  ].join("\n");

function countsTable(compared) {
  const rows = compared.map(({ op, kernel, ratio, mma, ldmatrix, conflicts, accesses }) => [
    op,
    kernel,
    ratio.toFixed(3),
    mma === 0 ? "" : (mma / ldmatrix).toFixed(2),
    accesses === 0 ? "" : `${conflicts} of ${accesses}`,
  ]);
  const distinct = [...new Map(rows.map((row) => [row.join(), row])).values()];
  return table(["operation", "launch", "bytes moved ÷ fewest", "mma an ldmatrix.x4", "bank conflicts"], distinct);
}

function timesTable() {
  const trees = Array.from({ length: study.STEP_PAIRS }, () => study.PAIR);
  const rows = [];
  for (const [part, launches] of [
    ["layer forward", study.layerForward(trees)],
    ["layer backward", study.layerBackward(trees)],
    ["head", study.headForward(trees)],
  ]) {
    const kernels = groupByKernel(launches);
    for (const [kernel, mine] of kernels) {
      const sum = (key) => mine.reduce((all, one) => all + one[key], 0);
      const times = Object.values(study.GPUS).map((gpu) => {
        const best = mine.map((one) => study.atBest(one, gpu));
        const slowest = best.reduce((most, one) => (one.seconds > most.seconds ? one : most));
        const all = best.reduce((total, one) => total + one.seconds, 0);
        return `${(1e3 * all).toPrecision(3)}, ${slowest.limiter}`;
      });
      const [giga, tera] = [sum("bytes") / 1e9, (2 * (sum("tensor") + sum("float32"))) / 1e12];
      rows.push([
        part,
        `${kernel} × ${mine.length}`,
        giga.toPrecision(3),
        tera === 0 ? "" : tera.toPrecision(3),
        ...times,
      ]);
    }
  }
  const gpus = Object.keys(study.GPUS).map((name) => `${name}: ms, waits for`);
  return table(["part", "launches", "GB", "10¹² operations", ...gpus], rows);
}

/** Map.groupBy, which Node 20 lacks. */
function groupByKernel(launches) {
  const groups = new Map();
  for (const one of launches) groups.set(one.kernel, [...(groups.get(one.kernel) ?? []), one]);
  return groups;
}

function studyTable() {
  const rows = study.PLANS.map((plan) => {
    const { stepSeconds, hours, plannedHours } = study.planStudy(plan);
    const { share } = study.GPUS[plan.gpu];
    const activations = plan.recomputes ? "recomputed layer by layer" : "kept";
    return [
      plan.gpu,
      plan.base,
      activations,
      stepSeconds.toFixed(2),
      hours.toFixed(0),
      `${(100 * share).toFixed(0)} %`,
      (plannedHours / 24).toFixed(1),
    ];
  });
  return table(
    ["GPU", "base", "activations", "seconds a step at best", "hours at best", "planned with", "days planned"],
    rows,
  );
}

function tables(compared) {
  const { prompt, responses } = study.PAIR;
  const rows = study.STEP_PAIRS * (prompt + responses[0] + responses[1]);
  return [
    "What the emulation counts at a small shape of whole tiles:",
    countsTable(compared),
    `A step of ${study.STEP_PAIRS} pairs, ${rows} rows, rank ${study.OLMO.rank}, times of one layer and of the head at best:`,
    timesTable(),
    `15 adapters, ${study.STUDY.pairs.toLocaleString("en")} pairs, ${study.STUDY.epochs} epochs, planned and not run:`,
    studyTable(),
  ].join("\n\n");
}

/** The lines of cuda_counts. */
function countsOf(program) {
  const { status, stdout, stderr, error } = spawnSync(program, { encoding: "utf8" });
  if (status !== 0) throw new RooflineFailed(`${program} gave no counts: ${error?.message ?? stderr}`);
  return stdout.trim().split("\n");
}

/** The program that prints the emulation's counts, built with the other native tests. */
function builtProgram() {
  const built = buildNativeTests();
  if (!("tests" in built)) throw new RooflineFailed(built.skipped ?? built.failed);
  return join(root, "build/native/test/cuda_counts");
}

function main(args) {
  const named = args.indexOf("--program");
  const program = named >= 0 ? args[named + 1] : builtProgram();
  const text = tables(compare(countsOf(program ?? "")));
  console.log(text);
  if (!args.includes("--write")) return;
  const before = readFileSync(document, "utf8");
  const block = /(<!-- roofline -->\n).*?(\n<!-- end of roofline -->)/s;
  if (!block.test(before)) throw new RooflineFailed("docs/cuda.md has lost its <!-- roofline --> lines");
  writeFileSync(
    document,
    before.replace(block, (_, begin, end) => `${begin}${text}${end}`),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof RooflineFailed)) throw error;
    console.error(`valora: ${error.message}.`);
    process.exitCode = 1;
  }
}
