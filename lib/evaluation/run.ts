/**
 * Runs tasks on one model and any number of subjects: every likelihood question in one scoring pass for all of them,
 * every generation question in one generating pass, graders afterwards. What a subject has a part for is not asked again.
 *
 * Questions are taken in blocks, so memory grows neither with a task nor with what its answers weigh.
 */
import { encodeResponse, endOfTurn } from "../engine/encode.js";
import { withSystem } from "../engine/generate.js";
import type { Model } from "../engine/model.js";
import type { ScoreRequest, ScoreResult } from "../engine/score.js";
import { NotFiniteError, throwIfAborted } from "../errors.js";
import { gradePart, type OpenGrader } from "./grade-part.js";
import type { Measurement } from "./item.js";
import { type AnswerLine, type MeasurementLine, readPart, writeParts } from "./parts.js";
import { adaptersOf, blocksOf, indexOf, type PassOptions, passOptions, questionsOf } from "./pass.js";
import type { PlannedTask, Subject } from "./plan.js";
import type { Examinee } from "./remote.js";
import type { LikelihoodQuestion, Question, Task } from "./task.js";
import { writeAnswers } from "./write-answers.js";

export interface RunOptions extends PassOptions {
  /** Replaces the graders that tasks name. */
  graders?: readonly string[] | undefined;
  openGrader?: OpenGrader | undefined;
  onProgress?: (progress: RunProgress) => void;
}

export interface RunProgress {
  /** "SUITE:NAME" of the task in hand. */
  task: string;
  /** Questions answered by all subjects, those of parts that were there included. */
  done: number;
  total: number;
}

/** What one subject got in one task. */
export interface TaskOutcome {
  task: Task;
  subject: Subject;
  measurements: AsyncIterable<Measurement>;
  /** What it wrote, in generation tasks. */
  answers: AsyncIterable<AnswerLine> | null;
}

/**
 * Task by task, within one subject by subject. An outcome's measurements may be read until the next one is asked for, and
 * after.
 *
 * @throws CancelledError, after which every task that had been finished is kept
 */
export async function* runTasks(
  model: Examinee,
  subjects: readonly Subject[],
  planned: readonly PlannedTask[],
  options: RunOptions,
): AsyncGenerator<TaskOutcome> {
  const total = planned.reduce((sum, { questions }) => sum + questions, 0);
  let before = 0;
  for (const plan of planned) {
    throwIfAborted(options.signal);
    const { task } = plan;
    const name = `${task.suite}:${task.name}`;
    const report = (done: number): void => options.onProgress?.({ task: name, done: before + done, total });
    report(0);
    const missing = subjects.flatMap((_, index) => (plan.parts[index]!.there ? [] : [index]));
    if (missing.length > 0) {
      const asked = missing.map((index) => subjects[index]!);
      const paths = missing.map((index) => plan.parts[index]!.path);
      // No plan holds log-probabilities of a model that gives none.
      if (plan.kind === "likelihood") await scoreTask(model as Model, asked, plan, paths, options, report);
      else await writeAnswers(model, asked, plan, paths, options, report);
    }
    for (const [index, subject] of subjects.entries()) {
      const { path, key } = plan.parts[index]!;
      const lines =
        plan.kind === "likelihood"
          ? readPart<MeasurementLine>(path)
          : readPart<MeasurementLine>(await gradePart(task, () => questionsOf(plan, options), { path, key }, options));
      yield {
        task,
        subject,
        measurements: named(task, lines),
        answers: plan.kind === "likelihood" ? null : readPart<AnswerLine>(path),
      };
    }
    before += plan.questions;
    report(0);
  }
}

async function* named(task: Task, lines: AsyncIterable<MeasurementLine>): AsyncGenerator<Measurement> {
  for await (const line of lines) yield { suite: task.suite, task: task.name, ...line };
}

/** Subjects that see the same prompts: one pass serves them. */
function bySystem(subjects: readonly Subject[]): Map<string | undefined, number[]> {
  const groups = new Map<string | undefined, number[]>();
  subjects.forEach(({ system }, index) => {
    groups.set(system, [...(groups.get(system) ?? []), index]);
  });
  return groups;
}

async function scoreTask(
  model: Model,
  subjects: readonly Subject[],
  plan: PlannedTask,
  paths: readonly string[],
  options: RunOptions,
  report: (done: number) => void,
): Promise<void> {
  const { task } = plan;
  let done = 0;
  await writeParts<MeasurementLine>(paths, async (write) => {
    for await (const block of blocksOf<LikelihoodQuestion>(questionsOf(plan, options))) {
      // A request's place in the block; its id is what an error calls it.
      const places = new Map<string, { question: number; request: number }>();
      block.forEach(({ id, requests }, question) => {
        requests.forEach((_, request) => {
          places.set(requestName(task, id, request), { question, request });
        });
      });
      const results = subjects.map(() => block.map(({ requests }) => requests.map((): ScoreResult[] => [])));
      for (const [system, indices] of bySystem(subjects)) {
        const requests = block.flatMap((question) => requestsOf(model, task, question, system));
        const scored = model.score(requests, {
          adapters: adaptersOf(subjects, indices),
          ...passOptions(options),
          ...(task.boundary === undefined ? {} : { boundary: task.boundary }),
          onProgress: (progress) => report(done + Math.floor((progress.done / requests.length) * block.length)),
        });
        for await (const result of scored) {
          const { question, request } = places.get(result.id)!;
          results[indexOf(result.adapter)]![question]![request]!.push(result);
        }
      }
      for (const [index, answers] of results.entries()) {
        for (const [at, question] of block.entries()) {
          // Left out, for every subject: the model cannot take it.
          if (answers[at]!.some((completions) => completions.length === 0)) continue;
          for (const [metric, y] of Object.entries(question.read(answers[at]!)))
            await write(index, {
              metric,
              item: question.id,
              cluster: question.cluster,
              y: finite(y, task, question, metric),
            });
        }
      }
      done += block.length;
      report(done);
    }
  });
}

function requestName(task: Task, id: string, request: number): string {
  return `${task.suite}:${task.name} ${id}${request === 0 ? "" : ` (${request + 1})`}`;
}

function requestsOf(
  model: Model,
  task: Task,
  question: LikelihoodQuestion,
  system: string | undefined,
): ScoreRequest[] {
  return question.requests.map((request, index) => {
    const id = requestName(task, question.id, index);
    const { context = "", completions = [], context_tokens } = request;
    if (context_tokens !== undefined) return { ...request, id };
    const prompt = withSystem(context, system);
    if (!question.wholeTurns) return { ...request, id, context: prompt };
    const end = endOfTurn(model);
    return {
      id,
      context_tokens: model.encodePrompt(prompt),
      completions_tokens: completions.map((completion) => encodeResponse(model, completion, end)),
    };
  });
}

function finite(y: number, task: Task, { id }: Question, metric: string): number {
  if (Number.isFinite(y)) return y;
  throw new NotFiniteError(
    `${task.suite}:${task.name}, question "${id}": ${metric} is ${y}, which is no finite number`,
  );
}
