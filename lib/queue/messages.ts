/**
 * Everything that goes through Redis, as schemas: whoever reads from there checks first. It is small plain data: which jobs
 * of which study, what they need, who is there. What a job does is read from the study's folder (plan-file.ts) and checked
 * again there; code and secrets never travel.
 *
 * BullMQ's keys begin with `valora:`; beside them are
 *
 *     valora-studies              set: rounds that are under way
 *     valora-study:ROUND          the study: folder, requirements
 *     valora-ended:ROUND          list: jobs that have ended, in that order
 *     valora-workers              set: workers that have been seen
 *     valora-worker:ID            what a worker offers; it expires where the worker does not renew it
 */
import { z } from "zod";
import { keySchema, modelRefSchema } from "../study/jobs.js";

export const PREFIX = "valora";
export const STUDIES = "valora-studies";
export const WORKERS = "valora-workers";
export const studyAt = (round: string): string => `valora-study:${round}`;
export const endedAt = (round: string): string => `valora-ended:${round}`;
export const workerAt = (id: string): string => `valora-worker:${id}`;

/** The queue of steps that only look up what comes next; every worker takes from it. */
export const GATES = "gates";
/** Adapters that are measured side by side at most, as run-job.ts has it. */
export const LARGEST_BUNDLE = 16;

const text = z.string().max(1000);
const round = z.string().regex(/^[0-9a-f]{16}$/);
/** Relative to the shared folder; where it leads is checked on use (shared-folder.ts). */
const folder = z.string().min(1).max(4096);

/** Some jobs, to be done one after another or in one pass. */
export const bundleSchema = z.strictObject({
  round,
  folder,
  keys: z.array(keySchema).min(1).max(LARGEST_BUNDLE),
});
export type BundleMessage = z.infer<typeof bundleSchema>;

/** A step after which further jobs may run. */
export const gateSchema = z.strictObject({ round, folder, gate: z.string().regex(/^model-\d+(\.group-\d+)?$/) });
export type GateMessage = z.infer<typeof gateSchema>;

/** What a worker has to have for the jobs of one queue. */
export const requirementSchema = z.strictObject({
  queue: z.string().regex(/^[a-z0-9-]{1,80}$/),
  /** Device and arithmetic: they have a say in the last bits. */
  device: z.enum(["cpu", "reference", "cuda"]),
  compute: z.enum(["float32", "bf16"]),
  model: modelRefSchema,
  memoryBytes: z.int().min(0),
});
export type Requirement = z.infer<typeof requirementSchema>;

export const studySchema = z.strictObject({
  round,
  folder,
  requirements: z.array(requirementSchema).max(1000),
});
export type StudyMessage = z.infer<typeof studySchema>;

export const endedSchema = z.strictObject({
  key: keySchema,
  /** One sentence; null where it is done. */
  failure: text.nullable(),
  worker: text,
  /** Seconds since 1970. */
  time: z.number(),
});
export type EndedMessage = z.infer<typeof endedSchema>;

/** What a worker says of itself every few seconds. */
export const workerSchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  host: text,
  pid: z.int(),
  device: requirementSchema.shape.device,
  compute: requirementSchema.shape.compute,
  memoryBytes: z.number(),
  /** Identities of models that it has. */
  models: z.array(z.string()).max(1000),
  /** Why it has not got others, by identity. */
  lacking: z.record(z.string(), text),
  /** What it is doing. */
  job: text.nullable(),
});
export type WorkerMessage = z.infer<typeof workerSchema>;
