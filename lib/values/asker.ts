/**
 * Asks an extractor in batches: gathers responses, keeps `concurrency` calls under way, asks equal responses once, and
 * puts every answer into the cache before anybody hears of it.
 */
import type { ValoraError } from "../errors.js";
import type { Exchange, Extractor, Scores } from "./extractor.js";
import { responseKey, type ScoreCache } from "./score-cache.js";
import type { Value } from "./taxonomy.js";

export type Answer = Scores | ValoraError;

export interface Question {
  answer: Promise<Answer>;
  /** Whether its batch has been handed over, so that the answer comes without `send`. */
  sent: boolean;
}

interface Item extends Question {
  exchange: Exchange;
  /** Empty where the extractor is not cached. */
  key: string;
  /** What was known of it before. */
  known: Scores;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

/** Responses that are asked for the same values. */
interface Batch {
  values: readonly Value[];
  items: Item[];
}

const NOTHING: Scores = Object.freeze({});

export class Asker {
  /** Responses handed to the extractor, and those that needed not be. */
  asked = 0;
  known = 0;
  /** Being filled, by the names of the values asked. */
  private readonly filling = new Map<string, Batch>();
  private readonly queue: Batch[] = [];
  private readonly running = new Set<Promise<void>>();
  /** Asked and not yet answered, by key. */
  private readonly inFlight = new Map<string, Item>();
  private readonly stop = new AbortController();
  private readonly signal: AbortSignal;

  constructor(
    private readonly extractor: Extractor,
    private readonly values: readonly Value[],
    private readonly cache: ScoreCache | null,
    signal: AbortSignal | undefined,
  ) {
    this.signal = signal === undefined ? this.stop.signal : AbortSignal.any([signal, this.stop.signal]);
  }

  ask(exchange: Exchange): Question {
    if (!this.extractor.cached) return this.enqueue(exchange, "", NOTHING, this.values);
    const key = responseKey(exchange);
    const same = this.inFlight.get(key);
    if (same !== undefined) {
      this.known += 1;
      return same;
    }
    const known: Scores = {};
    const missing = this.values.filter((value) => {
      const score = this.cache?.get(key, value);
      if (typeof score === "number") known[value.name] = score;
      return score === undefined;
    });
    if (missing.length > 0) return this.enqueue(exchange, key, known, missing);
    this.known += 1;
    return { answer: Promise.resolve(known), sent: true };
  }

  /** Hands over what has gathered, though the batches are not full. */
  send(): void {
    for (const signature of [...this.filling.keys()]) this.handOver(signature);
  }

  /** Ends the calls under way; their answers, where they come, are still kept. */
  async close(): Promise<void> {
    this.stop.abort();
    this.queue.length = 0;
    await Promise.all(this.running);
  }

  private enqueue(exchange: Exchange, key: string, known: Scores, values: readonly Value[]): Question {
    let resolve!: Item["resolve"];
    let reject!: Item["reject"];
    const answer = new Promise<Answer>((onAnswer, onError) => {
      resolve = onAnswer;
      reject = onError;
    });
    answer.catch(() => {}); // whoever waits hears of it; nobody may
    const item: Item = { exchange, key, known, answer, sent: false, resolve, reject };
    if (key !== "") this.inFlight.set(key, item);
    this.asked += 1;
    const signature = values === this.values ? "" : values.map(({ name }) => name).join(" ");
    let batch = this.filling.get(signature);
    if (batch === undefined) {
      batch = { values, items: [] };
      this.filling.set(signature, batch);
    }
    batch.items.push(item);
    if (batch.items.length >= this.extractor.batchSize) this.handOver(signature);
    return item;
  }

  private handOver(signature: string): void {
    const batch = this.filling.get(signature)!;
    this.filling.delete(signature);
    for (const item of batch.items) item.sent = true;
    this.queue.push(batch);
    this.startNext();
  }

  private startNext(): void {
    while (this.running.size < this.extractor.concurrency) {
      const batch = this.queue.shift();
      if (batch === undefined) return;
      const call = this.run(batch).finally(() => {
        this.running.delete(call);
        this.startNext();
      });
      this.running.add(call);
    }
  }

  /** Never rejects: each question hears how it ended. */
  private async run({ values, items }: Batch): Promise<void> {
    try {
      const exchanges = items.map(({ exchange }) => exchange);
      const answers = await this.extractor.score(exchanges, values, { signal: this.signal });
      checkAnswers(this.extractor, answers, items.length);
      if (this.extractor.cached && this.cache !== null) {
        const kept = answers.flatMap((scores, i) => (isScores(scores) ? [{ key: items[i]!.key, scores }] : []));
        await this.cache.put(kept, values);
      }
      items.forEach((item, index) => {
        const answer = answers[index]!;
        item.resolve(isScores(answer) ? pick(answer, values, item.known) : answer);
      });
    } catch (error) {
      for (const item of items) item.reject(error);
    } finally {
      for (const { key } of items) this.inFlight.delete(key);
    }
  }
}

function isScores(answer: Answer): answer is Scores {
  return !(answer instanceof Error);
}

/** The scores of the values asked, and no others. */
function pick(scores: Scores, values: readonly Value[], known: Scores): Scores {
  const result: Scores = { ...known };
  for (const { name } of values) {
    const score = scores[name];
    if (score !== undefined) result[name] = score;
  }
  return result;
}

/** An extractor that breaks its word is a defect, found before it spoils a cache. */
function checkAnswers(extractor: Extractor, answers: readonly Answer[], asked: number): void {
  if (answers.length !== asked)
    throw new Error(`extractor ${extractor.name} gave ${answers.length} answers to ${asked} responses`);
  for (const answer of answers) {
    if (!isScores(answer)) continue;
    for (const [name, score] of Object.entries(answer))
      if (!(score >= 0 && score <= 1))
        throw new Error(`extractor ${extractor.name} gave ${name} the score ${score}, which is not in [0, 1]`);
  }
}
