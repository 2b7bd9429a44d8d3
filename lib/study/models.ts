/** The models of a study, as far as their files tell without the weights being loaded. */
import { createHash } from "node:crypto";
import { hashWeights } from "../engine/model.js";
import { type ModelText, openText } from "../engine/open-text.js";
import { ValoraError } from "../errors.js";
import type { ModelRef } from "./jobs.js";
import { nameOfModel, type Study } from "./schema.js";

/** A model that is here. */
export interface StudyModel {
  ref: ModelRef;
  text: ModelText;
}

/** One that is not, and why. */
export interface MissingModel {
  name: string;
  reason: string;
}

/** Reads and hashes each model's files; `onModel` is told which is next. */
export async function readModels(
  study: Study,
  onModel: (name: string) => void = () => {},
): Promise<{ models: StudyModel[]; missing: MissingModel[] }> {
  const models: StudyModel[] = [];
  const missing: MissingModel[] = [];
  for (const entry of study.models) {
    const name = nameOfModel(entry);
    onModel(name);
    try {
      models.push(await readModel(name, entry.model, entry["chat-template"]));
    } catch (error) {
      if (!(error instanceof ValoraError)) throw error;
      missing.push({ name, reason: error.message });
    }
  }
  return { models, missing };
}

/** @throws ValoraError where it is not there, or is none */
export async function readModel(name: string, model: string, chatTemplate: string | undefined): Promise<StudyModel> {
  const text = await openText(model, chatTemplate);
  const identity = await identify(text);
  return { ref: { name, model, ...(chatTemplate === undefined ? {} : { chatTemplate }), identity }, text };
}

/** SHA-256 over what a result can depend on: weights, shape, tokenizer, chat template. */
async function identify({ files, chatTemplate }: ModelText): Promise<string> {
  const hash = createHash("sha256");
  hash.update(await hashWeights(files));
  const { inverseFrequencies, ...config } = files.config;
  hash.update(JSON.stringify([config, [...inverseFrequencies], files.tokenizer, files.addBos, files.eosIds]));
  hash.update(chatTemplate === null ? "" : chatTemplate.source);
  return hash.digest("hex");
}
