/** The parts of `valora study` that work on many machines: through a queue, how far that is, and a script for SLURM. */
import { chooseDevice } from "../engine/device.js";
import { UsageError } from "../errors.js";
import { native } from "../native.js";
import { newRound, runQueued } from "../queue/attach.js";
import { hasPlan } from "../queue/plan-file.js";
import { insideOf } from "../queue/shared-folder.js";
import { writeArray } from "../queue/slurm.js";
import { countInFolder, readStatus, type StudyStatus } from "../queue/status.js";
import { textTable } from "../report/text-table.js";
import { type PreparedStudy, prepareStudy } from "../study/prepare-study.js";
import type { StudyFile } from "../study/read-study.js";
import type { StudyResult } from "../study/run.js";
import { StudyStore } from "../study/store.js";
import type { CommonValues } from "./command.js";
import type { CommandContext } from "./context.js";
import { formatSeconds } from "./progress-bar.js";
import { lockMilliseconds, openQueue } from "./queue-options.js";
import { watched } from "./study.js";

type Options = CommonValues & {
  output: string;
  queue: string | undefined;
  shared: string;
  data: string | undefined;
};

/** Puts the study into the queue, or attaches to it, and waits until it has ended. */
export async function studyOnQueue(file: StudyFile, options: Options, context: CommandContext): Promise<StudyResult> {
  const { output, device, compute } = options;
  const lockMs = lockMilliseconds();
  const connection = await openQueue(options.queue!, context);
  try {
    const { store, round } = await StudyStore.openQueued(output, newRound());
    const { folder, prepared } = await prepare(file, store, options, context).catch(async (error: unknown) => {
      // Nothing is in the queue yet, unless an earlier command put it there.
      if (!(await hasPlan(output))) await store.release();
      throw error;
    });
    context.note(
      `queue: ${connection.address.name}; Ctrl-C leaves the workers at work, the same command attaches again`,
    );
    return await watched(context, (watch) =>
      runQueued(prepared, store, {
        connection,
        folder,
        round,
        device: chooseDevice(device, undefined, compute, native.info()).backend,
        compute,
        signal: context.signal,
        lockMs,
        onNote: (message) => context.note(message),
        ...watch,
      }),
    );
  } finally {
    connection.close();
  }
}

async function prepare(
  file: StudyFile,
  store: StudyStore,
  { output, shared, device, compute, data }: Options,
  context: CommandContext,
): Promise<{ folder: string; prepared: PreparedStudy }> {
  const folder = await insideOf(shared, output);
  const prepared = await prepareStudy(file, store, {
    device,
    compute,
    data,
    signal: context.signal,
    onStage: (stage) => context.event("stage", { stage }),
  });
  if (prepared.models.length === 0) throw new UsageError(prepared.missing[0]!.reason);
  for (const note of prepared.data.notes) context.note(note);
  return { folder, prepared };
}

/** Prints how far a study is. */
export async function showStatus({ queue, output }: Options, context: CommandContext): Promise<void> {
  if (queue === undefined) throw new UsageError("--status asks a queue: give --queue too");
  const connection = await openQueue(queue, context);
  try {
    const status = await readStatus(output, connection);
    if (status !== null) return await context.print(renderStatus(status));
    const { done, failed } = await countInFolder(output);
    await context.print(`no queue works on ${output}: ${done} jobs are done in it, ${failed} failed\n`);
  } finally {
    connection.close();
  }
}

function renderStatus({ jobs, done, failures, workers, rate, secondsLeft, unplaced }: StudyStatus): string {
  const facts = [`${done} of ${jobs} jobs done`, `${failures.length} failed`];
  if (rate !== null) facts.push(`${rate.toPrecision(3)} tokens/s`);
  if (secondsLeft !== null) facts.push(`${formatSeconds(secondsLeft)} left`);
  const rows = workers.map(({ host, pid, device, memoryBytes, models, job }) => [
    host,
    String(pid),
    device,
    `${(memoryBytes / 2 ** 30).toFixed(1)} GiB`,
    String(models.length),
    job ?? "idle",
  ]);
  const lines = [facts.join(", ")];
  if (rows.length > 0) lines.push("", ...textTable(["worker", "process", "device", "memory", "models", "doing"], rows));
  if (unplaced.length > 0) lines.push("", ...unplaced);
  if (failures.length > 0) lines.push("", ...failures.map(({ label, reason }) => `failed: ${label}: ${reason}`));
  return `${lines.join("\n")}\n`;
}

/** Writes the plan into the study's folder and the script to `options.slurm`. */
export async function writeSlurm(
  prepared: PreparedStudy,
  store: StudyStore,
  study: string,
  options: Options & { slurm: string | undefined },
  context: CommandContext,
): Promise<void> {
  const { output, device, compute } = options;
  const words = ["study", study, "--output", output, "--device", device, "--compute", compute];
  if (options.data !== undefined) words.push("--data", options.data);
  const backend = chooseDevice(device, undefined, compute, native.info()).backend;
  const tasks = await writeArray(prepared, store, options.slurm!, { device: backend, compute, collect: words });
  const counts = tasks.map(({ phase, count }) => `${count} ${phase}`).join(", ");
  context.note(`${options.slurm} submits the study: bash ${options.slurm} [options of sbatch]; tasks: ${counts}`);
}
