/** Opens a model: finds its files, reads their headers, chooses the device, hands the rest to the core. */
import { fromNative, OutOfMemoryError, UsageError } from "../errors.js";
import { readModelFiles } from "../models/model-files.js";
import { resolveModel } from "../models/registry.js";
import { type Compute, native } from "../native.js";
import { checkThreads, chooseDevice, type DeviceChoice, type Isa } from "./device.js";
import { defaultMemoryBytes } from "./memory.js";
import { Model } from "./model.js";
import { textOf } from "./open-text.js";

export interface OpenModelOptions {
  /** Default "auto"; `model.device.reason` says what was taken, and why. */
  device?: DeviceChoice;
  /** Instruction set of the CPU device; the machine's best when left out. */
  isa?: Isa;
  /** Default: the cores available to this process. */
  threads?: number;
  /** No job of the model may need more; default 80 % of what is free on the device, control groups respected. */
  memoryBytes?: number;
  /**
   * Arithmetic of products with frozen matrices: float32 (default), or both sides rounded to bfloat16 and summed in
   * float32: meant for CPUs with AVX512-BF16, the same bits and slower elsewhere. `model.device.reason` says which.
   */
  compute?: Compute;
  /** Replaces the model's own chat template: a built-in name or a file. */
  chatTemplate?: string;
}

/**
 * Opens a model: its weights are read once and kept in their stored bits, in the order that products read them.
 * Dispose of it when done (`await using`).
 *
 * @param nameOrPath a name of the registry (`valora pull` fetches it), a .gguf file, or a folder with
 *   config.json and safetensors
 * @throws FileError where it is not there or cannot be read
 * @throws ModelFormatError where a file is damaged
 * @throws UnsupportedError for an architecture, number format, device or arithmetic that there is not
 * @throws OutOfMemoryError where the weights alone exceed the limit
 */
export async function openModel(nameOrPath: string, options: OpenModelOptions = {}): Promise<Model> {
  const { device = "auto", compute = "float32" } = options;
  if (options.memoryBytes !== undefined && !(options.memoryBytes > 0))
    throw new UsageError(`memory ${options.memoryBytes}: give a number of bytes above 0`);
  const threads = checkThreads(options.threads);
  const chosen = chooseDevice(device, options.isa, compute, native.info());
  // What is free on a CUDA device is known when it is opened.
  const memoryBytes = options.memoryBytes ?? (chosen.backend === "cuda" ? undefined : defaultMemoryBytes());
  const files = await readModelFiles(await resolveModel(nameOrPath));
  // The engine's threads read the weights while this one makes the tokenizer.
  const opening = native.openModel(files.config, files.tensors, {
    backend: chosen.backend,
    ...(chosen.isa === undefined ? {} : { isa: chosen.isa }),
    ...(chosen.cudaDevice === undefined ? {} : { cudaDevice: chosen.cudaDevice }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    threads,
    compute,
  });
  const [text, weights] = await Promise.allSettled([textOf(files, options.chatTemplate), opening]);
  if (text.status === "rejected") {
    if (weights.status === "fulfilled") await weights.value.dispose();
    throw text.reason;
  }
  try {
    const opened = await opening;
    const { tokenizer, chatTemplate } = text.value;
    return new Model({
      name: nameOrPath,
      files,
      tokenizer,
      chatTemplate,
      device: {
        kind: chosen.backend,
        ...(chosen.cudaDevice === undefined ? {} : { cudaDevice: chosen.cudaDevice }),
        isa: opened.isa,
        compute,
        threads,
        memoryBytes: opened.memoryBytes,
        reason: chosen.reason,
      },
      native: opened,
    });
  } catch (error) {
    const named = fromNative(error, nameOrPath);
    if (!(named instanceof OutOfMemoryError)) throw named;
    throw new OutOfMemoryError(`${named.message}; raise --memory, or take a smaller model`, { cause: error });
  }
}
