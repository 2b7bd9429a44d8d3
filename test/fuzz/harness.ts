/** Starts the thread of a target and watches it: a case that stalls, or runs out of memory, is a failure with its number. */
import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";

export interface FuzzJob {
  target: string;
  seed: number;
  /** [1] The case in hand, counted from 1. */
  current: Int32Array;
}

export interface FuzzReport {
  cases: number;
  accepted: number;
  rejected: number;
  /** Cases that failed in another way than they should, the first of them described. */
  bad: number;
  problems: string[];
  /** Milliseconds of the slowest case. */
  slowest: number;
}

/** Far above the slowest case (under 0.1 s on 2 busy cores); what takes longer does not end by itself. */
const STALL_MS = 20_000;
/** JavaScript heap of a target. No input here is above 4 MB. */
const HEAP_MB = 512;
/** Growth of the process while a target runs, heap included. */
const MAX_GROWTH_KB = 1024 * 1024;

/** Runs all cases of a target; VALORA_FUZZ_SEED chooses other ones than those of every day. */
export async function fuzz(target: string): Promise<FuzzReport> {
  const seed = Number(process.env.VALORA_FUZZ_SEED ?? 1);
  const current = new Int32Array(new SharedArrayBuffer(4));
  const before = process.resourceUsage().maxRSS;
  const job: FuzzJob = { target, seed, current };
  const worker = new Worker(new URL("./worker.js", import.meta.url), {
    workerData: job,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  const report = await new Promise<FuzzReport>((resolve, reject) => {
    let last = 0;
    let since = performance.now();
    const watch = setInterval(() => {
      const now = Atomics.load(current, 0);
      if (now !== last) {
        last = now;
        since = performance.now();
      } else if (performance.now() - since > STALL_MS) {
        fail(new Error(`case ${now - 1} (seed ${seed}) of "${target}" has not ended in ${STALL_MS / 1000} s`));
      }
    }, 500);
    const fail = (error: Error): void => {
      clearInterval(watch);
      void worker.terminate();
      reject(error);
    };
    worker.on("message", (message: FuzzReport) => {
      clearInterval(watch);
      resolve(message);
    });
    worker.on("error", (error) => {
      fail(
        new Error(`case ${Atomics.load(current, 0) - 1} (seed ${seed}) of "${target}": ${String(error)}`, {
          cause: error,
        }),
      );
    });
    worker.on("exit", () => clearInterval(watch));
  });
  const growth = process.resourceUsage().maxRSS - before;
  assert.ok(growth <= MAX_GROWTH_KB, `the process grew by ${Math.round(growth / 1024)} MiB`);
  return report;
}
