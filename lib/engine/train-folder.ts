/** The output folder of a training run: whose it is, its metrics, its final artefacts. */
import { appendFile, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describeFileError, FileError, UsageError } from "../errors.js";
import { writeFileAtomic } from "../files/atomic.js";
import { sha256File } from "../files/hash.js";
import { readJsonLines } from "../files/json-lines.js";
import { readManifest, writeManifest } from "../files/manifest.js";
import type { Adapter } from "./adapter.js";
import { describeDifference, type RunIdentity } from "./checkpoint.js";
import { manifestOf } from "./manifest-of.js";
import type { Model } from "./model.js";
import { MODEL_CARD, type TrainManifest, writeModelCard } from "./model-card.js";
import { appendEvents, EVENT_FILE, writeEvents } from "./tensorboard.js";
import type { PairReport } from "./tokenize-pairs.js";
import type { TrainOptions, TrainStep } from "./train-options.js";

/** What a run leaves in its folder before it is done. */
const UNFINISHED = new Set(["checkpoints", "metrics.jsonl", EVENT_FILE]);
const FINISHED = new Set([
  ...UNFINISHED,
  "adapter_config.json",
  "adapter_model.safetensors",
  MODEL_CARD,
  "manifest.json",
]);

export class TrainFolder {
  readonly path: string;
  /** Whether the steps are kept for TensorBoard too. */
  private readonly events: boolean;

  private constructor(path: string, events: boolean) {
    this.path = path;
    this.events = events;
  }

  /**
   * Makes the folder, or takes one that is empty or, to resume, holds a run.
   *
   * @param events keep an event file for TensorBoard; one that is there is kept up anyway
   * @throws UsageError where it holds other work
   */
  static async open(path: string, resume: boolean, events = false): Promise<TrainFolder> {
    let names: string[];
    try {
      await mkdir(path, { recursive: true });
      names = await readdir(path);
    } catch (error) {
      throw new FileError(`${path}: the output folder cannot be made: ${describeFileError(error)}`, { cause: error });
    }
    const stranger = names.find((name) => !(resume ? FINISHED : new Set<string>()).has(name));
    if (stranger !== undefined) {
      const advice = names.every((name) => FINISHED.has(name)) ? "resume it, or choose another" : "choose another";
      throw new UsageError(`output ${path}: it already holds ${stranger}; ${advice} folder`);
    }
    return new TrainFolder(path, events || names.includes(EVENT_FILE));
  }

  private get metrics(): string {
    return join(this.path, "metrics.jsonl");
  }

  private get eventFile(): string {
    return join(this.path, EVENT_FILE);
  }

  get manifest(): string {
    return join(this.path, "manifest.json");
  }

  async appendMetrics(step: TrainStep): Promise<void> {
    try {
      await appendFile(this.metrics, `${JSON.stringify(step)}\n`);
    } catch (error) {
      throw new FileError(`${this.metrics} cannot be written: ${describeFileError(error)}`, { cause: error });
    }
    if (this.events) await appendEvents(this.eventFile, step);
  }

  /** The last line of metrics.jsonl, without the time that it took. */
  async lastStep(): Promise<TrainManifest["result"]> {
    let last: unknown;
    for await (const { value } of readJsonLines(this.metrics)) last = value;
    const { seconds: _, ...result } = last as TrainStep;
    return result;
  }

  /** Forgets the lines after `step`: they were computed past the checkpoint and are computed again. */
  async trimMetrics(step: number): Promise<void> {
    const text = await readFile(this.metrics, "utf8").catch(() => "");
    const kept = text.split("\n").filter((line) => stepOf(line) <= step);
    await writeFileAtomic(this.metrics, kept.map((line) => `${line}\n`).join(""));
    if (this.events) await writeEvents(this.eventFile, this.metrics);
  }

  /** Of a finished run: the event file where one is wanted and none was kept. */
  async addEvents(): Promise<void> {
    if (!this.events || (await readdir(this.path)).includes(EVENT_FILE)) return;
    await writeEvents(this.eventFile, this.metrics);
  }
}

/** Infinity for what is no complete line. */
function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as TrainStep).step;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/**
 * Whether the folder holds this very run, done.
 *
 * @throws UsageError naming what differs where it holds another one
 */
export async function isFinished(folder: TrainFolder, identity: RunIdentity): Promise<boolean> {
  const manifest = await readManifest(folder.manifest);
  if (manifest === null) return false;
  const run = manifest.run as Partial<RunIdentity> | undefined;
  const difference =
    typeof run?.settings !== "object" || run.settings === null
      ? "its manifest is not of a training run"
      : describeDifference(run as RunIdentity, identity);
  if (difference !== null) {
    throw new UsageError(`output ${folder.path} holds another run: ${difference}; choose another folder`);
  }
  return true;
}

/** Writes the adapter, its model card, then the manifest: where there is a manifest, the run is complete. */
export async function finishRun(
  folder: TrainFolder,
  model: Model,
  adapter: Adapter,
  identity: RunIdentity,
  report: PairReport,
  origin: TrainOptions["source"],
): Promise<void> {
  await adapter.save(folder.path);
  const options = { model: model.name, ...identity.settings, ...adapterOptions(adapter) };
  const manifest = await manifestOf(model, {
    command: "train",
    options,
    seed: identity.settings.seed,
    sha256: {
      ...(origin?.sha256 === undefined ? {} : { pairs: origin.sha256 }),
      data: identity.data,
      start_adapter: identity.startAdapter,
      adapter: await sha256File(join(folder.path, "adapter_model.safetensors")),
    },
  });
  const full: TrainManifest = { ...manifest, options, pairs: report, result: await folder.lastStep() };
  if (origin !== undefined) {
    const { sha256: _, ...source } = origin;
    full.source = source;
  }
  await writeModelCard(join(folder.path, MODEL_CARD), full);
  await writeManifest(folder.manifest, { ...full, run: identity });
}

function adapterOptions({ rank, alpha, targets, rslora }: Adapter) {
  return { rank, alpha, targets: [...targets], rslora };
}
