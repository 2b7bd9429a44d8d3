/** A user's own suite as one YAML file (docs/evaluation.md): tasks over the user's data, in four kinds. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { readRecords } from "../data/records.js";
import type { Prompt } from "../engine/encode.js";
import { DataFormatError, describeFileError, FileError } from "../errors.js";
import { parseYaml } from "../files/yaml-file.js";
import { textTask } from "./suites/perplexity.js";
import { pairTask } from "./suites/preferences.js";
import { choiceQuestion } from "./suites/qa/choices.js";
import { questionRow, readQuestion } from "./suites/qa/layouts.js";
import { takeFirst } from "./suites/qa/records.js";
import type { GenerationQuestion, LikelihoodQuestion, LoadOptions, Task } from "./task.js";

const name = z.string().regex(/^[\w.-]+$/, { message: "it has to be of letters, digits, _, - and ." });
const pattern = z.string().refine(isPattern, { message: "it is no regular expression" });
const shared = { name, about: z.string().optional(), file: z.string().min(1) };
/** "{field}" stands for the field of a row. */
const template = z.string().min(1);

const taskSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    ...shared,
    kind: z.literal("choices"),
    /** Without one the row's own layout decides. */
    prompt: template.optional(),
    /** As a user's message, through the chat template. */
    chat: z.boolean().default(false),
    delimiter: z.string().default(" "),
  }),
  z.strictObject({ ...shared, kind: z.literal("preferences") }),
  z.strictObject({ ...shared, kind: z.literal("text") }),
  z.strictObject({
    ...shared,
    kind: z.literal("generation"),
    prompt: template,
    chat: z.boolean().default(false),
    "max-new-tokens": z.int().min(1).default(128),
    temperature: z.number().min(0).default(0),
    samples: z.int().min(1).default(1),
    stop: z.array(z.string().min(1)).default([]),
    /** What of the answer is compared; its first group where it has one. The whole answer without it. */
    pattern: pattern.optional(),
    /** The row's field with the right answer: makes exact_match. */
    reference: z.string().optional(),
    graders: z.record(z.string(), z.string()).optional(),
  }),
]);

const suiteSchema = z.strictObject({
  name,
  about: z.string().optional(),
  tasks: z.array(taskSchema).min(1),
});

type FileTask = z.infer<typeof taskSchema>;

function isPattern(text: string): boolean {
  try {
    new RegExp(text, "u");
    return true;
  } catch {
    return false;
  }
}

/**
 * @throws FileError where the file cannot be read
 * @throws DataFormatError naming file, line and field
 */
export async function readSuiteFile(path: string): Promise<readonly Task[]> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw new FileError(`suite ${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  });
  const { name, tasks } = parseYaml(text, path, suiteSchema);
  const twice = tasks.find((task, index) => tasks.findIndex((other) => other.name === task.name) !== index);
  if (twice !== undefined) throw new DataFormatError(`${path}: two tasks are named "${twice.name}"; rename one`);
  return tasks.map((task) => makeTask(name, task, resolve(dirname(path), task.file)));
}

function makeTask(suite: string, task: FileTask, path: string): Task {
  const about = task.about ?? path;
  switch (task.kind) {
    case "preferences":
      return { ...pairTask(suite, task.name, path), about };
    case "text":
      return { ...textTask(suite, task.name, path), about };
    case "choices":
      return {
        ...own(suite, task.name, about),
        boundary: "harness",
        load: (_, options) => choices(task, path, options),
      };
    case "generation": {
      const { graders } = task;
      return {
        ...own(suite, task.name, about),
        ...(graders === undefined ? {} : { graders }),
        // What is read of an answer is not part of the question.
        version: JSON.stringify(["1", task.pattern, task.reference]),
        load: (_, options) => generations(task, path, options),
      };
    }
  }
}

function own(
  suite: string,
  name: string,
  about: string,
): Pick<Task, "suite" | "name" | "about" | "source" | "version"> {
  return { suite, name, about, source: "own", version: "1" };
}

async function* choices(
  { name, prompt, chat, delimiter }: Extract<FileTask, { kind: "choices" }>,
  path: string,
  options: LoadOptions,
): AsyncGenerator<LikelihoodQuestion> {
  for await (const { value, where, id } of rowsOf(name, path, options)) {
    if (prompt === undefined) {
      yield readQuestion(value, id, where);
      continue;
    }
    const { choices, right } = questionRow({ question: "", ...value }, where);
    if (choices[right] === undefined) throw new DataFormatError(`${where}: no choice is marked as the right one`);
    const context = asPrompt(fill(prompt, value, where), chat);
    yield choiceQuestion({ id, context, choices, right: [right], delimiter: chat ? "" : delimiter });
  }
}

async function* generations(
  task: Extract<FileTask, { kind: "generation" }>,
  path: string,
  options: LoadOptions,
): AsyncGenerator<GenerationQuestion> {
  const { name, prompt, chat, temperature, samples, stop, pattern, reference } = task;
  for await (const { value, where, id } of rowsOf(name, path, options)) {
    const wanted = reference === undefined ? undefined : fill(`{${reference}}`, value, where);
    yield {
      kind: "generation",
      id,
      cluster: id,
      prompt: asPrompt(fill(prompt, value, where), chat),
      maxNewTokens: task["max-new-tokens"],
      temperature,
      samples,
      stop,
      ...(wanted === undefined
        ? {}
        : {
            reference: wanted,
            read: (text: string) => ({ exact_match: extract(text, pattern).trim() === wanted.trim() ? 1 : 0 }),
          }),
    };
  }
}

async function* rowsOf(name: string, path: string, { limit, signal }: LoadOptions) {
  let index = 0;
  for await (const { value, where } of takeFirst(readRecords(path, { signal }), limit)) {
    const id = typeof value.id === "string" ? value.id : `${name}:${index}`;
    index += 1;
    yield { value, where, id };
  }
}

function asPrompt(text: string, chat: boolean): Prompt {
  return chat ? [{ role: "user", content: text }] : text;
}

function extract(text: string, pattern: string | undefined): string {
  if (pattern === undefined) return text;
  const match = new RegExp(pattern, "u").exec(text);
  return match === null ? "" : (match[1] ?? match[0]);
}

/** @throws DataFormatError for a field that the row has not got */
function fill(text: string, row: Record<string, unknown>, where: string): string {
  return text.replace(/\{([\w.-]+)\}/g, (_, field: string) => {
    const value = row[field];
    if (typeof value === "string" || typeof value === "number") return String(value);
    throw new DataFormatError(
      `${where}: ${field}: the prompt asks for it, and ${value === undefined ? "it is missing" : "it is neither text nor number"}`,
    );
  });
}
