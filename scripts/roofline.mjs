/**
 * Paper rooflines of the CUDA kernels for products: the bytes and operations that each launch asks for by its own
 * formula, what a GPU's data sheet makes of them at best, and which of the two it waits for. The formulas are first held
 * against what the emulation counts at a small shape (native/test/cuda_counts.cc). Nothing here was timed.
 *
 *     node scripts/roofline.mjs [--write]
 *
 * --write puts the tables into docs/cuda.md.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildNativeTests } from "./native-tests.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const document = join(root, "docs", "cuda.md");

/**
 * Bytes and operations a second, dense, from NVIDIA's data sheets (A100 and H100 SXM 80 GB; RTX 4090: Ada architecture
 * whitepaper, bfloat16 with float32 sums). H100's is what wgmma reaches; mma.sync, which these kernels use, stays below.
 */
const GPUS = {
  A100: { memory: 2039e9, tensor: 312e12, float32: 19.5e12 },
  H100: { memory: 3350e9, tensor: 989.4e12, float32: 66.9e12 },
  "RTX 4090": { memory: 1008e9, tensor: 165.2e12, float32: 82.6e12 },
};

const HEAD_STEP = 4096;

/** One launch: bytes that have to cross the memory once, and multiply-adds by tensor cores and in float32. */
const launch = (kernel, bytes, tensor = 0, float32 = 0) => ({ kernel, bytes, tensor, float32 });

/** x rounded into a copy, and its low-rank product. */
const prepare = (rows, cols, rank) =>
  launch("prepare_rows", rows * cols * 6 + rank * (cols + rows) * 4, 0, rows * cols * rank);

function linearForward({ rows, outputs, inputs, rank }) {
  const bytes = (rows + outputs) * inputs * 2 + (rows + outputs) * rank * 4 + rows * outputs * 4;
  return [
    prepare(rows, inputs, rank),
    launch("linear_forward", bytes, rows * outputs * inputs, rows * outputs * rank),
  ];
}

/** dx is added to: it is read and written. */
function linearBackward({ rows, outputs, inputs, rank }) {
  const bytes = (rows + inputs) * outputs * 2 + (rows + inputs) * rank * 4 + rows * inputs * 8;
  return [
    prepare(rows, outputs, rank),
    launch("linear_backward", bytes, rows * outputs * inputs, rows * inputs * rank),
  ];
}

function loraGradient({ rows, outputs, inputs, rank }) {
  return [inputs, outputs].map((cols) =>
    launch("lora_gradient", (rows * (cols + rank) + 2 * cols * rank) * 4, 0, rows * cols * rank),
  );
}

function headForward({ rows, inputs, entries }) {
  const launches = [prepare(rows, inputs, 0)];
  for (let begin = 0; begin < entries; begin += HEAD_STEP) {
    const count = Math.min(HEAD_STEP, entries - begin);
    const products = rows * count * inputs;
    const before = begin === 0 ? 0 : 1;
    launches.push(
      launch("head_logits", (rows + count) * inputs * 2 + rows * count * 4, products),
      launch("head_take_in", rows * (count * 6 + 24 + 16 * before)),
      launch("head_expected", (rows + inputs) * count * 2 + rows * (inputs * 4 * (1 + before) + 8), products),
    );
  }
  launches.push(launch("head_finish", rows * 28));
  return launches;
}

const OPS = {
  linear_forward: linearForward,
  linear_backward: linearBackward,
  lora_gradient: loraGradient,
  head_forward: headForward,
};

class RooflineFailed extends Error {}

/** The formulas against the emulation: the same launches, the same mma, and bytes within a tenth. */
export function compare(lines) {
  const [shape, ...counted] = lines.map((line) => JSON.parse(line));
  const rows = [];
  for (const [op, formula] of Object.entries(OPS)) {
    const mine = counted.filter((one) => one.op === op);
    const planned = formula(shape);
    if (mine.map(({ kernel }) => kernel).join() !== planned.map(({ kernel }) => kernel).join())
      throw new RooflineFailed(`${op} starts ${mine.map(({ kernel }) => kernel)}, not what scripts/roofline.mjs says`);
    for (const [i, { kernel, bytes, tensor }] of planned.entries()) {
      const { bytes: emulated, mma, ldmatrix, conflicts } = mine[i];
      if (mma * 2048 !== tensor) throw new RooflineFailed(`${kernel} issues ${mma} mma for ${tensor} multiply-adds`);
      const ratio = emulated / bytes;
      if (!(ratio >= 0.95 && ratio <= 1.1))
        throw new RooflineFailed(`${kernel} moves ${emulated} bytes under emulation, by its formula ${bytes}`);
      const perLoad = ldmatrix === 0 ? "" : (mma / ldmatrix).toFixed(0);
      rows.push(`| ${op} | ${kernel} | ${bytes} | ${emulated} | ${mma} | ${perLoad} | ${conflicts} |`);
    }
  }
  const { outputs, inputs, rank, entries } = shape;
  return [
    `${shape.rows} rows, ${outputs} outputs, ${inputs} inputs, rank ${rank}, ${entries} entries of the vocabulary:`,
    "",
    "| operation | launch | bytes by formula | bytes emulated | mma | mma an ldmatrix.x4 | bank conflicts |",
    "|---|---|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}

/** Seconds of a launch at best, and what for: tensor cores and float32 in turn, beside the memory. */
function atBest({ bytes, tensor, float32 }, gpu) {
  const arithmetic = (2 * tensor) / gpu.tensor + (2 * float32) / gpu.float32;
  const memory = bytes / gpu.memory;
  return { seconds: Math.max(arithmetic, memory), memory: memory > arithmetic };
}

function total(launches, gpu) {
  let seconds = 0;
  let waiting = 0;
  for (const one of launches) {
    const best = atBest(one, gpu);
    seconds += best.seconds;
    if (best.memory) waiting += best.seconds;
  }
  return { seconds, memoryShare: waiting / seconds };
}

const sum = (launches, key) => launches.reduce((all, one) => all + one[key], 0);

function cells(launches) {
  const times = Object.values(GPUS).map((gpu) => {
    const { seconds, memoryShare } = total(launches, gpu);
    return `${(1e3 * seconds).toFixed(seconds < 0.01 ? 3 : 1)} ms, ${Math.round(100 * memoryShare)} %`;
  });
  const gigabytes = (sum(launches, "bytes") / 1e9).toFixed(3);
  const tera = ((2 * (sum(launches, "tensor") + sum(launches, "float32"))) / 1e12).toFixed(3);
  return `${gigabytes} | ${tera} | ${times.join(" | ")}`;
}

/** OLMo-2 13B: 40 layers, C 5120, 40 heads of 128 and as many of keys and values, F 13824, V 100352. */
function olmo(rows, rank) {
  const [layers, channels, wide, entries] = [40, 5120, 13824, 100352];
  const shapes = [
    { name: "q, k, v, o", count: 4, outputs: channels, inputs: channels },
    { name: "gate, up", count: 2, outputs: wide, inputs: channels },
    { name: "down", count: 1, outputs: channels, inputs: wide },
  ].map((shape) => ({ ...shape, rows, rank }));
  const lines = [];
  const step = [];
  for (const op of ["linear_forward", "linear_backward", "lora_gradient"]) {
    for (const shape of shapes) {
      const launches = OPS[op](shape);
      lines.push(`| ${op} | ${shape.name} | ${cells(launches)} |`);
      for (let i = 0; i < shape.count * layers; ++i) step.push(...launches);
    }
  }
  const head = headForward({ rows, inputs: channels, entries });
  lines.push(`| head_forward | ${entries} entries | ${cells(head)} |`);
  lines.push(`| all of a step | 40 layers and the head | ${cells([...step, ...head])} |`);
  return [
    `OLMo-2 13B, ${rows} rows, all of them with targets, rank ${rank}:`,
    "",
    `| operation | matrix | GB | 10^12 operations | ${Object.keys(GPUS).join(" | ")} |`,
    `|---|---|---|---|${Object.keys(GPUS)
      .map(() => "---")
      .join("|")}|`,
    ...lines,
  ].join("\n");
}

function main(args) {
  const built = buildNativeTests();
  if (!("tests" in built)) throw new RooflineFailed(built.skipped ?? built.failed);
  const { status, stdout, stderr } = spawnSync(join(root, "build/native/test/cuda_counts"), { encoding: "utf8" });
  if (status !== 0) throw new RooflineFailed(`cuda_counts ended with ${status}: ${stderr}`);
  const text = `${compare(stdout.trim().split("\n"))}\n\n${olmo(2048, 16)}`;
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
