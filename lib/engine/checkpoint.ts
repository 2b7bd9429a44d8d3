/**
 * Checkpoints of a training run: `checkpoints/step-N` with the adapter as a PEFT folder, the optimiser's
 * moments, and state.json, which also holds the identity of the run and the hashes of the files. A
 * checkpoint is written beside its place and renamed into it, so there is no half a one.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeFileError, FileError, UsageError, ValoraError } from "../errors.js";
import { syncFolder } from "../files/atomic.js";
import { oneLine } from "../files/describe-issue.js";
import { sha256File } from "../files/hash.js";
import { readAdapter } from "../models/peft.js";
import { readSafetensorsFile, writeSafetensorsFile } from "../models/safetensors.js";
import type { NativeLoraModule, NativeOptimizerState } from "../native.js";
import type { Adapter } from "./adapter.js";
import type { TrainSettings } from "./train-options.js";

/** What has to be equal for a run to go on where another stopped. */
export interface RunIdentity {
  settings: TrainSettings;
  /** SHA-256 of the weights, of the adapter at the start, of the reference, and of all tokens. */
  model: string;
  startAdapter: string;
  referenceAdapter: string;
  data: string;
  backend: string;
}

export interface Checkpoint {
  dir: string;
  /** Optimiser steps done. */
  step: number;
  modules: NativeLoraModule[];
  optimizer: NativeOptimizerState;
}

interface StateFile {
  format: 1;
  step: number;
  identity: RunIdentity;
  files: Record<string, string>;
}

const FILES = ["adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors"];

function checkpointsOf(output: string): string {
  return join(output, "checkpoints");
}

export async function saveCheckpoint(
  output: string,
  step: number,
  adapter: Adapter,
  optimizer: NativeOptimizerState,
  identity: RunIdentity,
  keep: number,
): Promise<void> {
  const folder = checkpointsOf(output);
  const target = join(folder, `step-${step}`);
  const draft = join(folder, `.step-${step}.${process.pid}.tmp`);
  try {
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true });
    await adapter.save(draft);
    await writeSafetensorsFile(join(draft, "optimizer.safetensors"), [
      { name: "m", shape: [optimizer.m.length], data: optimizer.m },
      { name: "v", shape: [optimizer.v.length], data: optimizer.v },
    ]);
    const files: Record<string, string> = {};
    for (const name of FILES) files[name] = await sha256File(join(draft, name));
    const state: StateFile = { format: 1, step, identity, files };
    await writeFile(join(draft, "state.json"), `${JSON.stringify(state, null, 2)}\n`);
    await rm(target, { recursive: true, force: true });
    await rename(draft, target);
    await syncFolder(folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true }).catch(() => {});
    if (!(error instanceof ValoraError) && (error as NodeJS.ErrnoException).syscall !== undefined) {
      throw new FileError(`${target} cannot be written: ${describeFileError(error)}`, { cause: error });
    }
    throw error;
  }
  for (const old of (await listCheckpoints(output)).slice(keep)) {
    await rm(join(folder, `step-${old}`), { recursive: true, force: true });
  }
}

/** Steps that have a folder, newest first. */
async function listCheckpoints(output: string): Promise<number[]> {
  const names = await readdir(checkpointsOf(output)).catch(() => []);
  return names
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}

/**
 * The newest checkpoint whose files are what its state.json says; null where there is none.
 *
 * @throws UsageError naming what differs where it belongs to another run
 */
export async function newestCheckpoint(output: string, identity: RunIdentity): Promise<Checkpoint | null> {
  for (const step of await listCheckpoints(output)) {
    const dir = join(checkpointsOf(output), `step-${step}`);
    const state = await readState(dir, step);
    if (state === null) continue;
    const difference = describeDifference(state.identity, identity);
    if (difference !== null) {
      throw new UsageError(`${dir} belongs to another run: ${difference}; use the same, or another output folder`);
    }
    const moments = await readSafetensorsFile(join(dir, "optimizer.safetensors"));
    const [m, v] = [moments.get("m"), moments.get("v")];
    if (m === undefined || v === undefined) continue;
    const { modules } = await readAdapter(dir);
    return { dir, step, modules, optimizer: { step, m, v } };
  }
  return null;
}

/** state.json, where every file it names is there and has the hash it names. */
async function readState(dir: string, step: number): Promise<StateFile | null> {
  try {
    const state = JSON.parse(await readFile(join(dir, "state.json"), "utf8")) as StateFile;
    if (
      state.format !== 1 ||
      state.step !== step ||
      typeof state.identity.settings !== "object" ||
      state.identity.settings === null
    )
      return null;
    for (const name of FILES) {
      if ((await sha256File(join(dir, name))) !== state.files[name]) return null;
    }
    return state;
  } catch {
    return null; // incomplete: an older checkpoint serves
  }
}

/** A setting as a file has it, which may hold anything. */
function show(value: unknown): string {
  if (value === undefined) return "not there";
  return typeof value === "object" && value !== null ? "a list or an object" : oneLine(String(value).slice(0, 80));
}

/** In words what two runs differ in; null where they are the same. */
export function describeDifference(saved: RunIdentity, now: RunIdentity): string | null {
  const settings = (Object.keys(now.settings) as (keyof TrainSettings)[])
    .filter((name) => saved.settings[name] !== now.settings[name])
    .map((name) => `${name} was ${show(saved.settings[name])} and is ${show(now.settings[name])}`);
  const names = {
    model: "the model differs",
    startAdapter: "the adapter it starts from differs",
    referenceAdapter: "the reference differs",
    data: "the pairs differ",
    backend: `the device was ${show(saved.backend)} and is ${now.backend}`,
  };
  const parts = (Object.keys(names) as (keyof typeof names)[])
    .filter((name) => saved[name] !== now[name])
    .map((name) => names[name]);
  const all = [...settings, ...parts];
  return all.length === 0 ? null : all.join(", ");
}
