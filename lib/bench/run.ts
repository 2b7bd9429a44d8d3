/** Runs the suites asked for, task by task. */

import { throwIfAborted } from "../engine/cancel.js";
import { checkThreads, chooseDevice, type Isa } from "../engine/device.js";
import { UsageError } from "../errors.js";
import { type Compute, native } from "../native.js";
import { kernelTasks, runKernel, taskName } from "./kernels.js";
import { describeMachine } from "./machine.js";
import { type MeasureOptions, Peaks } from "./measure.js";
import { openBenchModel, runScore, runTrain } from "./models.js";
import { type BenchReport, type BenchResult, SUITES, type SuiteName } from "./result.js";

export interface BenchOptions {
  suites: readonly SuiteName[];
  /** Of the suites that run one. */
  model: string;
  /** Kernels in whose name this is found, of all there are; the default ones where it is left out. */
  only?: RegExp;
  isa?: Isa;
  compute: Compute;
  threads?: number;
  memoryBytes?: number;
  /** Seconds a task. */
  time: number;
  signal: AbortSignal;
  /** Before every task: its name, how many are done, and how many there are. */
  onProgress?: (progress: { task: string; done: number; total: number }) => void;
}

/** Tasks of the suite of scoring: texts, and choices. */
const SCORE_TASKS = 2;

/**
 * @throws UsageError where no kernel is found, or kernels are chosen and not asked for
 * @throws an Error with code ERR_INTERNAL where a result disagrees with the reference backend's
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const threads = checkThreads(options.threads);
  const info = native.info();
  const isa = chooseDevice("cpu", options.isa, options.compute, info).isa ?? info.isas[0]!;
  const measuring: MeasureOptions = {
    isa,
    compute: options.compute,
    threads,
    time: options.time,
    signal: options.signal,
  };
  const peaks = new Peaks(isa, threads);
  const suites = SUITES.filter((suite) => options.suites.includes(suite));
  const kernels = suites.includes("kernels") ? await kernelTasks(options.only) : [];
  if (options.only !== undefined && !suites.includes("kernels"))
    throw new UsageError("--only chooses among kernels: ask for kernels, or leave it out");
  if (suites.includes("kernels") && kernels.length === 0)
    throw new UsageError(`--only ${options.only?.source}: no kernel's name holds that; --only . runs them all`);
  const total = kernels.length + (suites.includes("train") ? 1 : 0) + (suites.includes("score") ? SCORE_TASKS : 0);
  const machine = await describeMachine();
  const results: BenchResult[] = [];
  const begin = (task: string): void => {
    throwIfAborted(options.signal);
    options.onProgress?.({ task, done: results.length, total });
  };
  if (suites.some((suite) => suite !== "kernels")) {
    begin("opening the model");
    await using model = await openBenchModel(options.model, measuring, options.memoryBytes);
    if (suites.includes("train")) {
      begin("train");
      results.push(await runTrain(model, peaks, measuring));
    }
    if (suites.includes("score")) {
      begin("score");
      for await (const result of runScore(model, peaks, measuring)) {
        results.push(result);
        begin("score");
      }
    }
  }
  for (const task of kernels) {
    begin(taskName(task));
    results.push(await runKernel(task, peaks, measuring));
  }
  return { machine, results };
}
