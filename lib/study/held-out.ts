/** Held-out pairs of a study in tokens, as training sees pairs: the same template, end of turn and truncation. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type PreferencePair, readPairs } from "../data/pairs.js";
import type { Model } from "../engine/model.js";
import { type TokenizedPair, tokenizePairs } from "../engine/tokenize-pairs.js";
import { DataFormatError, UsageError } from "../errors.js";
import type { Measure, Subject } from "./jobs.js";

export interface HeldOutPair extends TokenizedPair {
  /** Hash of the prompt; the pair's own id where all pairs of the value have one prompt. */
  cluster: string;
}

export interface HeldOutValue {
  value: string;
  pairs: HeldOutPair[];
}

/**
 * @param subject a system prompt is put in front of every prompt; everybody else sees the pairs as they are
 * @throws DataFormatError for an id that two pairs of a value have, UsageError for a prompt that takes no system prompt
 */
export async function readHeldOut(
  folder: string,
  { values }: Measure,
  model: Model,
  subject: Subject,
): Promise<HeldOutValue[]> {
  const result: HeldOutValue[] = [];
  const { vocabulary, maxPositions } = model.files.config;
  for (const { value, pairs: file } of values) {
    const path = join(folder, file.path);
    const clusters = new Map<string, string>();
    const read: PreferencePair[] = [];
    for await (const pair of readPairs(path)) {
      if (clusters.has(pair.id)) throw new DataFormatError(`${path}: two pairs have the id "${pair.id}"`);
      clusters.set(pair.id, hashPrompt(pair));
      read.push(subject.kind === "system" ? withSystem(pair, subject.text, path) : pair);
    }
    const one = new Set(clusters.values()).size === 1;
    const { pairs } = await tokenizePairs(model, read, maxPositions, vocabulary);
    result.push({
      value,
      pairs: pairs.map((pair) => ({ ...pair, cluster: one ? pair.id : clusters.get(pair.id)! })),
    });
  }
  return result;
}

function hashPrompt({ prompt, prompt_tokens }: PreferencePair): string {
  return createHash("sha256")
    .update(JSON.stringify(prompt ?? prompt_tokens))
    .digest("hex")
    .slice(0, 16);
}

function withSystem(pair: PreferencePair, text: string, path: string): PreferencePair {
  const { prompt } = pair;
  if (!Array.isArray(prompt) || pair.prompt_tokens !== undefined)
    throw new UsageError(
      `arm system: pair "${pair.id}" of ${path} has no messages for a system prompt to stand in front of; leave the arm out`,
    );
  const [first, ...rest] = prompt;
  const messages =
    first?.role === "system"
      ? [{ ...first, content: `${text}\n\n${first.content}` }, ...rest]
      : [{ role: "system", content: text }, ...prompt];
  return { ...pair, prompt: messages };
}
