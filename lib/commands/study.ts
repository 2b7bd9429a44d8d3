/** `valora study`: models × values × arms × doses × seeds, in one folder that can be stopped and continued at any point. */
import { UsageError, ValoraError } from "../errors.js";
import type { RunOptions, StudyResult } from "../study/run.js";
import { defineCommand, MODEL_COMMON } from "./command.js";
import type { CommandContext, Progress } from "./context.js";
import { QUEUE_OPTIONS } from "./queue-options.js";

export const study = defineCommand({
  name: "study",
  summary: "models × values × arms × doses × seeds from one YAML file",
  description:
    "Trains and measures everything that a study file asks for (docs/studies.md). What is done stays done: the same " +
    "command goes on after an interruption, and does again only what has changed. FILE.yaml is a file, or one of the " +
    "profiles smoke (minutes), desk (hours) and paper.",
  positional: { placeholder: "FILE.yaml", describe: "the study, or smoke, desk, paper" },
  options: {
    output: { type: "string", placeholder: "DIR", required: true, describe: "the study's folder" },
    plan: { type: "boolean", default: false, describe: "print jobs, tokens, hours and disk, and stop" },
    rate: {
      type: "number",
      placeholder: "N",
      minimum: 0,
      aboveMinimum: true,
      describe: "training tokens a second for --plan (a probe of seconds)",
    },
    data: { type: "string", placeholder: "DIR", describe: "where the data's paths start (the file's folder)" },
    ...QUEUE_OPTIONS,
    status: { type: "boolean", default: false, describe: "print how far the queue is, and stop" },
    slurm: { type: "string", placeholder: "FILE", describe: "write a script that submits the jobs to SLURM, and stop" },
  },
  commonOptions: MODEL_COMMON.filter((name) => name !== "seed" && name !== "on-error"),
  examples: ["valora study smoke --output smoke --plan", "valora study my-study.yaml --output my-study"],
  async run(options, context, [path]) {
    if (options.output === "-") throw new UsageError("--output has to be a folder, not standard output");
    const [{ readStudy }, { StudyStore }, { prepareStudy }] = await Promise.all([
      import("../study/read-study.js"),
      import("../study/store.js"),
      import("../study/prepare-study.js"),
    ]);
    if (options.status) return (await import("./study-queue.js")).showStatus(options, context);
    const file = await readStudy(path!, { data: options.data });
    if (options.queue !== undefined) {
      const { studyOnQueue } = await import("./study-queue.js");
      return finish(await studyOnQueue(file, options, context), options.output, context);
    }
    await using store = await StudyStore.open(options.output);
    const prepared = await prepareStudy(file, store, {
      device: options.device,
      compute: options.compute,
      data: options.data,
      signal: context.signal,
      onStage: (stage) => context.event("stage", { stage }),
    });
    const open = async (model: { name: string; model: string; chatTemplate?: string | undefined }) => {
      const { openFromOptions } = await import("./model-options.js");
      return openFromOptions({ ...options, model: model.model, "chat-template": model.chatTemplate }, context);
    };
    if (options.plan) {
      await showPlan({ prepared, store, open, rate: options.rate }, context);
      return;
    }
    if (prepared.models.length === 0) throw new UsageError(prepared.missing[0]!.reason);
    for (const note of prepared.data.notes) context.note(note);
    if (options.slurm !== undefined) {
      const { writeSlurm } = await import("./study-queue.js");
      return writeSlurm(prepared, store, path!, options, context);
    }
    const { runStudy } = await import("../study/run.js");
    const result = await watched(context, (watch) =>
      runStudy(prepared, store, { openModel: open, signal: context.signal, ...watch }),
    );
    await finish(result, options.output, context);
  },
});

/** Says how a study goes on: what `runStudy`, or a queue, tells of. */
export async function watched<T>(
  context: CommandContext,
  work: (watch: Required<Pick<RunOptions, "onStart" | "onProgress" | "onJob">>) => Promise<T>,
): Promise<T> {
  let bar: Progress | undefined;
  try {
    return await work({
      onStart: ({ jobs, done, total, left }) => {
        context.note(`study: ${jobs} jobs, ${done} of them done before`, { jobs, done });
        bar = context.progress("study", "tokens", Math.ceil(total), Math.round(total - left));
      },
      onProgress: (done, detail) => bar?.update(Math.round(done), detail),
      onJob: (job, failure) => {
        context.event("job", { key: job.key, label: job.label, failure });
        if (failure !== null) context.note(`failed: ${job.label}: ${failure}`);
      },
    });
  } finally {
    bar?.stop();
  }
}

async function finish(result: StudyResult, output: string, context: CommandContext): Promise<void> {
  const { renderCheckpoints } = await import("./study-tables.js");
  await context.print(renderCheckpoints(result.checkpoints));
  context.note(`results in ${result.items}; ${result.ran} jobs ran, ${result.reused} were done before`);
  if (result.failures.length > 0) throw new StudyFailed(result.failures, output);
}

/** What is left when some jobs failed and all others are done. */
class StudyFailed extends ValoraError {
  constructor(failures: readonly { label: string; reason: string }[], output: string) {
    const [{ label, reason }] = failures as [{ label: string; reason: string }];
    const others = failures.length === 1 ? "1 job" : `${failures.length} jobs`;
    super(
      "ERR_STUDY",
      `${others} failed, the first ${label}: ${reason}; the rest is done, reasons are in ${output}/failures, and the same command tries them again`,
    );
  }
}

type ShowPlan = {
  prepared: import("../study/prepare-study.js").PreparedStudy;
  store: import("../study/store.js").StudyStore;
  open: (model: import("../study/jobs.js").ModelRef) => Promise<import("../engine/model.js").Model>;
  rate: number | undefined;
};

async function showPlan({ prepared, store, open, rate }: ShowPlan, context: CommandContext): Promise<void> {
  const [{ renderPlan }, { ratesFrom }, { measureRates }] = await Promise.all([
    import("./study-tables.js"),
    import("../study/plan.js"),
    import("../study/probe.js"),
  ]);
  const done = new Set<string>();
  for (const { key } of prepared.jobs) if (await store.isDone(key)) done.add(key);
  const rates = new Map<string, import("../study/plan.js").Rates>();
  for (const { ref } of prepared.models) {
    const job = prepared.jobs.find((one) => one.kind === "train" && one.model.identity === ref.identity);
    if (rate !== undefined) rates.set(ref.name, ratesFrom(rate));
    else if (job?.kind === "train") {
      await using model = await open(ref);
      rates.set(ref.name, await measureRates(model, job, store.folder, context.signal));
    }
  }
  await context.print(renderPlan(prepared, done, rates));
}
