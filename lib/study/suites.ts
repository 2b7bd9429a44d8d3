/**
 * The suites that a study names: which questions they ask, as a hash that jobs are known by, who reads the answers, and how
 * many tokens that is.
 */
import { createHash } from "node:crypto";
import { UsageError } from "../errors.js";
import { GRADER_NAMES, readsSeveral } from "../evaluation/graders/open.js";
import { DataSources } from "../evaluation/sources.js";
import { chooseTasks } from "../evaluation/suites.js";
import type { Question } from "../evaluation/task.js";
import type { SuiteMeasure } from "./jobs.js";
import { readModel } from "./models.js";
import type { Study } from "./schema.js";

export interface StudySuite {
  measure: SuiteMeasure;
  /** Estimated tokens that one subject is asked, and writes. */
  asked: number;
  written: number;
}

/** Characters of a token, where there is no need to know better. */
const TOKEN = 4;

/**
 * @param folder where suites look for their data
 * @throws UsageError for a suite or grader that there is not, or whose judge is not given
 * @throws FileError, DataFormatError and ModelFormatError from data and judge
 */
export async function readSuites(
  study: Study,
  folder: string | undefined,
  options: { signal?: AbortSignal | undefined; onNote?: ((message: string) => void) | undefined },
): Promise<StudySuite[]> {
  const data = new DataSources({ folder, ...options });
  const readers = await readGraders(study);
  const suites: StudySuite[] = [];
  for (const [index, { suite, limit }] of study.suites.entries()) {
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
    const measure: SuiteMeasure = {
      kind: "suite",
      suite,
      ...(limit === undefined ? {} : { limit }),
      ...(folder === undefined ? {} : { data: folder }),
      hash: hash.digest("hex"),
      ...readers[index],
    };
    suites.push({ measure, asked, written });
  }
  return suites;
}

/** For each suite who reads its answers, where the study says so. */
async function readGraders({ suites, judge }: Study): Promise<Pick<SuiteMeasure, "graders" | "judge" | "api">[]> {
  const wants = (graders: readonly string[], kind: string): string | undefined =>
    graders.find((name) => name.split(":")[0]!.endsWith(`-${kind}`));
  const asked = suites.map(({ suite, graders = [] }) => {
    for (const grader of graders) {
      const where = `suites: ${suite}: grader ${grader}`;
      if (!(GRADER_NAMES as readonly string[]).includes(grader.split(":")[0]!))
        throw new UsageError(`${where}: there is none of this name; there are ${GRADER_NAMES.join(", ")}`);
      if (readsSeveral(grader))
        throw new UsageError(`${where} reads several things at once; name one of them, as in ${grader}:empathy`);
    }
    return graders;
  });
  const judged = asked.flatMap((graders) => wants(graders, "judge") ?? [])[0];
  const called = asked.flatMap((graders) => wants(graders, "api") ?? [])[0];
  if (judged !== undefined && judge.model === undefined)
    throw new UsageError(`suites: the grader ${judged} asks a model; name it under judge: model`);
  const { "api-url": url, "api-model": apiModel } = judge;
  if (called !== undefined && (url === undefined || apiModel === undefined))
    throw new UsageError(`suites: the grader ${called} asks an endpoint; give judge: api-url and api-model`);
  const ref =
    judged === undefined ? undefined : (await readModel(judge.model!, judge.model!, judge["chat-template"])).ref;
  return asked.map((graders) => ({
    ...(graders.length === 0 ? {} : { graders: [...graders] }),
    ...(ref === undefined || wants(graders, "judge") === undefined ? {} : { judge: ref }),
    ...(wants(graders, "api") === undefined ? {} : { api: { url: url!, model: apiModel! } }),
  }));
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
