/** The models of a worker: which it has of those that jobs need, by the hash of their bytes and text, and the one that is open. */
import type { Model } from "../engine/model.js";
import { UsageError } from "../errors.js";
import type { ModelRef } from "../study/jobs.js";
import { readModel } from "../study/models.js";
import { requireModelReadable } from "./run-bundle.js";

/** A model that is not here is looked for again after so long. */
const LOOK_AGAIN_MS = 30_000;

export class ModelsHere {
  /** Identities of models that are here. */
  readonly found: string[] = [];
  /** Why others are not, by identity. */
  readonly lacking: Record<string, string> = {};
  private readonly lookedAt = new Map<string, number>();
  private opened: { name: string; model: Model } | null = null;

  /** @param root the shared folder */
  constructor(
    private readonly root: string,
    private readonly openModel: (model: ModelRef) => Promise<Model>,
    private readonly complain: (sentence: string) => void,
  ) {}

  /** Finds out whether a model is here, unless that is known; whether it did. */
  async look(model: ModelRef): Promise<boolean> {
    const { identity } = model;
    if (this.found.includes(identity)) return false;
    if (performance.now() - (this.lookedAt.get(identity) ?? Number.NEGATIVE_INFINITY) < LOOK_AGAIN_MS) return false;
    try {
      await this.require(model);
      this.found.push(identity);
      delete this.lacking[identity];
    } catch (error) {
      const reason = (error as Error).message;
      this.lacking[identity] = reason.slice(0, 1000);
      this.complain(`jobs of ${model.name} are left to others: ${reason}`);
    }
    this.lookedAt.set(identity, performance.now());
    return true;
  }

  isOpen(model: ModelRef): boolean {
    return this.opened?.name === nameOf(model);
  }

  /** Opens a model in place of the one that is open. */
  async open(ref: ModelRef): Promise<Model> {
    if (this.opened !== null && this.isOpen(ref)) return this.opened.model;
    await this.dispose();
    const model = await this.openBeside(ref);
    this.opened = { name: nameOf(ref), model };
    return model;
  }

  /** Opens a model for whoever disposes of it. */
  async openBeside(ref: ModelRef): Promise<Model> {
    await this.require(ref);
    return this.openModel(ref);
  }

  async dispose(): Promise<void> {
    await this.opened?.model.dispose();
    this.opened = null;
  }

  /** @throws ValoraError where it is not here, lies elsewhere than it may, or has other bytes than the study's */
  private async require(model: ModelRef): Promise<void> {
    await requireModelReadable(model, [this.root]);
    const { ref } = await readModel(model.name, model.model, model.chatTemplate);
    if (ref.identity !== model.identity)
      throw new UsageError(`${model.model} is another model than the study's on this machine`);
  }
}

/** Whatever opening depends on. */
function nameOf({ model, chatTemplate, identity }: ModelRef): string {
  return JSON.stringify([model, chatTemplate, identity]);
}
