/**
 * lock.json: who works in a study's folder, one process or one queue. Two would write the same checkpoints. A lock whose
 * process is gone is taken over; one of a queue stays until the queue's study has ended.
 */
import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { UsageError } from "../errors.js";
import { writeFileAtomic } from "../files/atomic.js";

export const LOCK = "lock.json";

interface ProcessLock {
  pid: number;
  host: string;
}

export interface QueueLock {
  /** The round of the queue. */
  queue: string;
}

type Lock = ProcessLock | QueueLock;

/** This process, as a lock names it. */
export function ownProcess(): ProcessLock {
  return { pid: process.pid, host: hostname() };
}

/**
 * @returns the queue that holds the folder already, where `own` is a queue too
 * @throws UsageError where another process, or for a process a queue, works in the folder
 */
export async function takeLock(folder: string, own: Lock): Promise<QueueLock | null> {
  const path = join(folder, LOCK);
  for (let attempt = 0; ; attempt++) {
    try {
      const file = await open(path, "wx");
      await file.writeFile(JSON.stringify(own));
      await file.close();
      return null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await readLock(path);
    if (holder !== null && "queue" in holder) {
      if ("queue" in own) return holder;
      throw new UsageError(
        `output ${folder}: a queue hands out this study's jobs; use --queue to attach to it, or remove ${path} where it is gone`,
      );
    }
    if (attempt > 0 || (holder !== null && isAlive(holder)))
      throw new UsageError(
        `output ${folder}: ${holder === null ? "another process" : `process ${holder.pid} on ${holder.host}`} works on this study; wait for it, or remove ${path} where it is gone`,
      );
    await rm(path, { force: true });
  }
}

/** Null where the lock is gone, or was left half-written by a process that was killed. */
async function readLock(path: string): Promise<Lock | null> {
  try {
    const { pid, host, queue } = JSON.parse(await readFile(path, "utf8")) as Partial<ProcessLock & QueueLock>;
    if (typeof queue === "string" && /^[0-9a-f]{16}$/.test(queue)) return { queue };
    return typeof pid === "number" && typeof host === "string" ? { pid, host } : null;
  } catch {
    return null;
  }
}

/** Processes of other machines cannot be asked, so they count as alive. */
function isAlive({ pid, host }: ProcessLock): boolean {
  if (host !== hostname()) return true;
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** A queue's further round takes the place of the one that holds the lock. */
export async function renewLock(folder: string, own: QueueLock): Promise<void> {
  await writeFileAtomic(join(folder, LOCK), JSON.stringify(own));
}

export async function removeLock(folder: string): Promise<void> {
  await rm(join(folder, LOCK), { force: true });
}
