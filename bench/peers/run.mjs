/**
 * valora beside its peers: PyTorch with PEFT and TRL, lm-evaluation-harness, and llama.cpp, on the same requests, tokens
 * and threads. Contenders run one after another, never at once (two programs whose OpenMP threads spin slow each other
 * down several times), each in a process of its own, and take turns in every round. docs/performance.md says more.
 *
 *     node bench/peers/run.mjs [--only REGEX] [--rounds N] [--folder DIR] …
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeMachine } from "../../dist/bench/machine.js";
import * as valora from "../../dist/index.js";
import { runContender } from "./child.mjs";
import { writeAdapters, writeInputs, writeWeights } from "./prepare.mjs";
import { renderTable } from "./render.mjs";
import { Results, rateOf, rowsOf } from "./results.mjs";
import { setUpLlama, setUpPython } from "./setup.mjs";
import { chooseTasks } from "./tasks.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

const USAGE = `Usage: node bench/peers/run.mjs [OPTIONS]
  --only REGEX       contenders whose "task: contender" matches, and what they are compared with
  --rounds N         turns of every contender (3)
  --folder DIR       for the peers, inputs and results (bench/peers/.peers)
  --results FILE     goes on from what is there (results.json in the folder)
  --python PROGRAM   of an environment that has the packages, instead of a new one
  --pairs FILE       preference pairs in tokens (the 32 of test/golden)
  --limit N          items of every input at most
  --new-tokens N     of a continuation (64)
  --threads N        (all cores)
  --format X         table|json (table)`;

/** Of DPO, the same for all. Few pairs still make two steps: the first one's loss is ln 2 whatever it was computed from. */
const trainingOf = (limit = 16) => ({
  batchPairs: Math.max(1, Math.min(8, Math.floor(limit / 2))), // 8 is TRL's default
  rank: 4,
  alpha: 16,
  beta: 0.1,
  learningRate: 2e-4,
  weightDecay: 0,
  clip: 1,
});

function readOptions() {
  const text = { type: "string" };
  const { values } = parseArgs({
    options: {
      only: { ...text, default: "" },
      rounds: { ...text, default: "3" },
      folder: { ...text, default: join(here, ".peers") },
      results: text,
      python: text,
      pairs: text,
      limit: text,
      "new-tokens": { ...text, default: "64" },
      threads: { ...text, default: `${availableParallelism()}` },
      format: { ...text, default: "table" },
      help: { type: "boolean", default: false },
    },
  });
  const count = (name) => {
    if (values[name] === undefined) return undefined;
    if (!/^[1-9]\d*$/.test(values[name]))
      throw new Error(`--${name} has to be a number from 1 on, not ${values[name]}`);
    return Number(values[name]);
  };
  if (!["table", "json"].includes(values.format)) throw new Error("--format has to be table or json");
  return {
    ...values,
    only: pattern(values.only),
    folder: resolve(values.folder),
    rounds: count("rounds"),
    limit: count("limit"),
    newTokens: count("new-tokens"),
    threads: count("threads"),
  };
}

function pattern(text) {
  try {
    return new RegExp(text, "u");
  } catch {
    throw new Error(`--only has to be a regular expression, not "${text}"`);
  }
}

/** Programs, inputs and weights. What is missing has its reason in `missing`. */
async function prepare(options, tasks) {
  const { folder } = options;
  mkdirSync(folder, { recursive: true });
  const uses = (program) => tasks.some(({ contenders }) => contenders.some((c) => c.program === program));
  const python = uses("python") || uses("llama") ? setUpPython(folder, options.python) : {};
  const llama = uses("llama") ? setUpLlama(folder, python.program ?? "python3") : {};
  const gguf = await valora.resolveModel("smollm2-135m-instruct");
  const { weights, reason } = writeWeights(join(folder, "weights"), python.program, gguf);
  const key = createHash("sha256")
    .update(JSON.stringify([options.limit, options.pairs]))
    .digest("hex")
    .slice(0, 8);
  const inputs = writeInputs(join(folder, `inputs-${key}`), options);
  const adapters = await writeAdapters(join(folder, "adapters"), valora, gguf, trainingOf());
  return {
    programs: { python: python.program, llama: llama.program },
    missing: { python: python.reason, llama: llama.reason, weights: reason },
    versions: { ...python.versions, ...llama.versions },
    inputs,
    adapters,
    weights,
  };
}

/** The contender with its files; or why it cannot run. */
function equip(task, contender, prepared, { threads, newTokens, limit }) {
  const { programs, missing, inputs, adapters, weights } = prepared;
  const training = trainingOf(limit);
  const { program, settings } = contender;
  if (program in missing && programs[program] === undefined) return { reason: missing[program] };
  const model = weights[settings.weights];
  if (model === undefined) return { reason: missing.weights };
  const files = { input: inputs[settings.input], model: model.folder, gguf: model.gguf, start: adapters.start };
  if (typeof settings.adapters === "string") files.adapters = adapters.others;
  if (settings.adapter) files.adapter = adapters.others[0];
  return {
    ready: { ...contender, settings: { ...settings, unit: task.unit, threads, newTokens, training, files } },
  };
}

const measurePeak = (threads) =>
  Number(execFileSync(process.execPath, [join(here, "peak.mjs"), `${threads}`], { encoding: "utf8" }));

/** Each round begins with another contender. */
const turns = (contenders, round) => contenders.map((_, at) => contenders[(at + round) % contenders.length]);

async function runAll(options, tasks, prepared, results) {
  const leftOut = new Map();
  const total = options.rounds * tasks.reduce((sum, { contenders }) => sum + contenders.length, 0);
  let at = 0;
  let peak = measurePeak(options.threads);
  for (const task of tasks) {
    for (let round = 1; round <= options.rounds; round++) {
      for (const contender of turns(task.contenders, round - 1)) {
        const name = `${task.name}: ${contender.name}`;
        const say = (text) => console.error(`[${++at}/${total}] ${name}, round ${round}: ${text}`);
        if (leftOut.has(name)) {
          say("left out");
          continue;
        }
        const known = results.find(task.name, contender.name, round);
        if (known !== undefined) {
          say(`${rateOf(known).toPrecision(3)} ${task.unit}/s, from the file`);
          continue;
        }
        const { ready, reason } = equip(task, contender, prepared, options);
        const result =
          ready === undefined ? { left_out: reason } : await runContender(ready, prepared.programs, options.folder);
        if (result.left_out !== undefined) {
          leftOut.set(name, { task: task.name, contender: contender.name, reason: result.left_out });
          say(`left out: ${result.left_out}`);
          continue;
        }
        const after = measurePeak(options.threads);
        const timed = task.timed === "wall" ? { work: 1, seconds: result.wall_seconds } : {};
        const record = { task: task.name, contender: contender.name, round, ...result, ...timed };
        results.add({ ...record, machine_gflops: Math.max(peak, after) });
        peak = after;
        say(`${rateOf(record).toPrecision(3)} ${task.unit}/s`);
      }
    }
  }
  results.data.left_out = [...leftOut.values()];
}

async function main() {
  const options = readOptions();
  if (options.help) return console.log(USAGE);
  const tasks = chooseTasks(options.only);
  if (tasks.length === 0) throw new Error(`--only ${options.only.source}: no contender's name holds that`);
  const prepared = await prepare(options, tasks);
  const machine = await describeMachine();
  const settings = {
    commit: machine.commit,
    threads: options.threads,
    limit: options.limit ?? null,
    new_tokens: options.newTokens,
    pairs: createHash("sha256").update(readFileSync(prepared.inputs.pairs)).digest("hex"),
    ...prepared.versions,
  };
  const path = options.results ?? join(options.folder, "results.json");
  const results = new Results(path, settings, { machine, versions: prepared.versions });
  await runAll(options, tasks, prepared, results);
  results.data.rows = tasks.flatMap((task) => rowsOf(task, results.records));
  results.save();
  console.error(`results: ${path}`);
  const { data } = results;
  console.log(options.format === "json" ? JSON.stringify(data, null, 1) : renderTable(data, tasks, data.rows));
}

try {
  await main();
} catch (error) {
  // A refusal is one sentence; a mistake in this script has a place, too.
  const refused =
    error.constructor === Error || error instanceof valora.ValoraError || error.code?.startsWith("ERR_PARSE_ARGS");
  console.error(refused ? `peers: ${error.message}` : error);
  process.exitCode = 1;
}
