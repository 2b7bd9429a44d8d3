/** From a study file to its jobs: prepares the data, reads the models' files, expands, and estimates what it takes. */
import { join } from "node:path";
import { type ChosenDevice, chooseDevice, type DeviceChoice } from "../engine/device.js";
import { writeFileAtomic } from "../files/atomic.js";
import { type Compute, native } from "../native.js";
import { prepareData, type StudyData } from "./data/prepare.js";
import { type Expansion, expand } from "./jobs.js";
import { type MissingModel, readModels, type StudyModel } from "./models.js";
import { bytesOf, type Cost, TokenCounter } from "./plan.js";
import type { StudyFile } from "./read-study.js";
import type { StudyStore } from "./store.js";
import { readSuites, type StudySuite } from "./suites.js";

export interface PreparedStudy extends Expansion {
  file: StudyFile;
  data: StudyData;
  models: StudyModel[];
  missing: MissingModel[];
  suites: StudySuite[];
  /** By key. */
  costs: Map<string, Cost>;
  /** Disk that all jobs take. */
  bytes: number;
}

export interface PrepareOptions {
  device: DeviceChoice;
  compute: Compute;
  /** Folder of `--data`: where suites look for theirs. */
  data?: string | undefined;
  signal?: AbortSignal | undefined;
  /** What is being done, for a line that changes. */
  onStage?: ((stage: string) => void) | undefined;
}

/** @throws UsageError, FileError, DataFormatError for a study or data that cannot be */
export async function prepareStudy(
  file: StudyFile,
  store: StudyStore,
  options: PrepareOptions,
): Promise<PreparedStudy> {
  const { onStage = () => {} } = options;
  await writeFileAtomic(join(store.folder, "study.yaml"), file.text);
  onStage("preparing data");
  const data = await prepareData(file.study, store.folder, options.signal);
  const { models, missing } = await readModels(file.study, (name) => onStage(`reading ${name}`));
  const backend = describeBackend(chooseDevice(options.device, undefined, options.compute, native.info()), options);
  const refs = models.map(({ ref }) => ref);
  if (file.study.suites.length > 0) onStage("reading suites");
  const onNote = (note: string) => void (data.notes.includes(note) || data.notes.push(note));
  const suites = await readSuites(file.study, options.data, { signal: options.signal, onNote });
  const expansion = expand(file.study, data, refs, backend, suites);
  onStage("counting tokens");
  const costs = new Map<string, Cost>();
  let bytes = 0;
  for (const { ref, text } of models) {
    const counter = new TokenCounter(store.folder, text, suites);
    for (const job of expansion.jobs.filter(({ model }) => model.identity === ref.identity)) {
      costs.set(job.key, await counter.costOf(job));
      bytes += bytesOf(job, text);
    }
  }
  return { ...expansion, file, data, models, missing, suites, costs, bytes };
}

/** As training names it: results of one are bit-identical on every machine. */
function describeBackend({ backend }: ChosenDevice, { compute }: PrepareOptions): string {
  return compute === "float32" ? backend : `${backend} with ${compute}`;
}
