/**
 * Curation: labelled preference pairs → one subset per value, in which that value tells chosen from rejected.
 *
 * Two passes over the inputs. The first keeps numbers of every pair (keys, lengths, labels, MinHash signatures) and
 * chooses; the second writes. Memory therefore grows with the number of pairs, not with their texts.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { ItemErrorOptions } from "../engine/requests.js";
import { DataFormatError, describeFileError, FileError, UsageError } from "../errors.js";
import { checkFolder, isFolderUpToDate, writeFolder } from "../files/artefact-folder.js";
import { writeFileAtomic } from "../files/atomic.js";
import { sha256File } from "../files/hash.js";
import type { Manifest } from "../files/manifest.js";
import { VERSION } from "../files/version.js";
import { type Arm, type ArmSubset, armOf } from "./arms.js";
import { checkFileNames } from "./file-names.js";
import { type Scan, scanPairs } from "./scan.js";
import { PARTS, type Part, partOfPrompts, type Selection, selectSubsets, totalOf } from "./select.js";
import { renderTables } from "./tables.js";
import { writePairs } from "./write-pairs.js";

export interface CurateOptions extends ItemErrorOptions {
  /** JSON Lines of labelled pairs, `.gz` or not. They are read twice, so they have to be files. */
  inputs: readonly string[];
  /** The folder to make. */
  output: string;
  /** Values to curate; default all that have enough pairs. */
  values?: readonly string[];
  /** Values with fewer pairs are left out; default 500, as in the study that this reproduces. */
  minPairs?: number;
  /** Training pairs of a value at most; default all. */
  maxPairs?: number;
  /** Default "induce". */
  arm?: Arm;
  /** Score from which on a response has a value, instead of the extractor's own; pairs without scores keep their labels. */
  threshold?: number;
  /** Jaccard similarity from which on texts are near-duplicates, in [0.5, 1]; null keeps them. Default 0.8. */
  nearDuplicates?: number | null;
  /** Share of the prompts whose pairs are held out, in [0, 1); default 0. */
  heldOut?: number;
  /** Default 0. */
  seed?: number;
  signal?: AbortSignal;
  onProgress?: (progress: CurateProgress) => void;
}

export interface CurateProgress {
  stage: "reading" | "writing";
  /** Pairs. */
  done: number;
  /** Known in the second pass. */
  total?: number;
}

export interface Curation {
  scan: Scan;
  selection: Selection;
  /** What was written, in the order of the tables. */
  subsets: ArmSubset[];
  parts: Part[];
  arm: Arm;
}

/**
 * Makes the curated folder: `<value>.jsonl`, `<value>.held-out.jsonl`, counts.csv and further tables, manifest.json.
 * Null where the folder is there already, made by the same options from the same files.
 *
 * @throws UsageError for options that make no sense, inputs that are no files, a folder that holds other work
 * @throws DataFormatError for a bad or unlabelled pair (unless such are to be skipped), or where no value is left
 * @throws FileError
 */
export async function curate(options: CurateOptions): Promise<Curation | null> {
  const settings = settingsOf(options);
  const { inputs, output, seed, heldOut } = settings;
  for (const path of inputs) await requireFile(path);
  await checkFolder(output, "curate");
  const manifest = await planManifest(settings, options);
  if (await isFolderUpToDate(output, manifest)) return null;

  const { signal, onProgress } = options;
  const scan = await scanPairs(inputs, {
    ...settings,
    ...itemErrors(options),
    signal,
    onProgress: (done) => onProgress?.({ stage: "reading", done }),
  });
  const partsOfPrompts = partOfPrompts(scan, heldOut, seed);
  const selection = selectSubsets(scan, partsOfPrompts, settings);
  if (selection.subsets.length === 0) throw noValueLeft(scan, selection, settings.minPairs);
  checkFileNames(selection.subsets.map(({ value }) => value));
  const subsets = selection.subsets.map((subset) => armOf(settings.arm, scan, partsOfPrompts, subset, seed));
  const parts = PARTS.filter((part) => part === "train" || heldOut > 0);

  await writeFolder(output, manifest, async (folder) => {
    await writePairs(inputs, scan.table, subsets, folder, {
      arm: settings.arm,
      parts,
      // Said once, in the first pass.
      onError: options.onError,
      signal,
      onProgress: (done) => onProgress?.({ stage: "writing", done, total: scan.read }),
    });
    for (const [name, content] of renderTables({ scan, selection, subsets, parts }))
      await writeFileAtomic(join(folder, name), content);
    for (const path of inputs)
      if ((await sha256File(path)) !== manifest.sha256[path])
        throw new FileError(`${path} changed while it was being read; run curate again`);
  });
  return { scan, selection, subsets, parts, arm: settings.arm };
}

/** Every option with its default, checked. */
function settingsOf(options: CurateOptions) {
  const settings = {
    inputs: options.inputs,
    output: options.output,
    values: options.values ?? [],
    minPairs: options.minPairs ?? 500,
    maxPairs: options.maxPairs ?? null,
    arm: options.arm ?? "induce",
    threshold: options.threshold ?? null,
    nearDuplicates: options.nearDuplicates === undefined ? 0.8 : options.nearDuplicates,
    heldOut: options.heldOut ?? 0,
    seed: options.seed ?? 0,
  };
  if (settings.inputs.length === 0) throw new UsageError("there is no input: give at least one file of labelled pairs");
  if (settings.nearDuplicates !== null && !(settings.nearDuplicates >= 0.5 && settings.nearDuplicates <= 1))
    throw new UsageError(`near-duplicates has to be off or from 0.5 to 1, not ${settings.nearDuplicates}`);
  if (!(settings.heldOut >= 0 && settings.heldOut < 1))
    throw new UsageError(`held-out has to be from 0 to below 1, not ${settings.heldOut}`);
  if (settings.threshold !== null && !Number.isFinite(settings.threshold))
    throw new UsageError(`threshold has to be a number, not ${settings.threshold}`);
  return settings;
}

type Settings = ReturnType<typeof settingsOf>;

function itemErrors({ onError, onSkip }: ItemErrorOptions): ItemErrorOptions {
  return { ...(onError && { onError }), ...(onSkip && { onSkip }) };
}

async function requireFile(path: string): Promise<void> {
  const twice = "curate reads its input twice, so it has to be a file; write it to one first";
  if (path === "-") throw new UsageError(`--input -: ${twice}`);
  const found = await stat(path).catch((error: unknown) => {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  });
  if (!found.isFile()) throw new UsageError(`--input ${path}: this is no regular file, and ${twice}`);
}

async function planManifest(settings: Settings, { onError, signal }: CurateOptions): Promise<Manifest> {
  const { inputs, output: _, seed, ...rest } = settings;
  const sha256: Record<string, string> = {};
  for (const path of inputs) sha256[path] = await sha256File(path, signal === undefined ? {} : { signal });
  return {
    command: "curate",
    options: { inputs: [...inputs], ...rest, values: [...rest.values], onError: onError ?? "fail" },
    seed,
    versions: { valora: VERSION, node: process.versions.node },
    sha256,
  };
}

function noValueLeft({ read }: Scan, { tooFew }: Selection, minPairs: number): DataFormatError {
  const [largest] = [...tooFew].sort((left, right) => totalOf(right) - totalOf(left));
  if (largest === undefined || totalOf(largest) === 0)
    return new DataFormatError(
      `none of the ${read} pairs has a value on exactly one side${largest === undefined ? "" : ` among those asked for (${largest.value}, …)`}; look at the labels, or at --value and --threshold`,
    );
  return new DataFormatError(
    `no value has ${minPairs} pairs; the most frequent, ${largest.value}, has ${totalOf(largest)}: lower --min-pairs or label more data`,
  );
}
