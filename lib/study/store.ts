/**
 * The study's folder: who works in it, which jobs are done, and why others failed.
 *
 *     study.yaml                     the file as it was given
 *     data/                          pairs that train and measure
 *     adapters/KEY/                  a training job: run/ (the adapter at the end, metrics), at-DOSE/, manifest.json
 *     jobs/KEY/                      a measuring job: items.jsonl, answers.jsonl where it wrote any, manifest.json
 *     parts/                         answers of measuring jobs that are under way
 *     working/KEY.TOKEN/             a job that one of several processes has under way (lib/queue)
 *     queue.jsonl                    the jobs that those processes take
 *     failures/KEY.json              the reason of a job that failed; tried again next time
 *     items.jsonl, checkpoints.csv   the results, written at the end, with examples.jsonl and answers.jsonl
 *
 * A job is done where its manifest is there and every file has the hash that it names.
 *
 * One process works in the folder (`open`), or many under one queue (`openQueued`, `join`). Of many, each works on a job
 * in a folder of its own, which takes its place whole by one rename: the first to finish wins, and the others' bytes
 * would have been the same. A training job that was begun elsewhere is taken over by renaming its folder away from
 * whoever had it, so that two never write the same checkpoints.
 */
import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describeFileError, FileError, UsageError } from "../errors.js";
import { readWholeFolder } from "../files/artefact-folder.js";
import { syncFolder, writeFileAtomic } from "../files/atomic.js";
import type { Manifest } from "../files/manifest.js";
import { VERSION } from "../files/version.js";
import type { Job } from "./jobs.js";
import { LOCK, ownProcess, removeLock, renewLock, takeLock } from "./lock.js";

const WORKING = "working";
/** What may lie in a folder before its study file does. */
const OWN = new Set([LOCK, "study.yaml", "data"]);

export interface Failure {
  key: string;
  label: string;
  reason: string;
}

export class StudyStore implements AsyncDisposable {
  readonly folder: string;

  private constructor(
    folder: string,
    private readonly sharing: "alone" | "shared",
  ) {
    this.folder = folder;
  }

  /**
   * Makes the folder, or takes one that is empty or holds a study.
   *
   * @throws UsageError where it holds other work, or another process or a queue works in it
   * @throws FileError
   */
  static async open(folder: string): Promise<StudyStore> {
    await guard(folder, async () => {
      await makeFolder(folder);
      await takeLock(folder, ownProcess());
      await adoptTraining(folder);
      await removeDrafts(folder, 3);
    });
    return new StudyStore(folder, "alone");
  }

  /**
   * The same for work that a queue hands out: the lock names the queue's round instead of a process, and stays until
   * `release`. Where another round holds it, that one goes on.
   *
   * @param proposed 16 hexadecimal digits, for a folder that no queue works in yet
   * @throws UsageError where it holds other work, or a process works in it
   * @throws FileError
   */
  static async openQueued(folder: string, proposed: string): Promise<{ store: StudyStore; round: string }> {
    const holder = await guard(folder, async () => {
      await makeFolder(folder);
      return takeLock(folder, { queue: proposed });
    });
    return { store: new StudyStore(folder, "shared"), round: holder?.queue ?? proposed };
  }

  /** The folder of a study, for one of many that work on its jobs: takes no lock. */
  static join(folder: string): StudyStore {
    return new StudyStore(folder, "shared");
  }

  /** Gives the folder back; a queue keeps it until `release`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.sharing === "alone") await removeLock(this.folder);
  }

  /** Another round takes the place of the one that holds the lock. */
  async renew(round: string): Promise<void> {
    await renewLock(this.folder, { queue: round });
  }

  /** Ends a queue's hold. */
  async release(): Promise<void> {
    await removeLock(this.folder);
  }

  /**
   * The folder to work on a job in: its own place, or, where others may do the same job, one that nobody else writes to.
   * A training job that was begun and not finished is taken along.
   */
  async begin(key: string): Promise<string> {
    if (this.sharing === "alone") return this.pathOf(key);
    const working = join(this.folder, WORKING);
    await mkdir(working, { recursive: true });
    const path = join(working, `${key}.${randomBytes(8).toString("hex")}`);
    if (!key.startsWith("train-")) return path;
    const begun = (await readdir(working)).filter((name) => name.startsWith(`${key}.`));
    for (const candidate of [...begun.map((name) => join(working, name)), this.pathOf(key)]) {
      if (candidate === this.pathOf(key) && (await this.isDone(key))) continue;
      if (!(await renameIfThere(candidate, path))) continue;
      if ((await lstat(path)).isDirectory()) {
        await removeDrafts(path, 3);
        break;
      }
      await rm(path, { force: true }); // a link, which would lead out of the folder
    }
    return path;
  }

  /** Puts a job's finished folder, manifest and all, into its place; gives it up where the job has been done meanwhile. */
  async publish(key: string, path: string): Promise<void> {
    const place = this.pathOf(key);
    if (path === place) return;
    await mkdir(dirname(place), { recursive: true });
    for (;;) {
      if (await this.isDone(key)) break;
      const moved = await rename(path, place).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === "ENOTEMPTY" || error.code === "EEXIST") return false;
          throw error;
        },
      );
      if (moved) return syncFolder(dirname(place));
      // Something damaged or half done is in the way.
      await renameIfThere(place, `${path}.old`);
      await rm(`${path}.old`, { recursive: true, force: true });
    }
    await rm(path, { recursive: true, force: true });
  }

  /** What lost workers were doing, when nothing is left to do. */
  async forgetWorking(): Promise<void> {
    await rm(join(this.folder, WORKING), { recursive: true, force: true });
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

  /** Why a job failed; null where it did not. */
  async failureOf(key: string): Promise<Failure | null> {
    return readFile(this.failurePath(key), "utf8").then(
      (text) => JSON.parse(text) as Failure,
      () => null,
    );
  }

  async forgetFailures(): Promise<void> {
    await rm(join(this.folder, "failures"), { recursive: true, force: true });
  }

  private failurePath(key: string): string {
    return join(this.folder, "failures", `${key}.json`);
  }
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const names = await readdir(folder);
  const stranger = names.includes("study.yaml") ? undefined : names.find((name) => !OWN.has(name));
  if (stranger !== undefined)
    throw new UsageError(`output ${folder}: it holds ${stranger} and no study; choose another folder`);
}

async function guard<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new FileError(`output ${folder} cannot be used: ${describeFileError(error)}`, { cause: error });
  }
}

/** Takes over the training that a queue's workers had begun; what they had measured halfway is of no use. */
async function adoptTraining(folder: string): Promise<void> {
  const working = join(folder, WORKING);
  for (const name of await readdir(working).catch(() => [] as string[])) {
    const key = name.split(".")[0]!;
    if (!/^train-[0-9a-f]{20}$/.test(key)) continue;
    await mkdir(join(folder, "adapters"), { recursive: true });
    // Where the place is taken, what is there stays.
    await rename(join(working, name), join(folder, "adapters", key)).catch(() => {});
  }
  await rm(working, { recursive: true, force: true });
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

/** Removes what a killed process was writing: hidden names that end in .tmp, as lib/files makes them. */
async function removeDrafts(folder: string, depth: number): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (/^\..+\.tmp$/.test(entry.name)) await rm(path, { recursive: true, force: true });
    else if (entry.isDirectory() && depth > 0) await removeDrafts(path, depth - 1);
  }
}
