/** How far a study is, from any machine that sees its folder and its queue: what has ended, how fast, who is at it. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { StudyStore } from "../study/store.js";
import type { Connection } from "./connection.js";
import {
  type EndedMessage,
  endedAt,
  endedSchema,
  PREFIX,
  WORKERS,
  type WorkerMessage,
  workerAt,
  workerSchema,
} from "./messages.js";
import { describeUnplaced } from "./placement.js";
import { plannedKeys, type QueuePlan, readPlan } from "./plan-file.js";

export interface StudyStatus {
  /** Jobs of the study. */
  jobs: number;
  /** Jobs that are done, now or before. */
  done: number;
  failures: { label: string; reason: string }[];
  workers: WorkerMessage[];
  /** Tokens of training a second, over the last minutes; null where nothing has ended in them. */
  rate: number | null;
  secondsLeft: number | null;
  /** Why jobs wait that nobody can do. */
  unplaced: string[];
}

/** What the rate is measured over. */
const WINDOW_SECONDS = 900;

/** Null where no queue works on the study. */
export async function readStatus(folder: string, connection: Connection): Promise<StudyStatus | null> {
  const plan = await readPlan(folder).catch(() => null);
  if (plan === null) return null;
  const { redis, bullmq } = connection;
  const ended = new Map<string, EndedMessage>();
  for (const message of await new EndedReader(redis, plan.round).next()) ended.set(message.key, message);
  const workers = await readWorkers(redis);
  const queues: Queue[] = [];
  const unplaced = await findUnplaced(plan, workers, (name) => {
    const queue = new bullmq.Queue(name, { connection: redis, prefix: PREFIX, skipVersionCheck: true });
    queues.push(queue);
    return queue;
  });
  for (const queue of queues) await queue.close();
  const planned = plannedKeys(plan);
  const failures = [...ended.values()].flatMap(({ key, failure }) =>
    failure === null ? [] : [{ label: plan.jobs.get(key)?.label ?? key, reason: failure }],
  );
  const workOf = (keys: Iterable<string>): number => [...keys].reduce((sum, key) => sum + (plan.work.get(key) ?? 0), 0);
  const rate = rateOf(plan, [...ended.values()], Date.now() / 1000);
  const left = workOf([...planned].filter((key) => !ended.has(key)));
  return {
    jobs: plan.jobs.size,
    done: plan.jobs.size - planned.size + ended.size - failures.length,
    failures,
    workers,
    rate,
    secondsLeft: rate === null ? null : left / rate,
    unplaced,
  };
}

/** Without a queue: what is in the folder. */
export async function countInFolder(folder: string): Promise<{ done: number; failed: number }> {
  const store = StudyStore.join(folder);
  const list = (name: string) => readdir(join(folder, name)).catch(() => [] as string[]);
  let done = 0;
  for (const key of [...(await list("adapters")), ...(await list("jobs"))]) if (await store.isDone(key)) done++;
  return { done, failed: (await list("failures")).length };
}

function rateOf(plan: QueuePlan, ended: readonly EndedMessage[], now: number): number | null {
  const recent = ended.filter(({ time }) => now - time < WINDOW_SECONDS).sort((a, b) => a.time - b.time);
  if (recent.length < 2) return null;
  // The first one's work was done before the window began.
  const work = recent.slice(1).reduce((sum, { key }) => sum + (plan.work.get(key) ?? 0), 0);
  return work > 0 ? work / (now - recent[0]!.time) : null;
}

/** Jobs that have ended since the last look. */
export class EndedReader {
  private at = 0;

  constructor(
    private readonly redis: Redis,
    private readonly round: string,
  ) {}

  /** Messages may come twice: after a crash the server may have forgotten the last ones. */
  async next(): Promise<EndedMessage[]> {
    const key = endedAt(this.round);
    const length = await this.redis.llen(key);
    if (length < this.at) this.at = 0;
    if (length === this.at) return [];
    const texts = await this.redis.lrange(key, this.at, length - 1);
    this.at = length;
    return texts.flatMap((text) => parse(endedSchema, text));
  }
}

/** Those that have been heard of in the last seconds. */
export async function readWorkers(redis: Redis): Promise<WorkerMessage[]> {
  const ids = (await redis.smembers(WORKERS)).filter((id) => workerSchema.shape.id.safeParse(id).success).sort();
  if (ids.length === 0) return [];
  const texts = await redis.mget(ids.map(workerAt));
  const gone = ids.filter((_, index) => texts[index] === null);
  if (gone.length > 0) await redis.srem(WORKERS, ...gone);
  return texts.flatMap((text) => (text === null ? [] : parse(workerSchema, text)));
}

/** A sentence for every queue in which jobs wait that no worker can do. */
export async function findUnplaced(
  plan: QueuePlan,
  workers: readonly WorkerMessage[],
  queueOf: (name: string) => Queue,
): Promise<string[]> {
  const sentences: string[] = [];
  for (const requirement of plan.requirements) {
    const sentence = describeUnplaced(requirement, workers);
    if (sentence === null) continue;
    // Where there is nobody at all, not even the first gate opens.
    if (workers.length === 0 || (await queueOf(requirement.queue).getWaitingCount()) > 0) sentences.push(sentence);
  }
  return sentences;
}

/** What is not what it should be is passed over. */
function parse<T>(
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false } },
  text: string,
): T[] {
  try {
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? [parsed.data] : [];
  } catch {
    return [];
  }
}
