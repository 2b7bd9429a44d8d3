/** What a run will do: reads every task's questions once, checks them, and says which parts are there already. */
import { createHash } from "node:crypto";
import type { Adapter } from "../engine/adapter.js";
import { type Prompt, promptText } from "../engine/encode.js";
import { withSystem } from "../engine/generate.js";
import type { Model } from "../engine/model.js";
import { DataFormatError, throwIfAborted, UsageError } from "../errors.js";
import { sha256Json } from "../files/hash.js";
import type { SubjectNames } from "./item.js";
import { defaultPartsFolder, isThere, partPath } from "./parts.js";
import type { DataSources } from "./sources.js";
import type { Question, Task } from "./task.js";

/** Who is asked: the model with an adapter, or without, perhaps under a system prompt. */
export interface Subject {
  names: Omit<SubjectNames, "model">;
  /** null = the model alone. */
  adapter: Adapter | null;
  /** A system message in front of every prompt that is a list of messages and has none. */
  system?: string;
}

export interface PlanOptions {
  data: DataSources;
  /** Questions a task at most. */
  limit?: number | undefined;
  seed: number;
  signal?: AbortSignal | undefined;
  onNote?: ((message: string) => void) | undefined;
  /** What a question does that the model cannot take; default "fail". */
  onError?: "fail" | "skip";
  /** Where parts are kept; default `evaluations` in the cache folder. */
  partsFolder?: string;
}

export interface PlannedPart {
  /** SHA-256 of all that its content depends on. */
  key: string;
  path: string;
  there: boolean;
}

export interface PlannedTask {
  task: Task;
  kind: Question["kind"];
  questions: number;
  /** Whether some prompt is a list of messages, where a system prompt can stand. */
  messages: boolean;
  /** SHA-256 over the questions, without system prompts. */
  hash: string;
  /** One for each subject: its measurements, or its answers where these are generated. */
  parts: PlannedPart[];
}

/** Changes where the same questions would give other parts. */
const FORMAT = 1;

/**
 * @throws DataFormatError for an id that two questions have, a task without questions, or one that asks in both ways
 * @throws UsageError for messages that the model has no template for, and whatever reading the data throws
 */
export async function planTasks(
  model: Model,
  subjects: readonly Subject[],
  tasks: readonly Task[],
  options: PlanOptions,
): Promise<PlannedTask[]> {
  const hashes = await Promise.all(subjects.map(({ adapter }) => adapter?.hash() ?? "base"));
  const planned: PlannedTask[] = [];
  for (const task of tasks) planned.push(await planTask(model, subjects, hashes, task, options));
  return planned;
}

async function planTask(
  model: Model,
  subjects: readonly Subject[],
  /** Of their adapters. */
  hashes: readonly string[],
  task: Task,
  options: PlanOptions,
): Promise<PlannedTask> {
  const { data, limit, seed, signal, onNote } = options;
  const name = `${task.suite}:${task.name}`;
  const hash = createHash("sha256");
  const ids = new Set<string>();
  let kind: Question["kind"] | undefined;
  let draws = false;
  let messages = false;
  for await (const question of task.load(data, { limit, seed, signal, onNote })) {
    throwIfAborted(signal);
    if (ids.has(question.id)) throw new DataFormatError(`${name}: two questions have the id "${question.id}"`);
    ids.add(question.id);
    kind ??= question.kind;
    if (question.kind !== kind)
      throw new DataFormatError(
        `${name}: question "${question.id}" is a ${question.kind} among others; split the task`,
      );
    if (question.kind === "generation") draws ||= (question.temperature ?? 0) > 0;
    messages ||= promptsOf(question).some((prompt) => typeof prompt !== "string");
    // Messages as the model sees them: templates are part of the question.
    const seen = promptsOf(question).map((prompt) => (typeof prompt === "string" ? prompt : promptText(model, prompt)));
    hash.update(`${JSON.stringify([question, seen])}\n`);
  }
  if (kind === undefined) throw new DataFormatError(`${name}: there is no question in its data`);
  const digest = hash.digest("hex");
  const parts = await Promise.all(
    subjects.map(async ({ system }, index): Promise<PlannedPart> => {
      const key = sha256Json([
        FORMAT,
        await model.hash(),
        model.device.kind,
        model.device.compute,
        hashes[index],
        messages && system !== undefined ? [system, systemSeen(model, system)] : null,
        [task.suite, task.name, task.version, task.boundary ?? "longest", kind],
        draws ? seed : null,
        // Such a part may lack questions.
        options.onError === "skip",
        digest,
      ]);
      const path = partPath(options.partsFolder ?? defaultPartsFolder(), key);
      return { key, path, there: await isThere(path) };
    }),
  );
  return { task, kind, questions: ids.size, messages, hash: digest, parts };
}

function promptsOf(question: Question): Prompt[] {
  if (question.kind === "generation") return [question.prompt];
  return question.requests.flatMap(({ context }) => (context === undefined ? [] : [context]));
}

/** What the template makes of it: some drop system messages, or refuse them. */
function systemSeen(model: Model, system: string): string {
  try {
    return promptText(model, withSystem([{ role: "user", content: "?" }], system));
  } catch (error) {
    throw new UsageError(`--system: the chat template takes no system message (${(error as Error).message})`, {
      cause: error,
    });
  }
}
