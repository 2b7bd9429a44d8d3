/** Which worker can do which job: device, arithmetic, memory, and a copy of the model. */
import type { ModelRef } from "../study/jobs.js";
import type { Requirement, WorkerMessage } from "./messages.js";

const GIB = 2 ** 30;
/** Beside the weights: activations, optimiser, text side, the program itself. An estimate from above for small batches. */
const BESIDE_WEIGHTS = 0.5 * GIB;

/** Memory that a job of a model is taken to need. A worker with less is not given it; one with more plans exactly. */
export function memoryFor(weightBytes: number): number {
  return Math.ceil(1.2 * weightBytes + BESIDE_WEIGHTS);
}

/** Jobs of one queue can be done by the same workers. */
export function requirementOf(
  model: ModelRef,
  weightBytes: number,
  backend: Pick<Requirement, "device" | "compute">,
): Requirement {
  const memoryBytes = memoryFor(weightBytes);
  const { device, compute } = backend;
  return {
    queue: `${device}-${compute}-${model.identity.slice(0, 16)}-${Math.ceil(memoryBytes / GIB)}gib`,
    device,
    compute,
    model,
    memoryBytes,
  };
}

/** What a worker lacks for a requirement, as the end of a sentence about it; null where it lacks nothing. */
export function lackOf(worker: Omit<WorkerMessage, "job">, requirement: Requirement): string | null {
  const { model } = requirement;
  const wanted = describeBackend(requirement);
  if (describeBackend(worker) !== wanted) return `computes on ${describeBackend(worker)} and not on ${wanted}`;
  if (worker.memoryBytes < requirement.memoryBytes)
    return `may use ${gib(worker.memoryBytes)} of memory and not ${gib(requirement.memoryBytes)}`;
  if (worker.models.includes(model.identity)) return null;
  return `has not got the model (${worker.lacking[model.identity] ?? "it has not looked yet"})`;
}

/** Why nobody takes what waits; null where somebody does. */
export function describeUnplaced(requirement: Requirement, workers: readonly WorkerMessage[]): string | null {
  const lacks = workers.map((worker) => ({ worker, lack: lackOf(worker, requirement) }));
  if (lacks.some(({ lack }) => lack === null)) return null;
  const subject = `jobs of ${requirement.model.name} wait, and no worker can take them`;
  if (workers.length === 0) return `${subject}: there is none; start valora worker`;
  const reasons = new Map<string, number>();
  for (const { lack } of lacks) reasons.set(lack!, (reasons.get(lack!) ?? 0) + 1);
  const words = [...reasons].slice(0, 3).map(([lack, count]) => `${count === 1 ? "one" : count} ${lack}`);
  return `${subject}: ${words.join("; ")}`;
}

function describeBackend({ device, compute }: Pick<Requirement, "device" | "compute">): string {
  return compute === "float32" ? device : `${device} with ${compute}`;
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}
