/** The suites that a study names: which questions they ask, as a hash that jobs are known by, and how many tokens that is. */
import { createHash } from "node:crypto";
import { DataSources } from "../evaluation/sources.js";
import { chooseTasks } from "../evaluation/suites.js";
import type { Question } from "../evaluation/task.js";
import type { Study } from "./schema.js";

export interface StudySuite {
  /** As for `--suite`. */
  suite: string;
  limit: number | undefined;
  /** Folder that its data were looked for in. */
  data: string | undefined;
  /** SHA-256 over tasks, versions and questions. */
  hash: string;
  /** Estimated tokens that one subject is asked, and writes. */
  asked: number;
  written: number;
}

/** Characters of a token, where there is no need to know better. */
const TOKEN = 4;

/** @throws UsageError for a suite that there is not, FileError and DataFormatError from its data */
export async function readSuites(
  study: Study,
  folder: string | undefined,
  options: { signal?: AbortSignal | undefined; onNote?: ((message: string) => void) | undefined },
): Promise<StudySuite[]> {
  const data = new DataSources({ folder, ...options });
  const suites: StudySuite[] = [];
  for (const { suite, limit } of study.suites) {
    const hash = createHash("sha256");
    let [asked, written] = [0, 0];
    for (const task of await chooseTasks([suite], data)) {
      hash.update(`${JSON.stringify([task.suite, task.name, task.version, task.boundary])}\n`);
      for await (const question of task.load(data, { limit, seed: 0, ...options })) {
        hash.update(`${JSON.stringify(question)}\n`);
        asked += charactersOf(question) / TOKEN;
        if (question.kind === "generation") written += question.maxNewTokens * (question.samples ?? 1);
      }
    }
    suites.push({ suite, limit, data: folder, hash: hash.digest("hex"), asked, written });
  }
  return suites;
}

function charactersOf(question: Question): number {
  const lengthOf = (value: unknown): number => (typeof value === "string" ? value : JSON.stringify(value ?? "")).length;
  if (question.kind === "generation") return lengthOf(question.prompt);
  return question.requests.reduce(
    (sum, { context, completions = [] }) =>
      sum + lengthOf(context) + completions.reduce((all, one) => all + one.length, 0),
    0,
  );
}
