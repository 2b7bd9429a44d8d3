/**
 * Answers of an extractor, kept on disk: one file for each extractor and its settings, one line an answer, appended as
 * answers arrive. A process that is killed loses at most the line it was writing; the next run asks the rest.
 */
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { describeFileError, FileError } from "../errors.js";
import { sha256Json } from "../files/hash.js";
import { readJsonLines } from "../files/json-lines.js";
import { cacheFolder } from "../models/registry.js";
import type { Exchange, Extractor, Scores } from "./extractor.js";
import type { Value } from "./taxonomy.js";

/** Hexadecimal digits kept of a response's SHA-256: 128 bits never collide by chance. */
const KEY_DIGITS = 32;
/** Of a value's definition: tells the few wordings of one name apart. */
const COLUMN_DIGITS = 12;

/** By column (a value under one definition); null = asked, and not expressed. */
type Row = Record<string, number | null>;

/**
 * All answers are in memory while a file is open, about 300 bytes each: extractors that are worth caching answer at
 * most some hundreds a second, so that a day's answers fit.
 */
export class ScoreCache {
  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
    private readonly rows: Map<string, Row>,
  ) {}

  /**
   * @param folder default `labels` in the cache folder
   * @throws FileError
   */
  static async open(extractor: Extractor, folder: string = join(cacheFolder(), "labels")): Promise<ScoreCache> {
    const path = join(folder, `${extractor.name}-${settingsHash(extractor).slice(0, KEY_DIGITS)}.jsonl`);
    try {
      await mkdir(folder, { recursive: true });
      const file = await open(path, "a+");
      try {
        await endLastLine(file);
        return new ScoreCache(path, file, await readRows(path));
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (error) {
      throw asFileError(path, error);
    }
  }

  /** The answers for the values that were asked before: a number, or null where the value was not expressed. */
  get(key: string, value: Value): number | null | undefined {
    return this.rows.get(key)?.[columnOf(value)];
  }

  /** Keeps what was answered; written when the promise resolves. @throws FileError */
  async put(answers: readonly { key: string; scores: Scores }[], values: readonly Value[]): Promise<void> {
    let text = "";
    for (const { key, scores } of answers) {
      const added: Row = {};
      for (const value of values) added[columnOf(value)] = scores[value.name] ?? null;
      this.rows.set(key, { ...this.rows.get(key), ...added });
      text += `${JSON.stringify({ key, scores: added })}\n`;
    }
    try {
      await this.file.appendFile(text);
    } catch (error) {
      throw asFileError(this.path, error);
    }
  }

  async close(): Promise<void> {
    await this.file.sync().catch(() => {}); // some network disks refuse
    await this.file.close();
  }
}

/** Of everything an extractor's scores depend on beside the text and the value. */
export function settingsHash(extractor: Extractor): string {
  return sha256Json([extractor.name, extractor.settings]);
}

/** What a response is known under: prompt and response, and nothing else of the pair. */
export function responseKey({ prompt, response }: Pick<Exchange, "prompt" | "response">): string {
  const messages = typeof prompt === "string" ? prompt : prompt.map(({ role, content }) => [role, content]);
  return sha256Json([messages, response]).slice(0, KEY_DIGITS);
}

const columns = new WeakMap<Value, string>();

function columnOf(value: Value): string {
  let column = columns.get(value);
  if (column === undefined) {
    column = `${value.name}#${sha256Json(value.definition).slice(0, COLUMN_DIGITS)}`;
    columns.set(value, column);
  }
  return column;
}

/** A line that a killed process left half-written is closed, or the next answer would be lost in it. */
async function endLastLine(file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  if (size === 0) return;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  if (buffer[0] !== 10) await file.appendFile("\n");
}

async function readRows(path: string): Promise<Map<string, Row>> {
  const rows = new Map<string, Row>();
  for await (const { value } of readJsonLines(path, { onError: "skip" })) {
    const { key, scores } = (value ?? {}) as { key?: unknown; scores?: unknown };
    if (typeof key !== "string" || !isRow(scores)) continue; // damaged: asked again
    rows.set(key, { ...rows.get(key), ...scores });
  }
  return rows;
}

function isRow(scores: unknown): scores is Row {
  return (
    typeof scores === "object" &&
    scores !== null &&
    Object.values(scores).every((score) => score === null || (typeof score === "number" && score >= 0 && score <= 1))
  );
}

function asFileError(path: string, error: unknown): unknown {
  if (error instanceof FileError) return error;
  return new FileError(`${path} cannot be used: ${describeFileError(error)}`, { cause: error });
}
