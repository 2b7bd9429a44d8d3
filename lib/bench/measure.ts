/** Times one task with tinybench, between two looks at the peak that limits it. */
import { Bench, type FnReturnedObject } from "tinybench";
import { throwIfAborted } from "../engine/cancel.js";
import type { Isa } from "../engine/device.js";
import { type Compute, native } from "../native.js";
import type { BenchResult, Limit } from "./result.js";

export interface MeasureOptions {
  isa: Isa;
  compute: Compute;
  threads: number;
  /** Seconds that the samples of a task take together; at least LEAST_SAMPLES are taken. */
  time: number;
  signal: AbortSignal;
}

export interface Timed {
  /** Each takes one sample and says how many seconds a single run took. */
  sample(): number | Promise<number>;
  /** Of a single run. */
  flops: number;
  /** Of a single run; left out where only the arithmetic counts. */
  bytes?: number;
}

export type Timing = Pick<
  BenchResult,
  "seconds" | "spread_percent" | "samples" | "gflops" | "gbytes_per_second" | "limit" | "peak" | "peak_percent"
>;

/** Quartiles of fewer say nothing. */
const LEAST_SAMPLES = 3;

/**
 * The machine's peaks. They waver with its clock and its neighbours, so that one is measured again before and after
 * every task, and the task held against the larger.
 */
export class Peaks {
  private readonly first: Partial<Record<Limit, number>> = {};

  constructor(
    private readonly isa: Isa,
    private readonly threads: number,
  ) {}

  /** Operations or bytes a second. */
  measure(limit: Limit): number {
    const peak =
      limit === "compute" ? native.measurePeak(this.isa, this.threads) : native.measureBandwidth(this.threads);
    this.first[limit] ??= peak;
    return peak;
  }

  /** Whether arithmetic or memory takes the longer of the two, by the peaks measured first. */
  limitOf({ flops, bytes }: Timed): Limit {
    if (bytes === undefined) return "compute";
    const compute = this.first.compute ?? this.measure("compute");
    const memory = this.first.memory ?? this.measure("memory");
    return flops / compute > bytes / memory ? "compute" : "memory";
  }
}

export async function measure(task: Timed, peaks: Peaks, { time, signal }: MeasureOptions): Promise<Timing> {
  const limit = peaks.limitOf(task);
  const before = peaks.measure(limit);
  const samples = await takeSamples(task, time, signal);
  const peak = Math.max(before, peaks.measure(limit));
  const seconds = quantile(samples, 0.5);
  const flops = task.flops / seconds;
  const bytes = task.bytes === undefined ? null : task.bytes / seconds;
  return {
    seconds,
    spread_percent: (100 * (quantile(samples, 0.75) - quantile(samples, 0.25))) / seconds,
    samples: samples.length,
    gflops: flops / 1e9,
    gbytes_per_second: bytes === null ? null : bytes / 1e9,
    limit,
    peak: peak / 1e9,
    peak_percent: (100 * (limit === "memory" ? (bytes ?? 0) : flops)) / peak,
  };
}

/** Seconds, ascending. */
async function takeSamples(task: Timed, time: number, signal: AbortSignal): Promise<number[]> {
  const bench = new Bench({
    time: 1000 * time,
    iterations: LEAST_SAMPLES,
    warmup: false, // the comparison with the reference was one
    retainSamples: true,
    throws: true,
  });
  bench.add("task", async (): Promise<FnReturnedObject> => {
    // What a task runs natively holds the thread: an interrupt is noticed between samples.
    await new Promise((resolve) => setImmediate(resolve));
    throwIfAborted(signal);
    const started = performance.now();
    const seconds = await task.sample();
    return { overriddenDuration: 1000 * seconds, overriddenIterationCost: performance.now() - started };
  });
  const [done] = await bench.run();
  const result = done!.result;
  if (!("latency" in result)) throw new Error(`the benchmark ended as ${result.state}`);
  return result.latency.samples!.map((milliseconds) => milliseconds / 1000);
}

/** Between the neighbours of `sorted` in proportion, as tinybench's own are. */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (at - Math.floor(at)) * (sorted[Math.ceil(at)]! - below);
}
