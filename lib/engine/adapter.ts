/** A LoRA adapter that lives in a model: made fresh or loaded from a PEFT folder, trained, saved, disposed of. */
import { createHash } from "node:crypto";
import { AdapterFormatError, DisposedError, fromNative, UsageError } from "../errors.js";
import { LINEAR_KINDS, type LinearKind, sortModules } from "../models/linear-kinds.js";
import { readAdapter, writeAdapter } from "../models/peft.js";
import type { NativeLoraModule } from "../native.js";
import type { Model } from "./model.js";

export interface CreateAdapterOptions {
  /** Rank of every low-rank pair; default 4. */
  rank?: number;
  /** Scale is alpha / rank, or alpha / √rank with rsLoRA; default 16. */
  alpha?: number;
  /** Matrices that get a pair: a list, the same joined by commas, or "all-linear" (default): all seven. */
  targets?: string | readonly string[];
  rslora?: boolean;
  /** Of the random start of the a matrices (b starts at 0); default 0. */
  seed?: number;
}

/** @throws UsageError naming a target that there is not */
export function parseTargets(targets: string | readonly string[]): LinearKind[] {
  if (targets === "all-linear") return [...LINEAR_KINDS];
  const names = typeof targets === "string" ? targets.split(",").map((name) => name.trim()) : targets;
  const unknown = names.find((name) => !(LINEAR_KINDS as readonly string[]).includes(name));
  if (unknown !== undefined || names.length === 0) {
    throw new UsageError(`targets "${unknown ?? ""}": choose all-linear, or some of ${LINEAR_KINDS.join(", ")}`);
  }
  return LINEAR_KINDS.filter((kind) => names.includes(kind));
}

/** PEFT's scale of an adapter's output. */
export function loraScale(rank: number, alpha: number, rslora: boolean): number {
  return alpha / (rslora ? Math.sqrt(rank) : rank);
}

/** SHA-256 of an adapter's parameters: equal exactly where two adapters compute the same. */
export function hashModules(modules: readonly NativeLoraModule[]): string {
  const hash = createHash("sha256");
  for (const { layer, kind, rank, scale, a, b } of sortModules(modules)) {
    hash.update(`${layer} ${kind} ${rank} ${Math.fround(scale)} ${a.length} ${b.length}\n`);
    hash.update(new Uint8Array(a.buffer, a.byteOffset, a.byteLength));
    hash.update(new Uint8Array(b.buffer, b.byteOffset, b.byteLength));
  }
  return hash.digest("hex");
}

export interface AdapterShape {
  rank: number;
  alpha: number;
  targets: LinearKind[];
  rslora: boolean;
  /** What its folder asks for and valora passes over, a sentence each. */
  warnings?: readonly string[];
}

/**
 * One low-rank pair a matrix, W + scale · B A with A [R, inputs] and B [outputs, R] (Hu et al. 2021, arXiv:2106.09685).
 * Give it to `trainDpo`, and by a name of your choice to `model.score` and `model.generate`; dispose of it when done
 * (`await using`), or with the model.
 */
export class Adapter implements AsyncDisposable {
  readonly model: Model;
  readonly rank: number;
  readonly alpha: number;
  readonly targets: readonly LinearKind[];
  readonly rslora: boolean;
  readonly warnings: readonly string[];
  private current: number | null;

  /** Use `model.createAdapter` or `model.loadAdapter`. */
  constructor(model: Model, handle: number, shape: AdapterShape) {
    this.model = model;
    this.current = handle;
    this.rank = shape.rank;
    this.alpha = shape.alpha;
    this.targets = shape.targets;
    this.rslora = shape.rslora;
    this.warnings = shape.warnings ?? [];
  }

  /** What the native side calls it. @throws DisposedError */
  get handle(): number {
    this.model.assertUsable();
    if (this.current === null) throw new DisposedError("this adapter has been disposed of");
    return this.current;
  }

  /** The parameters, in their one order. */
  async modules(): Promise<NativeLoraModule[]> {
    try {
      return sortModules(await this.model.native.exportAdapter(this.handle));
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** SHA-256 of the parameters. */
  async hash(): Promise<string> {
    return hashModules(await this.modules());
  }

  /** Writes PEFT's adapter_config.json and adapter_model.safetensors. */
  async save(dir: string): Promise<void> {
    await writeAdapter(dir, await this.modules(), {
      rank: this.rank,
      alpha: this.alpha,
      targets: [...this.targets],
      rslora: this.rslora,
      baseModel: this.model.name,
    });
  }

  /** Takes other parameters in place of its own; a trainer made before keeps the old ones. */
  async replaceModules(modules: readonly NativeLoraModule[]): Promise<void> {
    const old = this.handle;
    try {
      this.current = await this.model.native.loadAdapter(sortModules(modules));
      await this.model.native.removeAdapter(old);
    } catch (error) {
      throw fromNative(error);
    }
  }

  async dispose(): Promise<void> {
    const handle = this.current;
    this.current = null;
    if (handle === null || this.model.disposed) return;
    try {
      await this.model.native.removeAdapter(handle);
    } catch (error) {
      throw fromNative(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/**
 * Reads a PEFT folder into a model.
 *
 * @throws FileError, AdapterFormatError
 */
export async function loadAdapterInto(model: Model, dir: string): Promise<Adapter> {
  const { config, modules, ignored } = await readAdapter(dir);
  const handle = await model.native.loadAdapter(modules).catch((error: unknown) => {
    const { code, message } = error as { code?: string; message?: string };
    if (code !== "ERR_INVALID_ARGUMENT") throw fromNative(error, dir);
    throw new AdapterFormatError(`${dir} does not fit ${model.name}: ${message}; was it trained on another model?`, {
      cause: error,
    });
  });
  const targets = LINEAR_KINDS.filter((kind) => modules.some((module) => module.kind === kind));
  return new Adapter(model, handle, { ...config, targets, warnings: ignored });
}
