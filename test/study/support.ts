/** A study that a tiny golden model runs through in seconds. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lines, writeTinyModel } from "../cli/program.js";

const WORDS = ["hello", "world", "hill", "yellow", "low", "red", "hold", "well"];

/** Pairs that differ from value to value, with prompts that several pairs share. */
export function tinyPairs(
  value: string,
  part: string,
  count: number,
  flipped: (index: number) => boolean = () => false,
) {
  const word = (index: number) => WORDS[(index * 5 + value.length) % WORDS.length]!;
  return Array.from({ length: count }, (_, index) => ({
    id: `${value}:${part}:${index}`,
    source: "test",
    prompt: [{ role: "user", content: `${part} ${word(index >> 1)}` }],
    chosen: `${value} ${word(index)}`,
    rejected: `${word(index + 1)} ${word(index + 2)}`,
    value,
    flipped: flipped(index),
  }));
}

export interface TinyStudy {
  /** The study file. */
  path: string;
  model: string;
  data: string;
  yaml: string;
}

/** Writes model, data and study file into `folder`. One pair of `calm` is labelled `kind` as well. */
export function writeTinyStudy(folder: string, change: (yaml: string) => string = (yaml) => yaml): TinyStudy {
  const model = join(folder, "model");
  const data = join(folder, "pairs");
  for (const path of [model, data]) mkdirSync(path, { recursive: true });
  writeTinyModel(model);
  for (const value of ["kind", "bold"]) {
    writeFileSync(
      join(data, `${value}.train.jsonl`),
      lines(...tinyPairs(value, "train", 12, (index) => index % 3 === 0)),
    );
    writeFileSync(join(data, `${value}.held-out.jsonl`), lines(...tinyPairs(value, "held", 6)));
  }
  const [first, ...rest] = tinyPairs("calm", "held", 6);
  const both = { ...first, values: { chosen: ["calm"], rejected: ["kind"] } };
  writeFileSync(join(data, "calm.held-out.jsonl"), lines(both, ...rest));
  writeFileSync(join(folder, "text.txt"), "hello world, yellow hill\n");
  writeFileSync(join(folder, "words.jsonl"), lines({ word: "hello" }, { word: "low" }));
  writeFileSync(
    join(folder, "words.yaml"),
    'name: words\ntasks: [{name: two, kind: generation, file: words.jsonl, prompt: "{word} well", max-new-tokens: 4}]\n',
  );
  const yaml = change(`models:
  - model: model
    name: tiny
data:
  - source: pairs
    values:
      - {value: kind, train: pairs/kind.train.jsonl, held-out: pairs/kind.held-out.jsonl}
      - {value: bold, train: pairs/bold.train.jsonl, held-out: pairs/bold.held-out.jsonl}
      - {value: calm, held-out: pairs/calm.held-out.jsonl}
arms: [induce, random, system]
seeds: [1, 2]
doses: {steps: [0.5], learning-rate: [0.01]}
training: {batch-pairs: 4, epochs: 2, schedule: constant, warmup: 0}
kl: {prompts: 3, samples: 1, tokens: 4}
suites: [{suite: "perplexity:file=text.txt"}, {suite: words.yaml, graders: [refusal-match]}]
`);
  const path = join(folder, "study.yaml");
  writeFileSync(path, yaml);
  return { path, model, data, yaml };
}
