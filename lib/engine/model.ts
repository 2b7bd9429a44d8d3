/** An open language model: what scores, generates and holds adapters. Made by `openModel`. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { DisposedError, fromNative, UsageError } from "../errors.js";
import { sha256File } from "../files/hash.js";
import type { ChatTemplate } from "../models/chat-template.js";
import type { ModelFiles } from "../models/model-files.js";
import type { Tokenizer } from "../models/tokenizer.js";
import type { NativeModel } from "../native.js";
import { Adapter, type CreateAdapterOptions, loadAdapterInto, loraScale, parseTargets } from "./adapter.js";
import type { Device } from "./device.js";
import { type EmbedOptions, type EmbedRequest, type EmbedResult, embedAll } from "./embed.js";
import { encodePrompt, type Prompt } from "./encode.js";
import type { Planner } from "./forest.js";
import { type GenerateOptions, type GenerationPrompt, type GenerationResult, generateAll } from "./generate.js";
import { type ScoreOptions, type ScoreRequest, type ScoreResult, scoreAll } from "./score.js";

export interface ModelParts {
  /** As the caller named it: a registry name or a path. */
  name: string;
  files: ModelFiles;
  tokenizer: Tokenizer | null;
  chatTemplate: ChatTemplate | null;
  device: Device;
  native: NativeModel;
}

export class Model implements AsyncDisposable {
  readonly name: string;
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer | null;
  readonly chatTemplate: ChatTemplate | null;
  readonly device: Device;
  readonly native: NativeModel;
  private isDisposed = false;
  private fingerprint: Promise<string> | undefined;

  constructor(parts: ModelParts) {
    this.name = parts.name;
    this.files = parts.files;
    this.tokenizer = parts.tokenizer;
    this.chatTemplate = parts.chatTemplate;
    this.device = parts.device;
    this.native = parts.native;
  }

  get disposed(): boolean {
    return this.isDisposed;
  }

  /** @throws DisposedError */
  assertUsable(): void {
    if (this.isDisposed) throw new DisposedError(`model ${this.name} has been disposed of`);
  }

  /** Memory plans of this model against its limit. */
  get planner(): Planner {
    return {
      memoryBytes: this.device.memoryBytes,
      maxPositions: this.files.config.maxPositions,
      plan: (shape) => this.native.plan(shape),
    };
  }

  /**
   * A fresh adapter: a is random, b is 0, so it changes nothing until it is trained.
   *
   * @throws UsageError for a rank, alpha or target that there cannot be
   */
  async createAdapter(options: CreateAdapterOptions = {}): Promise<Adapter> {
    this.assertUsable();
    const { rank = 4, alpha = 16, targets = "all-linear", rslora = false, seed = 0 } = options;
    if (!Number.isInteger(rank) || rank < 1) throw new UsageError(`rank ${rank}: give a whole number of at least 1`);
    if (!(alpha > 0)) throw new UsageError(`alpha ${alpha}: give a number above 0`);
    const kinds = parseTargets(targets);
    try {
      const handle = await this.native.createAdapter({ kinds, rank, scale: loraScale(rank, alpha, rslora), seed });
      return new Adapter(this, handle, { rank, alpha, targets: kinds, rslora });
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * An adapter from a PEFT folder (adapter_config.json, adapter_model.safetensors).
   *
   * @throws FileError where it is not there
   * @throws AdapterFormatError where it is damaged, of a kind that valora does not apply, or of another model
   */
  async loadAdapter(dir: string): Promise<Adapter> {
    this.assertUsable();
    return loadAdapterInto(this, dir);
  }

  /**
   * Log-probabilities of completions in nats, with any number of adapters in one pass. Results come adapter by
   * adapter, within one in the order of the requests and their completions. A result's numbers do not depend on
   * what else is scored with it, to the bit.
   *
   * @throws DataFormatError naming the request that cannot be scored, unless such are to be skipped
   * @throws OutOfMemoryError where a single context with its completions exceeds the memory limit
   * @throws CancelledError where the signal was aborted
   */
  score(
    requests: Iterable<ScoreRequest> | AsyncIterable<ScoreRequest>,
    options: ScoreOptions = {},
  ): AsyncGenerator<ScoreResult> {
    this.assertUsable();
    return scoreAll(this, requests, options);
  }

  /**
   * Mean hidden states of responses given their prompts, in the order of the requests: what a probe reads. They do not
   * depend on what else is embedded with them, to the bit.
   *
   * @throws UsageError for a layer that the model has not
   * @throws DataFormatError naming the request that cannot be embedded, unless such are to be skipped
   * @throws OutOfMemoryError where a single response with its prompt exceeds the memory limit
   * @throws CancelledError where the signal was aborted
   */
  embed(
    requests: Iterable<EmbedRequest> | AsyncIterable<EmbedRequest>,
    options: EmbedOptions = {},
  ): AsyncGenerator<EmbedResult> {
    this.assertUsable();
    return embedAll(this, requests, options);
  }

  /**
   * Continuations of prompts. Results come adapter by adapter, within one in the order of the prompts and samples.
   *
   * @throws DataFormatError naming the prompt that cannot be continued, unless such are to be skipped
   * @throws OutOfMemoryError where a single prompt exceeds the memory limit
   * @throws CancelledError where the signal was aborted
   */
  generate(
    prompts: Iterable<GenerationPrompt> | AsyncIterable<GenerationPrompt>,
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerationResult> {
    this.assertUsable();
    return generateAll(this, prompts, options);
  }

  /** Tokens of a raw text or of messages through the chat template with the generation prompt. */
  encodePrompt(prompt: Prompt): number[] {
    return encodePrompt(this, prompt);
  }

  /** SHA-256 of the weight file, or over the names and hashes of several. */
  hash(): Promise<string> {
    this.fingerprint ??= hashWeights(this.files);
    return this.fingerprint;
  }

  /** Ends the work in hand as cancelled and frees everything; safe to call again. */
  async dispose(): Promise<void> {
    if (this.isDisposed) return;
    this.isDisposed = true;
    await this.native.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** SHA-256 of the weight file, or over the names and hashes of several. */
export async function hashWeights({ tensors }: Pick<ModelFiles, "tensors">): Promise<string> {
  const files = [...new Set(tensors.map((tensor) => tensor.file))];
  if (files.length === 1) return sha256File(files[0]!);
  const hash = createHash("sha256");
  for (const file of files.sort()) hash.update(`${basename(file)} ${await sha256File(file)}\n`);
  return hash.digest("hex");
}
