/** Held-out pairs of a study in tokens, as training sees pairs: the same template, end of turn and truncation. */
import { join } from "node:path";
import { type PreferencePair, readPairs } from "../data/pairs.js";
import { withSystem } from "../engine/generate.js";
import type { Model } from "../engine/model.js";
import { type TokenizedPair, tokenizePairs } from "../engine/tokenize-pairs.js";
import { hashPrompt } from "../evaluation/suites/preferences.js";
import type { Measure, Subject } from "./jobs.js";

export interface HeldOutPair extends TokenizedPair {
  /** Hash of the prompt; the pair's own id where all pairs of the value have one prompt. */
  cluster: string;
}

export interface HeldOutValue {
  value: string;
  pairs: HeldOutPair[];
}

/** @param subject a system prompt is put in front of every prompt; everybody else sees the pairs as they are */
export async function readHeldOut(
  folder: string,
  { values }: Extract<Measure, { kind: "kl" }>,
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
      clusters.set(pair.id, hashPrompt(pair));
      const { prompt } = pair;
      read.push(
        subject.kind === "system" && prompt !== undefined
          ? { ...pair, prompt: withSystem(prompt, subject.text) as typeof prompt }
          : pair,
      );
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
