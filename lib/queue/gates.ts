/**
 * The order of a study's jobs as trees, which is what BullMQ's flows are: a parent runs when its children have ended. A
 * study is not one: every job needs the model's reference, and many measure one adapter. So there are gates, steps that do
 * nothing but put what comes next into the queue:
 *
 *     model-0              after the model's reference: releases system prompts, and the groups
 *     model-0.group-3      after the training jobs of one group: releases what measures their adapters
 *
 * Groups are as large as fills a pass with adapters, and small enough for every worker to have one.
 */
import type { EvaluateJob, Job } from "../study/jobs.js";
import { bundleJobs } from "../study/run-job.js";
import { LARGEST_BUNDLE } from "./messages.js";

export interface Gate {
  id: string;
  /** Bundles of jobs, by their keys, that have to have ended. */
  after: string[][];
  /** Bundles that may run then. */
  bundles: string[][];
  /** Gates that may be put up then. */
  gates: string[];
}

/** Where nobody knows how many workers there will be. */
const EXPECTED_WORKERS = 8;

/**
 * @param jobs those that are left to do, in an order in which they can run
 * @param workers how many there are now
 */
export function planGates(jobs: readonly Job[], workers: number): Gate[] {
  const share = Math.max(workers, EXPECTED_WORKERS);
  const models = [...new Set(jobs.map(({ model }) => model.identity))];
  return models.flatMap((identity, index) =>
    planModel(
      `model-${index}`,
      jobs.filter(({ model }) => model.identity === identity),
      share,
    ),
  );
}

function planModel(id: string, jobs: readonly Job[], share: number): Gate[] {
  const trains: string[] = [];
  const measures = new Map<string, EvaluateJob[]>();
  const system: Job[] = [];
  const references: Job[] = [];
  for (const job of jobs) {
    if (job.kind === "train") trains.push(job.key);
    else if (job.kind === "reference") references.push(job);
    else if (job.subject.kind === "adapter") {
      const { train } = job.subject;
      measures.set(train, [...(measures.get(train) ?? []), job]);
    } else system.push(job);
  }
  const adapters = [...new Set([...trains, ...measures.keys()])];
  const size = groupSize(adapters.length, [...measures.values()], share);
  const left = new Set(trains);
  const groups: Gate[] = [];
  for (let at = 0; at < adapters.length; at += size) {
    const own = adapters.slice(at, at + size);
    groups.push({
      id: `${id}.group-${groups.length}`,
      after: own.filter((key) => left.has(key)).map((key) => [key]),
      bundles: keysOf(bundleJobs(own.flatMap((key) => measures.get(key) ?? []))),
      gates: [],
    });
  }
  const first: Gate = {
    id,
    after: keysOf(bundleJobs(references)),
    bundles: keysOf(bundleJobs(system)),
    gates: groups.map((group) => group.id),
  };
  return [first, ...groups];
}

/** Training jobs whose adapters, at all their doses, are measured together. */
function groupSize(adapters: number, measures: readonly EvaluateJob[][], share: number): number {
  const doses = measures.map((own) => new Set(own.map(({ subject }) => JSON.stringify(subject))).size);
  const fill = Math.floor(LARGEST_BUNDLE / Math.max(1, ...doses));
  return Math.max(1, Math.min(fill, Math.floor(adapters / share)));
}

function keysOf(bundles: readonly Job[][]): string[][] {
  return bundles.map((bundle) => bundle.map(({ key }) => key));
}
