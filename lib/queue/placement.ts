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

/** What keeps a worker from a requirement; null where nothing does. */
export function lackOf(worker: Omit<WorkerMessage, "job">, requirement: Requirement): string | null {
  const { model } = requirement;
  const wanted = describeBackend(requirement);
  if (describeBackend(worker) !== wanted) return `${describeBackend(worker)}, and ${wanted} is wanted`;
  if (worker.memoryBytes < requirement.memoryBytes)
    return `${gib(worker.memoryBytes)} of memory, and ${gib(requirement.memoryBytes)} are needed`;
  if (worker.models.includes(model.identity)) return null;
  const reason = worker.lacking[model.identity];
  return reason === undefined ? NOT_LOOKED : `not got the model (${reason})`;
}

const NOT_LOOKED = "it has not looked for the model yet";

/** Why nobody takes what waits; null where somebody does, or may soon. */
export function describeUnplaced(requirement: Requirement, workers: readonly WorkerMessage[]): string | null {
  const subject = `jobs of ${requirement.model.name} wait, and no worker can take them`;
  if (workers.length === 0) return `${subject}: there is none; start valora worker`;
  const counts = new Map<string, number>();
  for (const worker of workers) {
    const lack = lackOf(worker, requirement);
    if (lack === null || lack === NOT_LOOKED) return null;
    counts.set(lack, (counts.get(lack) ?? 0) + 1);
  }
  const words = [...counts].slice(0, 3).map(([lack, count]) => `${count} ${count === 1 ? "has" : "have"} ${lack}`);
  return `${subject}: ${words.join("; ")}`;
}

function describeBackend({ device, compute }: Pick<Requirement, "device" | "compute">): string {
  return compute === "float32" ? device : `${device} with ${compute}`;
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}
