/**
 * The study's folder: who works in it, which jobs are done, and why others failed.
 *
 *     study.yaml                     the file as it was given
 *     data/                          pairs that train and measure
 *     adapters/KEY/                  a training job: run/ (the adapter at the end, metrics), at-DOSE/, manifest.json
 *     jobs/KEY/                      a measuring job: items.jsonl, answers.jsonl where it wrote any, manifest.json
 *     parts/                         answers of measuring jobs that are under way
 *     failures/KEY.json              the reason of a job that failed; tried again next time
 *     items.jsonl, checkpoints.csv   the results, written at the end, with examples.jsonl and answers.jsonl
 *
 * A job is done where its manifest is there and every file has the hash that it names.
 */
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { describeFileError, FileError, UsageError } from "../errors.js";
import { readWholeFolder } from "../files/artefact-folder.js";
import { writeFileAtomic } from "../files/atomic.js";
import type { Manifest } from "../files/manifest.js";
import { VERSION } from "../files/version.js";
import type { Job } from "./jobs.js";

const LOCK = "lock.json";
/** What may lie in a folder before its study file does. */
const OWN = new Set([LOCK, "study.yaml", "data"]);

export interface Failure {
  key: string;
  label: string;
  reason: string;
}

export class StudyStore implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Makes the folder, or takes one that is empty or holds a study.
   *
   * @throws UsageError where it holds other work, or another process works in it
   * @throws FileError
   */
  static async open(folder: string): Promise<StudyStore> {
    try {
      await mkdir(folder, { recursive: true });
      const names = await readdir(folder);
      const stranger = names.includes("study.yaml") ? undefined : names.find((name) => !OWN.has(name));
      if (stranger !== undefined)
        throw new UsageError(`output ${folder}: it holds ${stranger} and no study; choose another folder`);
      await takeLock(folder);
      await removeDrafts(folder, 3);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new FileError(`output ${folder} cannot be used: ${describeFileError(error)}`, { cause: error });
    }
    return new StudyStore(folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(join(this.folder, LOCK), { force: true });
  }

  /** What measuring jobs that are under way have got so far. */
  get partsFolder(): string {
    return join(this.folder, "parts");
  }

  async forgetParts(): Promise<void> {
    await rm(this.partsFolder, { recursive: true, force: true });
  }

  /** The folder of a job. */
  pathOf(key: string): string {
    return join(this.folder, key.startsWith("train-") ? "adapters" : "jobs", key);
  }

  /** Whether the job is done and its files are as they were. */
  async isDone(key: string): Promise<boolean> {
    return (await this.manifestOf(key)) !== null;
  }

  /** Null where the job is not done. */
  async manifestOf(key: string): Promise<Manifest | null> {
    const manifest = await readWholeFolder(this.pathOf(key));
    return manifest?.options.key === key ? manifest : null;
  }

  /** What a job's manifest says before its results are added. */
  plannedManifest(job: Job): Manifest {
    const { label: _, needs: _needs, model, ...options } = job;
    return {
      command: "study",
      options,
      versions: { valora: VERSION, node: process.versions.node },
      sha256: { model: model.identity },
    };
  }

  async fail({ key, label }: Job, reason: string): Promise<void> {
    const failure: Failure = { key, label, reason };
    await mkdir(join(this.folder, "failures"), { recursive: true });
    await writeFileAtomic(this.failurePath(key), `${JSON.stringify(failure, null, 2)}\n`);
  }

  async forgetFailures(): Promise<void> {
    await rm(join(this.folder, "failures"), { recursive: true, force: true });
  }

  private failurePath(key: string): string {
    return join(this.folder, "failures", `${key}.json`);
  }
}

interface Lock {
  pid: number;
  host: string;
}

/** One process at a time: two would write the same checkpoints. A lock whose process is gone is taken over. */
async function takeLock(folder: string): Promise<void> {
  const path = join(folder, LOCK);
  const content = JSON.stringify({ pid: process.pid, host: hostname() } satisfies Lock);
  for (let attempt = 0; ; attempt++) {
    try {
      const file = await open(path, "wx");
      await file.writeFile(content);
      await file.close();
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await readLock(path);
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
    const { pid, host } = JSON.parse(await readFile(path, "utf8")) as Partial<Lock>;
    return typeof pid === "number" && typeof host === "string" ? { pid, host } : null;
  } catch {
    return null;
  }
}

/** Processes of other machines cannot be asked, so they count as alive. */
function isAlive({ pid, host }: Lock): boolean {
  if (host !== hostname()) return true;
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Removes what a killed process was writing: hidden names that end in .tmp, as lib/files makes them. */
async function removeDrafts(folder: string, depth: number): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (/^\..+\.tmp$/.test(entry.name)) await rm(path, { recursive: true, force: true });
    else if (entry.isDirectory() && depth > 0) await removeDrafts(path, depth - 1);
  }
}
