/** Where a job's time goes: its operations, the rest between them, and how much of it the threads are at work. */
import type { Model } from "../engine/model.js";

export interface OperationShare {
  /** Of native/core/ops.h; "rest" is what lies between them: packing, loss, JavaScript. */
  operation: string;
  calls: number;
  seconds: number;
  /** Of the job's time. */
  percent: number;
  /** Of the threads' time during the operation, in percent; what is missing to 100 is waiting and serial work. */
  busy_percent: number | null;
}

/** Runs `job` once, which says how many seconds it took; the longest operation comes first, the rest last. */
export async function shareTime(model: Model, job: () => Promise<number>): Promise<OperationShare[]> {
  await model.native.takeOperationTimes();
  const whole = await job();
  const times = await model.native.takeOperationTimes();
  const rest = whole - times.reduce((sum, { seconds }) => sum + seconds, 0);
  return [
    ...times
      .sort((a, b) => b.seconds - a.seconds)
      .map(({ operation, calls, seconds, busySeconds }) => ({
        operation,
        calls,
        seconds,
        percent: (100 * seconds) / whole,
        busy_percent: (100 * busySeconds) / (seconds * model.device.threads),
      })),
    { operation: "rest", calls: 1, seconds: rest, percent: (100 * rest) / whole, busy_percent: null },
  ];
}
