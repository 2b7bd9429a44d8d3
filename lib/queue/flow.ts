/** Puts a study's jobs into BullMQ: a gate with what it waits for is a flow, and what a gate releases are jobs and flows. */
import type { FlowJob, FlowProducer, JobsOptions } from "bullmq";
import { DataFormatError } from "../errors.js";
import type { Connection } from "./connection.js";
import type { Gate } from "./gates.js";
import { type BundleMessage, GATES, type GateMessage, PREFIX } from "./messages.js";
import { type QueuePlan, requirementFor } from "./plan-file.js";

/** Of jobs that met something that passes: a full disk, a network disk that was gone. */
export const ATTEMPTS = 5;
const BACKOFF_MS = 2_000;
/** Records of jobs that have ended stay in Redis, so that a job is never put in twice; a study longer than that asks twice. */
const KEPT_SECONDS = 30 * 24 * 3600;

const OPTIONS: JobsOptions = {
  attempts: ATTEMPTS,
  backoff: { type: "exponential", delay: BACKOFF_MS },
  removeOnComplete: { age: KEPT_SECONDS },
  removeOnFail: { age: KEPT_SECONDS },
  // A gate opens whether its jobs were done or failed: what needs a failed one says so itself.
  ignoreDependencyOnFailure: true,
  stackTraceLimit: 0,
};

/** Where the plan lies, relative to the shared folder. */
export interface PlaceOfPlan {
  plan: QueuePlan;
  folder: string;
}

/** Puts up the gates that wait for nothing else. To do it again changes nothing. */
export async function startFlows(producer: FlowProducer, place: PlaceOfPlan): Promise<void> {
  const later = new Set([...place.plan.gates.values()].flatMap(({ gates }) => gates));
  for (const gate of place.plan.gates.values()) if (!later.has(gate.id)) await producer.add(flowOf(gate, place));
}

/** What comes after a gate. To do it again changes nothing. */
export async function openGate(producer: FlowProducer, place: PlaceOfPlan, id: string): Promise<void> {
  const gate = gateOf(place.plan, id);
  const flows = [
    ...gate.bundles.map((keys) => bundleOf(keys, place)),
    ...gate.gates.map((next) => flowOf(gateOf(place.plan, next), place)),
  ];
  if (flows.length > 0) await producer.addBulk(flows);
}

function gateOf({ gates }: QueuePlan, id: string): Gate {
  const gate = gates.get(id);
  if (gate === undefined) throw new DataFormatError(`the plan has no gate ${id}`);
  return gate;
}

function flowOf(gate: Gate, place: PlaceOfPlan): FlowJob {
  const { round } = place.plan;
  const data: GateMessage = { round, folder: place.folder, gate: gate.id };
  return {
    name: "gate",
    queueName: GATES,
    data,
    opts: { ...OPTIONS, jobId: `${round}.${gate.id}` },
    children: gate.after.map((keys) => bundleOf(keys, place)),
  };
}

function bundleOf(keys: string[], { plan, folder }: PlaceOfPlan): FlowJob {
  const job = plan.jobs.get(keys[0]!);
  if (job === undefined) throw new DataFormatError(`the plan has no job ${keys[0]}`);
  const data: BundleMessage = { round: plan.round, folder, keys };
  return {
    name: job.kind,
    queueName: requirementFor(plan, job).queue,
    data,
    opts: { ...OPTIONS, jobId: `${plan.round}.${keys[0]}` },
  };
}

/** @param connection whose commands wait while the server is away */
export function openProducer({ bullmq, redis }: Connection): FlowProducer {
  const producer = new bullmq.FlowProducer({ connection: redis, prefix: PREFIX, skipVersionCheck: true });
  // The connection is made again by itself.
  producer.on("error", () => {});
  return producer;
}
