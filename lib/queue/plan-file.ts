/**
 * queue.jsonl in the study's folder: the jobs that are left to do, for those who do them elsewhere. Its first line has the
 * round, the requirements and the gates; each further one a job. Redis carries only keys, and this file what they mean.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DataFormatError } from "../errors.js";
import { isThere } from "../evaluation/parts.js";
import { createAtomicWriter } from "../files/atomic.js";
import { describeIssue } from "../files/describe-issue.js";
import { readJsonLines } from "../files/json-lines.js";
import { type Job, jobSchema, keySchema } from "../study/jobs.js";
import type { Gate } from "./gates.js";
import { gateSchema, LARGEST_BUNDLE, type Requirement, requirementSchema } from "./messages.js";

export interface QueuePlan {
  /** Of the queue; the same study begun anew is another round. */
  round: string;
  requirements: Requirement[];
  gates: Map<string, Gate>;
  jobs: Map<string, Job>;
  /** In tokens of training, by key. */
  work: Map<string, number>;
}

const NAME = "queue.jsonl";
const FORMAT = 1;
const bundles = z.array(z.array(keySchema).min(1).max(LARGEST_BUNDLE));
const gateId = gateSchema.shape.gate;
const headerSchema = z.strictObject({
  format: z.literal(FORMAT),
  round: gateSchema.shape.round,
  requirements: z.array(requirementSchema).min(1),
  gates: z.array(z.strictObject({ id: gateId, after: bundles, bundles, gates: z.array(gateId) })),
});
const lineSchema = z.strictObject({ work: z.number().min(0), job: jobSchema });

export async function writePlan(folder: string, plan: QueuePlan): Promise<void> {
  const writer = await createAtomicWriter(join(folder, NAME));
  try {
    const { round, requirements, gates, jobs, work } = plan;
    const header: z.infer<typeof headerSchema> = { format: FORMAT, round, requirements, gates: [...gates.values()] };
    await writer.write(`${JSON.stringify(header)}\n`);
    for (const job of jobs.values())
      await writer.write(
        `${JSON.stringify({ work: work.get(job.key) ?? 0, job } satisfies z.infer<typeof lineSchema>)}\n`,
      );
    await writer.commit();
  } finally {
    await writer.abort();
  }
}

/**
 * @throws FileError where it cannot be read
 * @throws DataFormatError naming the line and the field that is wrong
 */
export async function readPlan(folder: string): Promise<QueuePlan> {
  const path = join(folder, NAME);
  let plan: QueuePlan | null = null;
  for await (const { value, line } of readJsonLines(path)) {
    const check = <T>(schema: z.ZodType<T>): T => {
      const parsed = schema.safeParse(value);
      if (parsed.success) return parsed.data;
      throw new DataFormatError(`${path}, line ${line}: ${describeIssue(parsed.error)}`);
    };
    if (plan === null) {
      const { round, requirements, gates } = check(headerSchema);
      plan = {
        round,
        requirements,
        gates: new Map(gates.map((gate) => [gate.id, gate])),
        jobs: new Map(),
        work: new Map(),
      };
    } else {
      const { job, work } = check(lineSchema);
      plan.jobs.set(job.key, job);
      plan.work.set(job.key, work);
    }
  }
  if (plan === null) throw new DataFormatError(`${path} is empty; run valora study again`);
  return plan;
}

export async function hasPlan(folder: string): Promise<boolean> {
  return isThere(join(folder, NAME));
}

export async function removePlan(folder: string): Promise<void> {
  await rm(join(folder, NAME), { force: true });
}

/** Keys of the jobs that the gates lead to. */
export function plannedKeys({ gates }: QueuePlan): Set<string> {
  return new Set([...gates.values()].flatMap(({ after, bundles }) => [...after, ...bundles].flat()));
}

/** The requirement that a job falls under. @throws DataFormatError where the plan has none for its model */
export function requirementFor(plan: QueuePlan, job: Job): Requirement {
  const found = plan.requirements.find(({ model }) => model.identity === job.model.identity);
  if (found === undefined) throw new DataFormatError(`the plan says nothing of the model of ${job.key}`);
  return found;
}
