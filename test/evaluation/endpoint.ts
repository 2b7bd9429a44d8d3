/** Runs of tasks against a server of this machine, with everything that is kept in a folder of the test's own. */
import { join } from "node:path";
import type { Measurement } from "#lib/evaluation/item.js";
import type { AnswerLine } from "#lib/evaluation/parts.js";
import { planTasks, type Subject } from "#lib/evaluation/plan.js";
import { type Examinee, RemoteModel } from "#lib/evaluation/remote.js";
import { type RunOptions, runTasks } from "#lib/evaluation/run.js";
import { DataSources } from "#lib/evaluation/sources.js";
import type { GenerationQuestion, Task } from "#lib/evaluation/task.js";
import type { ApiOptions } from "#lib/values/api/chat.js";
import { withFolder } from "../temporary-folder.js";
import { type Answer, type ApiServer, withApiServer } from "../values/api-server.js";

export const BASE: Subject = { names: { adapter: "base" }, adapter: null };

/** A generation task of these questions; each answer's measure is its length. */
export function writtenTask(name: string, questions: readonly Partial<GenerationQuestion>[]): Task {
  return {
    suite: "s",
    name,
    about: "",
    source: "own",
    version: "1",
    *load(_, { limit }) {
      for (const [index, question] of questions.slice(0, limit).entries())
        yield {
          kind: "generation",
          id: `${name}:${index}`,
          cluster: `${index}`,
          prompt: [{ role: "user", content: `question ${index}` }],
          maxNewTokens: 16,
          read: (text) => ({ length: text.length }),
          ...question,
        };
    },
  };
}

export interface Bench {
  server: ApiServer;
  options: RunOptions & { partsFolder: string };
  remote(more?: Partial<ApiOptions>): RemoteModel;
}

export function withBench(answer: Answer, body: (bench: Bench) => Promise<void>): Promise<void> {
  return withFolder((folder) =>
    withApiServer(answer, (server) =>
      body({
        server,
        options: { data: new DataSources(), seed: 0, partsFolder: join(folder, "evaluations") },
        remote: (more = {}) =>
          new RemoteModel({
            url: server.url,
            model: "m",
            key: null,
            firstDelayMs: 1,
            repliesFolder: join(folder, "replies"),
            ...more,
          }),
      }),
    ),
  );
}

export interface Got {
  answers: (AnswerLine & { adapter: string })[];
  measurements: Measurement[];
}

export async function runAll(
  model: Examinee,
  tasks: readonly Task[],
  options: RunOptions,
  subjects: readonly Subject[] = [BASE],
): Promise<Got> {
  const got: Got = { answers: [], measurements: [] };
  const planned = await planTasks(model, subjects, tasks, options);
  for await (const { subject, measurements, answers } of runTasks(model, subjects, planned, options)) {
    for await (const measurement of measurements) got.measurements.push(measurement);
    for await (const answer of answers ?? []) got.answers.push({ adapter: subject.names.adapter, ...answer });
  }
  return got;
}
