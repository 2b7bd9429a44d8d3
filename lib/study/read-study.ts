/** Reads a study file, or one of the profiles that come with valora; paths in it are made absolute. */
import { readdir, readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseDocument } from "yaml";
import { describeFileError, FileError } from "../errors.js";
import { parseYaml } from "../files/yaml-file.js";
import { NAMED_MODELS } from "../models/registry.js";
import { type Source, type Study, studySchema } from "./schema.js";

/** Profiles by name: data/studies/NAME.yaml. */
const PROFILES = fileURLToPath(new URL("../../data/studies/", import.meta.url));

export interface StudyFile {
  /** Where it was read. */
  path: string;
  /** As it was written, with the changes that were asked for. */
  text: string;
  study: Study;
}

/** A field by its path in the file, and what it is to say. */
export type StudyChange = [path: string[], value: unknown];

export interface ReadStudyOptions {
  /** Made to the text before it is read. */
  changes?: readonly StudyChange[] | undefined;
  /** Folder that relative paths of the data start from; default: that of the study file. */
  data?: string | undefined;
}

/**
 * @param nameOrPath a YAML file, or the name of a profile
 * @throws FileError where it cannot be read
 * @throws DataFormatError naming file, line and field
 */
export async function readStudy(nameOrPath: string, options: ReadStudyOptions = {}): Promise<StudyFile> {
  const { path, text: written } = await readText(nameOrPath);
  const text = options.changes === undefined ? written : changeText(written, options.changes);
  const study = parseYaml(text, path, studySchema);
  const folder = dirname(resolve(path));
  const data = options.data === undefined ? folder : resolve(options.data);
  return {
    path,
    text,
    study: {
      ...study,
      // Named before the path is resolved, so that results do not depend on where the study lies.
      models: study.models.map((entry) => ({
        ...entry,
        name: entry.name ?? entry.model,
        model: modelPath(entry.model, folder),
      })),
      data: study.data.map((source) => resolvePaths(source, data)),
      suites: study.suites.map(({ suite, ...rest }) => ({ ...rest, suite: resolveSuite(suite, data) })),
      judge: {
        ...study.judge,
        model: study.judge.model === undefined ? undefined : modelPath(study.judge.model, folder),
      },
    },
  };
}

function changeText(text: string, changes: readonly StudyChange[]): string {
  const document = parseDocument(text);
  for (const [path, value] of changes) document.setIn(path, document.createNode(value));
  return document.toString();
}

async function readText(nameOrPath: string): Promise<{ path: string; text: string }> {
  try {
    return { path: nameOrPath, text: await readFile(nameOrPath, "utf8") };
  } catch (error) {
    const profiles = await listProfiles();
    if (profiles.includes(nameOrPath)) {
      const path = resolve(PROFILES, `${nameOrPath}.yaml`);
      return { path, text: await readFile(path, "utf8") };
    }
    throw new FileError(
      `${nameOrPath} cannot be read: ${describeFileError(error)}; give a YAML file or one of the profiles ${profiles.join(", ")}`,
      { cause: error },
    );
  }
}

async function listProfiles(): Promise<string[]> {
  const names = await readdir(PROFILES).catch(() => []);
  return names.flatMap((name) => /^(.+)\.yaml$/.exec(name)?.[1] ?? []).sort();
}

function modelPath(model: string, folder: string): string {
  return model in NAMED_MODELS ? model : resolve(folder, model);
}

/** "FILE.yaml" and "NAME:file=PATH" name files. */
function resolveSuite(suite: string, folder: string): string {
  if (/\.ya?ml$/i.test(suite)) return resolve(folder, suite);
  const [, name, path] = /^(\w+:file=)(.+)$/.exec(suite) ?? [];
  return name === undefined ? suite : `${name}${resolve(folder, path!)}`;
}

function resolvePaths(source: Source, folder: string): Source {
  const at = (path: string): string => resolve(folder, path);
  const optional = (path: string | undefined) => (path === undefined ? undefined : at(path));
  switch (source.source) {
    case "pairs":
      return {
        ...source,
        values: source.values.map((entry) => ({
          ...entry,
          "held-out": at(entry["held-out"]),
          train: optional(entry.train),
          random: optional(entry.random),
          "flipped-random": optional(entry["flipped-random"]),
        })),
      };
    case "curated":
      return {
        ...source,
        folder: at(source.folder),
        random: optional(source.random),
        "flipped-random": optional(source["flipped-random"]),
      };
    case "persona":
      return { ...source, folder: at(source.folder) };
    case "labelled":
      return { ...source, input: source.input.map(at) };
    case "attributes":
      return { ...source, input: source.input.map(at) };
  }
}
