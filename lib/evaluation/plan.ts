/** What a run will do: reads every task's questions once, checks them, and says which parts are there already. */
import { createHash } from "node:crypto";
import type { Adapter } from "../engine/adapter.js";
import { type Prompt, promptText, type TextModel } from "../engine/encode.js";
import { withSystem } from "../engine/generate.js";
import { DataFormatError, throwIfAborted, UsageError } from "../errors.js";
import { sha256Json } from "../files/hash.js";
import type { SubjectNames } from "./item.js";
import { defaultPartsFolder, isThere, partPath } from "./parts.js";
import { type Examinee, isRemote } from "./remote.js";
import type { UserSimulator } from "./simulator.js";
import type { DataSources } from "./sources.js";
import type { GenerationQuestion, Question, Task } from "./task.js";

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
  /** Answers in a conversation; default 5. */
  turns?: number | undefined;
  /** Plays the user where a task goes on after the first answer. */
  simulator?: UserSimulator | undefined;
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

/** Requests to an endpoint, where one answers: what they hold, and how many tokens it may write. */
export interface Asking {
  requests: number;
  characters: number;
  newTokens: number;
  /** Messages that a simulated user has to think of. */
  userTurns: number;
}

export interface PlannedTask {
  task: Task;
  kind: Question["kind"];
  questions: number;
  /** Whether some prompt is a list of messages, where a system prompt can stand. */
  messages: boolean;
  /** What answers take of one subject, in questions that are answered by text; 0 otherwise. */
  asking: Asking;
  /** SHA-256 over the questions, without system prompts. */
  hash: string;
  /** One for each subject: its measurements, or its answers where these are generated. */
  parts: PlannedPart[];
}

/** Changes where the same questions would give other parts. */
const FORMAT = 1;

/**
 * @throws DataFormatError for an id that two questions have, a task without questions, or one that asks in both ways
 * @throws UsageError for messages that the model has no template for, log-probabilities of a model behind an endpoint,
 *   and conversations without a simulator; and whatever reading the data throws
 */
export async function planTasks(
  model: Examinee,
  subjects: readonly Subject[],
  tasks: readonly Task[],
  options: PlanOptions,
): Promise<PlannedTask[]> {
  const hashes = await Promise.all(subjects.map(({ adapter }) => adapter?.hash() ?? "base"));
  const planned: PlannedTask[] = [];
  for (const task of tasks) planned.push(await planTask(model, subjects, hashes, task, options));
  if (isRemote(model)) requireAnswers(planned, subjects);
  return planned;
}

/** @throws UsageError for what an endpoint cannot do */
function requireAnswers(planned: readonly PlannedTask[], subjects: readonly Subject[]): void {
  if (subjects.some(({ adapter }) => adapter !== null))
    throw new UsageError("adapters are put on a local model, and a model behind an endpoint takes none");
  const names = new Set(
    planned.filter(({ kind }) => kind === "likelihood").map(({ task }) => `${task.suite}:${task.group ?? task.name}`),
  );
  if (names.size > 0)
    throw new UsageError(
      `${[...names].join(", ")}: read from log-probabilities, which a chat endpoint does not give; leave out, or give a ` +
        "local --model M",
    );
}

async function planTask(
  model: Examinee,
  subjects: readonly Subject[],
  /** Of their adapters. */
  hashes: readonly string[],
  task: Task,
  options: PlanOptions,
): Promise<PlannedTask> {
  const { data, limit, seed, turns, simulator, signal, onNote } = options;
  const name = `${task.suite}:${task.name}`;
  const hash = createHash("sha256");
  const ids = new Set<string>();
  let kind: Question["kind"] | undefined;
  let draws = false;
  let messages = false;
  let talks = false;
  const asking: Asking = { requests: 0, characters: 0, newTokens: 0, userTurns: 0 };
  for await (const question of task.load(data, { limit, seed, turns, signal, onNote })) {
    throwIfAborted(signal);
    if (ids.has(question.id)) throw new DataFormatError(`${name}: two questions have the id "${question.id}"`);
    ids.add(question.id);
    kind ??= question.kind;
    if (question.kind !== kind)
      throw new DataFormatError(
        `${name}: question "${question.id}" is a ${question.kind} among others; split the task`,
      );
    if (question.kind === "generation") {
      draws ||= (question.temperature ?? 0) > 0;
      talks ||= question.conversation !== undefined;
      addAsking(asking, question);
    }
    messages ||= promptsOf(question).some((prompt) => typeof prompt !== "string");
    // Messages as the model sees them: templates are part of the question.
    const seen = promptsOf(question).map((prompt) =>
      typeof prompt === "string" || isRemote(model) ? prompt : promptText(model, prompt),
    );
    hash.update(`${JSON.stringify([question, seen])}\n`);
  }
  if (kind === undefined) throw new DataFormatError(`${name}: there is no question in its data`);
  if (talks && simulator === undefined)
    throw new UsageError(
      `${name} goes on after the first answer, with a user that a model plays: give --simulator-api-model N, and --simulator-api-url U where that is not --api-url`,
    );
  const digest = hash.digest("hex");
  const compute = isRemote(model) ? "" : model.device.compute;
  const parts = await Promise.all(
    subjects.map(async ({ system }, index): Promise<PlannedPart> => {
      const key = sha256Json([
        FORMAT,
        await model.hash(),
        model.device.kind,
        compute,
        hashes[index],
        messages && system !== undefined ? [system, isRemote(model) ? null : systemSeen(model, system)] : null,
        [task.suite, task.name, task.version, task.boundary ?? "longest", kind],
        draws ? seed : null,
        // Such a part may lack questions.
        options.onError === "skip",
        digest,
        ...(talks ? [simulator!.settings] : []),
      ]);
      const path = partPath(options.partsFolder ?? defaultPartsFolder(), key);
      return { key, path, there: await isThere(path) };
    }),
  );
  return { task, kind, questions: ids.size, messages, asking, hash: digest, parts };
}

/** Of a user's message, for estimates: the simulator is told to be short. */
const USER_TURN_CHARACTERS = 200;
/** Of a token of English, for estimates. */
const TOKEN_CHARACTERS = 4;

/** In a conversation every request holds all that was said before. */
function addAsking(asking: Asking, { prompt, maxNewTokens, samples = 1, conversation }: GenerationQuestion): void {
  const turns = conversation?.turns ?? 1;
  const opening =
    typeof prompt === "string" ? prompt.length : prompt.reduce((sum, { content }) => sum + content.length, 0);
  asking.requests += turns * samples;
  asking.newTokens += turns * samples * maxNewTokens;
  asking.userTurns += turns - 1;
  for (let turn = 0; turn < turns; turn++)
    asking.characters += samples * (opening + turn * (USER_TURN_CHARACTERS + TOKEN_CHARACTERS * maxNewTokens));
}

function promptsOf(question: Question): Prompt[] {
  if (question.kind === "generation") return [question.prompt];
  return question.requests.flatMap(({ context }) => (context === undefined ? [] : [context]));
}

/** What the template makes of it: some drop system messages, or refuse them. */
function systemSeen(model: TextModel, system: string): string {
  try {
    return promptText(model, withSystem([{ role: "user", content: "?" }], system));
  } catch (error) {
    throw new UsageError(`--system: the chat template takes no system message (${(error as Error).message})`, {
      cause: error,
    });
  }
}
