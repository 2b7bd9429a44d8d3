/** `valora worker`: does the jobs of studies that a queue hands out, or of one study those whose keys it is given. */
import { UsageError, ValoraError } from "../errors.js";
import { defineCommand, MODEL_COMMON } from "./command.js";
import type { CommandContext } from "./context.js";
import { lockMilliseconds, openQueue, QUEUE_OPTIONS } from "./queue-options.js";

export const worker = defineCommand({
  name: "worker",
  summary: "do the jobs of studies that another machine put into a queue",
  description:
    "Takes jobs of studies from a queue on Redis until it is stopped (docs/many-machines.md). Ctrl-C ends the job in " +
    "hand with a checkpoint and gives it back. With --study and --only it does the jobs with these keys and ends, as a " +
    "task of a SLURM array does.",
  options: {
    ...QUEUE_OPTIONS,
    "model-cache": { type: "string", placeholder: "DIR", describe: "this machine's models (VALORA_CACHE)" },
    study: { type: "string", placeholder: "DIR", describe: "instead of a queue: the study's folder" },
    only: { type: "strings", placeholder: "KEYS", describe: "with --study: the jobs to do, by comma" },
  },
  commonOptions: MODEL_COMMON.filter((name) => name !== "seed" && name !== "on-error"),
  examples: [
    "valora worker --queue redis://head:6379 --shared /lab",
    "valora worker --study /lab/out --only train-0123456789abcdef0123",
  ],
  async run(options, context) {
    if ((options.queue === undefined) === (options.study === undefined))
      throw new UsageError("give --queue to take jobs from one, or --study and --only to do some of a study's");
    if ((options.study === undefined) !== (options.only.length === 0))
      throw new UsageError("--study and --only belong together");
    if (options["model-cache"] !== undefined) process.env.VALORA_CACHE = options["model-cache"];
    const openModel = async (model: { model: string; chatTemplate?: string | undefined }) => {
      const { openFromOptions } = await import("./model-options.js");
      return openFromOptions({ ...options, model: model.model, "chat-template": model.chatTemplate }, context);
    };
    if (options.study !== undefined) return doJobs(options.study, options.only, openModel, context);
    const [{ runWorker }, { chooseDevice }, { defaultMemoryBytes }, { native }] = await Promise.all([
      import("../queue/worker.js"),
      import("../engine/device.js"),
      import("../engine/memory.js"),
      import("../native.js"),
    ]);
    const { device, compute, memory = defaultMemoryBytes() } = options;
    const chosen = chooseDevice(device, undefined, compute, native.info());
    const lockMs = lockMilliseconds();
    const connection = await openQueue(options.queue!, context);
    try {
      context.note(`worker: ${connection.address.name}, ${chosen.reason}`);
      await runWorker({
        connection,
        root: options.shared,
        device: chosen.backend,
        compute,
        memoryBytes: memory,
        openModel,
        apiUrl: process.env.VALORA_API_URL,
        signal: context.signal,
        lockMs,
        onJob: (label, failure, seconds) => {
          const words = failure === null ? `done in ${seconds.toFixed(1)} s` : `failed: ${failure}`;
          context.note(`${label}: ${words}`, { label, failure, seconds });
        },
        onNote: (message) => context.note(message),
      });
    } finally {
      connection.close();
    }
    context.signal.throwIfAborted();
  },
});

type OpenModel = (model: {
  model: string;
  chatTemplate?: string | undefined;
}) => Promise<import("../engine/model.js").Model>;

/** Without a queue: some jobs of the plan that lies in the study's folder. */
async function doJobs(
  folder: string,
  only: readonly string[],
  openModel: OpenModel,
  context: CommandContext,
): Promise<void> {
  const [{ readPlan }, { runKeys }, { StudyStore }] = await Promise.all([
    import("../queue/plan-file.js"),
    import("../queue/run-bundle.js"),
    import("../study/store.js"),
  ]);
  let model: import("../engine/model.js").Model | undefined;
  let first: string | undefined;
  try {
    const failed = await runKeys({
      plan: await readPlan(folder),
      keys: only.flatMap((keys) => keys.split(",")),
      store: StudyStore.join(folder),
      // Who can name the study can read what it names.
      readable: ["/"],
      openModel: async (ref) => {
        await model?.dispose();
        model = await openModel(ref);
        return model;
      },
      openJudge: openModel,
      signal: context.signal,
      lastAttempt: true,
      onEnd: async ({ label }, failure) => {
        first ??= failure ?? undefined;
        context.note(`${label}: ${failure === null ? "done" : `failed: ${failure}`}`, { label, failure });
      },
    });
    if (failed > 0)
      throw new ValoraError("ERR_STUDY", failed === 1 ? first! : `${failed} jobs failed, the first: ${first}`);
  } finally {
    await model?.dispose();
  }
}
