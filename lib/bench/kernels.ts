/** The suite of single operations. Which shapes it holds is data: bench/kernels.json. */
import { readFile } from "node:fs/promises";
import { type Dtype, type NativeKernelSpec, native } from "../native.js";
import { type MeasureOptions, measure, type Peaks } from "./measure.js";
import type { BenchResult } from "./result.js";

const LISTS = new URL("../../bench/kernels.json", import.meta.url);

/** An entry of the lists; rows, dtypes and spans are crossed with one another, one task for each combination. */
interface Entry extends Omit<NativeKernelSpec, "backend" | "threads" | "rows" | "dtype" | "spans"> {
  /** Whose shape it is. */
  model: string;
  rows?: number[];
  dtype?: Dtype[];
  spans?: number[][];
}

/** `default` runs where nothing is said; `more` where it is asked for. */
interface Lists {
  default: Entry[];
  more: Entry[];
}

export interface KernelTask {
  spec: Omit<NativeKernelSpec, "backend" | "threads">;
  model: string;
  shape: string;
  dtype: Dtype | null;
}

/** The default tasks; or, of all there are, those in whose name `only` is found. */
export async function kernelTasks(only: RegExp | undefined): Promise<KernelTask[]> {
  const lists = JSON.parse(await readFile(LISTS, "utf8")) as Lists;
  if (only === undefined) return lists.default.flatMap(expand);
  return [...lists.default, ...lists.more].flatMap(expand).filter((task) => only.test(taskName(task)));
}

/** What a task is found by, e.g. "linear_forward 135M 512×576→1536 Q4_1". */
export function taskName({ spec, model, shape, dtype }: KernelTask): string {
  return [spec.op, model, shape, ...(dtype === null ? [] : [dtype])].join(" ");
}

function expand({ model, rows, dtype, spans, ...sizes }: Entry): KernelTask[] {
  const crossed: KernelTask[] = [];
  for (const rowCount of rows ?? [undefined]) {
    for (const lengths of spans ?? [undefined]) {
      for (const stored of dtype ?? [undefined]) {
        const spec: KernelTask["spec"] = {
          ...sizes,
          ...(rowCount === undefined ? {} : { rows: rowCount }),
          ...(lengths === undefined ? {} : { spans: lengths }),
          ...(stored === undefined ? {} : { dtype: stored }),
        };
        crossed.push({ spec, model, shape: shapeOf(spec), dtype: stored ?? null });
      }
    }
  }
  return crossed;
}

function shapeOf(spec: KernelTask["spec"]): string {
  const rows = spec.spans === undefined ? `${spec.rows}` : spec.spans.join("+");
  const width =
    spec.heads === undefined
      ? `${spec.inputs}${spec.outputs === undefined ? "" : `→${spec.outputs}`}`
      : `${spec.heads}/${spec.kvHeads}h×${spec.headDim}`;
  return `${rows}×${width}${spec.rank === undefined ? "" : ` r${spec.rank}`}`;
}

/** Native runs are gathered until a sample takes this long, in seconds: far above what reading the clock costs. */
const SAMPLE_SECONDS = 0.002;

/**
 * Runs one task; its results are compared with the reference backend's first.
 *
 * @throws an Error with code ERR_INTERNAL where they disagree
 */
export async function runKernel(task: KernelTask, peaks: Peaks, options: MeasureOptions): Promise<BenchResult> {
  const { isa, compute, threads } = options;
  const kernel = native.createKernelBench({ ...task.spec, backend: isa, compute, threads });
  const { error, tolerance } = kernel.verify();
  const times = Math.max(1, Math.ceil(SAMPLE_SECONDS / kernel.run(1)));
  const timing = await measure(
    { sample: () => kernel.run(times) / times, flops: kernel.flops, bytes: kernel.bytes },
    peaks,
    options,
  );
  return {
    suite: "kernels",
    kernel: task.spec.op,
    model: task.model,
    shape: task.shape,
    dtype: task.dtype,
    isa,
    compute,
    threads,
    ...timing,
    error,
    tolerance,
    tokens_per_second: null,
    pairs_per_second: null,
    peak_memory_bytes: null,
    operations: null,
  };
}
