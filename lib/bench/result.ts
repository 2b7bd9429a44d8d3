/** What a benchmark says: one row a task, and the machine they were measured on. */
import type { Compute } from "../native.js";
import type { OperationShare } from "./operations.js";

/** Parts of the benchmark, in the order in which they run: peak memory is the process's, so training comes first. */
export const SUITES = ["train", "score", "kernels"] as const;

export type SuiteName = (typeof SUITES)[number];

/** What a task comes up against first: the multiply-add units, or reading from memory. */
export type Limit = "compute" | "memory";

export interface BenchResult {
  suite: SuiteName;
  /** The operation, or what a model does. */
  kernel: string;
  /** Name of the model that the shape is of. */
  model: string;
  shape: string;
  /** Of the weights; null where there are none. */
  dtype: string | null;
  isa: string;
  /** Arithmetic of products with stored matrices. The peak is of float32 in either case. */
  compute: Compute;
  threads: number;
  /** Median of the samples. */
  seconds: number;
  /** Distance of the quartiles, in percent of the median. */
  spread_percent: number;
  samples: number;
  gflops: number;
  /** Null for whole models: what they read depends on their caches. */
  gbytes_per_second: number | null;
  limit: Limit;
  /** The limit as measured just before or after the task: GFLOP/s, or GB/s where it is memory. */
  peak: number;
  /** Reached, in percent of the peak; beyond 100 where memory is the limit and the caches hold everything. */
  peak_percent: number;
  /** Largest error against the reference backend, relative to the size of the result; and what would have failed. */
  error: number;
  tolerance: number;
  tokens_per_second: number | null;
  pairs_per_second: number | null;
  /** Largest resident set of this process so far; null for kernels. */
  peak_memory_bytes: number | null;
  /** Of one more run of a whole model, with the time of its operations taken; null for kernels. CSV leaves it out. */
  operations: OperationShare[] | null;
}

export interface Machine {
  /** When the run began. */
  date: string;
  /** Of the git checkout that this is, "-dirty" behind it where files have changed; null outside of one. */
  commit: string | null;
  cpu: string;
  cores: number;
  isas: string[];
  versions: { valora: string; node: string; compiler: string };
  build: string;
}

export interface BenchReport {
  machine: Machine;
  results: BenchResult[];
}
