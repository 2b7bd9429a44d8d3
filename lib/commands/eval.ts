/**
 * `valora eval`: suites of tasks under any number of adapters, or asked of a model behind an endpoint, into an evaluation
 * folder.
 */
import { UsageError } from "../errors.js";
import type { PlannedTask, Subject } from "../evaluation/plan.js";
import type { Examinee } from "../evaluation/remote.js";
import type { SummaryRow } from "../evaluation/summary.js";
import {
  ADAPTER_OPTION,
  type CommonValues,
  defineCommand,
  MODEL_COMMON,
  type OptionValues,
  TEMPLATE_OPTION,
} from "./command.js";
import type { CommandContext } from "./context.js";
import { ENDPOINT_OPTIONS, endpointOf, modelEndpoint, noteAsking, openEndpoint } from "./endpoint-options.js";
import { gradersFromOptions } from "./grader-options.js";
import { type AdapterChoice, loadAdapters, openFromOptions, parseAdapters } from "./model-options.js";
import { effectiveOptions } from "./output.js";

const OPTIONS = {
  model: { type: "string", placeholder: "M", describe: "name, .gguf or folder; without it, --api-model" },
  adapter: ADAPTER_OPTION,
  suite: {
    type: "strings",
    placeholder: "NAME[:TASK]",
    describe: "repeatable; NAME:file=PATH, FILE.yaml, or list",
  },
  output: { type: "string", placeholder: "DIR", describe: "evaluation folder, made when complete" },
  limit: { type: "integer", placeholder: "N", minimum: 1, describe: "questions a task at most (all)" },
  data: { type: "string", placeholder: "DIR", describe: "folder of data sets (the hub, else small samples)" },
  grader: { type: "strings", placeholder: "G", describe: "repeatable; reads answers in place of the tasks' own" },
  "grader-model": { type: "string", placeholder: "M", describe: "for graders that end in -judge" },
  ...ENDPOINT_OPTIONS,
  turns: {
    type: "integer",
    placeholder: "N",
    default: 5,
    minimum: 1,
    describe: "answers in each conversation of multi_turn",
  },
  system: { type: "string", placeholder: "TEXT", describe: "system message in front of prompts that are messages" },
  list: { type: "boolean", default: false, describe: "show suites, tasks and data sets, and stop" },
  "chat-template": TEMPLATE_OPTION,
} as const;
type Options = OptionValues<typeof OPTIONS> & CommonValues;

/** Beside the tables that are printed: at most so many rows, the rest is in summary.csv. */
const MAX_SHOWN = 60;

export const evaluate = defineCommand({
  name: "eval",
  summary: "run suites of questions under any number of adapters",
  description:
    "Writes items.jsonl, a line for each answer and metric, and summary.csv and .json: means, 95 % intervals, and " +
    "differences from base. Finished tasks are kept: a run that was ended goes on where it was.",
  options: OPTIONS,
  commonOptions: MODEL_COMMON,
  examples: [
    "valora eval --model smollm2-135m-instruct --suite qa:mmlu --limit 50 \\",
    "  --adapter base --adapter kind=adapters/kind --output results/kind",
    "valora eval --api-url https://host/v1 --api-model NAME \\",
    "  --suite safety:advbench --output results/name",
  ],
  async run(options, context) {
    if (options.list || options.suite.includes("list")) return listSuites(options, context);
    const { output } = options;
    const endpoint = options.model === undefined ? modelEndpoint(options) : null;
    if (output === undefined) throw new UsageError("give the folder of the results with --output DIR");
    if (options.suite.length === 0) throw new UsageError("give at least one --suite NAME[:TASK]; --list shows them");
    const choices = parseAdapters(options.adapter);
    if (endpoint !== null) refuseLocalOptions(options, choices);
    const [graderEndpoint, simulatorEndpoint] = [endpointOf(options, "grader"), endpointOf(options, "simulator")];
    const { readsSeveral } = await import("../evaluation/graders/open.js");
    const several = options.grader.find(readsSeveral);
    if (several !== undefined)
      throw new UsageError(
        `--grader ${several} reads several things at once; give those wanted, as in ${several}:empathy`,
      );
    const [{ DataSources }, { chooseTasks }, { planTasks }, { UserSimulator }, { writeEvaluation }, folders] =
      await Promise.all([
        import("../evaluation/sources.js"),
        import("../evaluation/suites.js"),
        import("../evaluation/plan.js"),
        import("../evaluation/simulator.js"),
        import("../evaluation/write-folder.js"),
        import("../files/artefact-folder.js"),
      ]);
    await folders.checkFolder(output, context.command);
    const { signal } = context;
    const opener = gradersFromOptions(
      { ...options, "api-url": graderEndpoint?.url, "api-model": graderEndpoint?.model },
      options["grader-model"],
      context,
      graderEndpoint?.keyNames,
    );
    // Many tasks of one data set have the same to say of it.
    const noted = new Set<string>();
    const onNote = (message: string): void => {
      if (!noted.has(message)) context.note(message);
      noted.add(message);
    };
    const data = new DataSources({ folder: options.data, signal, onNote });
    const tasks = await chooseTasks(options.suite, data);
    await using local =
      options.model === undefined ? null : await openFromOptions({ ...options, model: options.model }, context);
    const model: Examinee = local ?? (await openEndpoint(endpoint!, options, context));
    const adapters = local === null ? { base: null } : await loadAdapters(local, choices, context);
    const simulator =
      simulatorEndpoint === null
        ? undefined
        : new UserSimulator(await openEndpoint(simulatorEndpoint, options, context));
    const subjects = Object.entries(adapters).map(
      ([adapter, loaded]): Subject => ({
        names: { adapter, ...(options.system === undefined ? {} : { arm: "system" }) },
        adapter: loaded,
        ...(options.system === undefined ? {} : { system: options.system }),
      }),
    );
    const run = {
      data,
      limit: options.limit,
      seed: options.seed,
      turns: options.turns,
      simulator,
      signal,
      onNote,
      ...(options.grader.length === 0 ? {} : { graders: options.grader }),
      openGrader: opener.open,
      ...context.itemErrors(options),
    };
    const planned = await planTasks(model, subjects, tasks, run);
    noteSystem(options, planned, context);
    if (local === null) noteRawText(planned, context);
    const manifest = await planManifest(options, subjects, planned, context.command, model);
    if (await folders.isFolderUpToDate(output, manifest)) {
      context.note(`${output} is up to date: its manifest says that it was made from the same`);
      return;
    }
    const known = planned.filter(({ parts }) => parts.every(({ there }) => there)).length;
    const questions = planned.reduce((sum, plan) => sum + plan.questions, 0);
    context.note(
      `${planned.length} tasks, ${questions} questions, ${subjects.length} models${known === 0 ? "" : `; ${known} tasks are known already`}`,
      { tasks: planned.length, questions, models: subjects.length, known },
    );
    const unknown = planned.filter(({ parts }) => parts.some(({ there }) => !there));
    noteAsking(
      unknown.map(({ asking }) => asking),
      local === null,
      options,
      context,
    );
    const bar = context.progress("evaluating", "questions", questions);
    let rows: SummaryRow[] = [];
    try {
      await folders.writeFolder(output, manifest, async (draft) => {
        rows = await writeEvaluation(model, subjects, planned, draft, {
          ...run,
          onProgress: ({ task, done }) => bar.update(done, task),
        });
      });
    } finally {
      bar.stop();
      await opener.dispose();
    }
    showRows(rows, context);
    context.note(`${output}: items.jsonl, summary.csv, summary.json`);
  },
});

/** @throws UsageError for what only a model that is open here can have */
function refuseLocalOptions(options: Options, choices: readonly AdapterChoice[]): void {
  const adapter = choices.find(({ dir }) => dir !== null);
  if (adapter !== undefined)
    throw new UsageError(`--adapter ${adapter.name}: adapters are put on a local model; give it with --model M`);
  if (options["chat-template"] !== undefined)
    throw new UsageError("--chat-template: a model behind an endpoint has its own; leave the option out");
}

/** An endpoint of chat completions takes messages alone. */
function noteRawText(planned: readonly PlannedTask[], context: CommandContext): void {
  const raw = planned.filter(({ messages }) => !messages).map(({ task }) => `${task.suite}:${task.name}`);
  if (raw.length > 0) context.note(`${raw.join(", ")}: the prompts are raw text, and go out as a user's message`);
}

/** A system message that stands nowhere changes nothing, which a user should know. */
function noteSystem({ system }: Options, planned: readonly PlannedTask[], context: CommandContext): void {
  if (system === undefined) return;
  const without = planned.filter(({ messages }) => !messages).map(({ task }) => `${task.suite}:${task.name}`);
  if (without.length === 0) return;
  const named =
    without.length > 3 ? `${without.slice(0, 3).join(", ")} and ${without.length - 3} more` : without.join(", ");
  context.note(`--system changes nothing in ${named}: their prompts are raw text`);
}

async function planManifest(
  options: Options & { seed: number },
  subjects: readonly Subject[],
  planned: readonly PlannedTask[],
  command: string,
  model: Examinee,
) {
  const [{ manifestOf }, { sha256Json }] = await Promise.all([
    import("../engine/manifest-of.js"),
    import("../files/hash.js"),
  ]);
  const sha256: Record<string, string> = {
    data: sha256Json(planned.map(({ task, hash }) => [task.suite, task.name, task.version, hash])),
  };
  for (const { names, adapter } of subjects)
    if (adapter !== null) sha256[`adapter ${names.adapter}`] = await adapter.hash();
  return manifestOf(model, { command, options: effectiveOptions(options), seed: options.seed, sha256 });
}

function showRows(rows: readonly SummaryRow[], context: CommandContext): void {
  if (context.jsonLogs) {
    context.event("summary", { rows });
    return;
  }
  const number = (value: number | null): string => (value === null ? "" : Number(value.toPrecision(4)).toString());
  const cells = rows
    .slice(0, MAX_SHOWN)
    .map((row) => [
      `${row.suite}:${row.task}`,
      row.grader === "" ? row.metric : `${row.metric} (${row.grader})`,
      row.adapter,
      number(row.value),
      row.ci_low === null ? "" : `${number(row.ci_low)} to ${number(row.ci_high)}`,
      String(row.n),
    ]);
  const table = [["task", "metric", "adapter", "value", "95 % interval", "items"], ...cells];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  for (const line of table)
    context.note(
      line
        .map((cell, column) => (column > 2 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join("  "),
    );
  if (rows.length > MAX_SHOWN) context.note(`and ${rows.length - MAX_SHOWN} more rows in summary.csv`);
}

/** Suites with their tasks, groups as one line, then the data sets; on standard output. */
async function listSuites(options: Options, context: CommandContext): Promise<void> {
  const [{ DataSources, SOURCES }, { SUITES, tasksOf }] = await Promise.all([
    import("../evaluation/sources.js"),
    import("../evaluation/suites.js"),
  ]);
  const data = new DataSources({ folder: options.data, signal: context.signal });
  const used = new Set<keyof typeof SOURCES>();
  for (const suite of SUITES) {
    await context.print(`${suite.name}: ${suite.about}\n`);
    const groups = new Map<string, { about: string; source: keyof typeof SOURCES; count: number }>();
    for (const { name, group, about, source } of await tasksOf(suite, data)) {
      used.add(source);
      const known = groups.get(group ?? name);
      if (known === undefined) groups.set(group ?? name, { about, source, count: 1 });
      else known.count += 1;
    }
    for (const [name, { about, source, count }] of groups) {
      const what = count === 1 ? about : `${count} tasks such as ${about}`;
      await context.print(`  ${`${suite.name}:${name}`.padEnd(36)} ${what} [${source}]\n`);
    }
    if (suite.open !== undefined)
      await context.print(`  ${`${suite.name}:file=PATH`.padEnd(36)} a file or folder of yours\n`);
  }
  await context.print("\ndata sets\n");
  for (const name of used) {
    if (name === "own") continue;
    const { title, maker, licence, url } = SOURCES[name];
    await context.print(`  ${name.padEnd(24)} ${title}; ${maker}; ${licence}; ${url}\n`);
  }
}
