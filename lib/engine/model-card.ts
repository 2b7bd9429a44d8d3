/**
 * The model card of a trained adapter, or of a merged model: README.md with the front matter that the Hugging Face hub reads
 * (huggingface.co/docs/hub/model-cards). It is made from the manifest and from nothing else, so equal runs have equal
 * cards; what differs from machine to machine stays out of it.
 */
import { basename } from "node:path";
import { stringify } from "yaml";
import { writeFileAtomic } from "../files/atomic.js";
import { oneLine } from "../files/describe-issue.js";
import type { Manifest } from "../files/manifest.js";
import { NAMED_MODELS } from "../models/registry.js";
import type { MergeProof } from "./merge.js";
import type { PairReport } from "./tokenize-pairs.js";
import { type TrainSettings, type TrainStep, trainSettings } from "./train-options.js";

export const MODEL_CARD = "README.md";

/** Where the pairs of a run came from, and what else its command line said that its settings do not. */
export interface RunSource {
  /** Name of the file of pairs; "-" is standard input. */
  pairs: string;
  chatTemplate?: string | undefined;
  initAdapter?: string | undefined;
}

/** The manifest of a training run. */
export interface TrainManifest extends Manifest {
  options: Manifest["options"] & TrainSettings & { model: string; rank: number; alpha: number; targets: string[] };
  pairs: PairReport;
  /** The last step; in the card of a checkpoint, its own. */
  result: Omit<TrainStep, "seconds">;
  source?: RunSource;
}

/** The manifest of a merged model. */
export interface MergeManifest extends Manifest {
  options: Manifest["options"] & { model: string };
  proof: Omit<MergeProof, "output">;
}

/** @throws FileError */
export async function writeModelCard(path: string, manifest: TrainManifest): Promise<void> {
  await writeFileAtomic(path, renderModelCard(manifest));
}

export function renderModelCard(manifest: TrainManifest): string {
  const { options, pairs, result, sha256, source, versions } = manifest;
  const { model } = options;
  const base = baseOf(model);
  const name = basename(model);
  const tags = ["lora", options.loss === "sft" ? "sft" : "dpo", "valora"];
  const command = source === undefined ? null : commandOf(manifest, source);
  const parts = [
    frontMatter(model, "peft", tags),
    `# LoRA adapter of ${code(name)}`,
    `${METHODS[options.loss]} on ${pairs.used} preference pairs, by valora ${versions.valora}.`,
    "## Base model",
    table(baseRows(manifest)),
    "## Data",
    table([
      ...(source === undefined
        ? []
        : [["file", source.pairs === "-" ? "standard input" : code(source.pairs)] as const]),
      ...(sha256.pairs === undefined ? [] : [["SHA-256 of the file", code(sha256.pairs)] as const]),
      ["SHA-256 of the tokens", code(sha256.data!)],
      ["pairs", `${pairs.used} of ${pairs.pairs}; ${pairs.leftOut.length} were too long and left out`],
      ["prompts that lost their start", String(pairs.truncated)],
      ["tokens of an epoch", String(pairs.tokens)],
    ]),
    "## Training",
    ...(command === null
      ? []
      : [
          `\`\`\`sh\n${command}\n\`\`\``,
          "The same command on the same file gives the same adapter, bit for bit; a checkpoint is what it has after its step.",
        ]),
    table([
      ...Object.entries({ ...options, model: undefined, targets: options.targets.join(", ") })
        .filter(([, value]) => value !== undefined && value !== null)
        .map(
          ([key, value]) => [kebab(key), code(String(key === "reference" ? basename(String(value)) : value))] as const,
        ),
      ["SHA-256 of adapter_model.safetensors", code(sha256.adapter!)],
    ]),
    "## Results",
    `Step ${result.step}, means over its ${result.pairs} pairs; metrics.jsonl has every step. Rewards are beta × (log p − reference log p), log-probabilities in nats a response.`,
    table(
      RESULTS.flatMap(([key, words]) => (result[key] === undefined ? [] : [[words, number(result[key])] as const])),
    ),
    "## Use",
    "With PEFT:",
    `\`\`\`python\n${peftSnippet(base)}\n\`\`\``,
    "With valora:",
    `\`\`\`sh\necho '{"id": "q", "prompt": [{"role": "user", "content": "Who are you?"}]}' |\n  valora generate --model ${quote(model in NAMED_MODELS ? model : name)} --adapter mine=path/to/this/folder --input -\n\`\`\``,
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Of `valora merge`: the model as transformers loads it, and the proof that it is model and adapter. */
export function renderMergedCard(manifest: MergeManifest): string {
  const { options, proof, sha256, versions } = manifest;
  const parts = [
    frontMatter(options.model, "transformers", ["valora"], { base_model_relation: "finetune" }),
    `# ${code(basename(options.model))} with a LoRA adapter merged in`,
    `W + scale · B A in ${proof.merged} matrices, stored as ${proof.dtype}, by valora ${versions.valora}.`,
    table([
      ...baseRows(manifest),
      ["SHA-256 of the adapter's parameters", code(sha256.adapter!)],
      ["SHA-256 of model.safetensors", code(sha256.output!)],
    ]),
    "## Proof",
    `The same ${proof.tokens} tokens scored by model + adapter and by these weights; differences in nats a token.`,
    table([
      ["log p, model alone", number(proof.logprob_base)],
      ["log p, model + adapter", number(proof.logprob_adapter)],
      ["log p, merged", number(proof.logprob_merged)],
      ["largest difference of a token", number(proof.largest_difference)],
      ["mean difference", number(proof.mean_difference)],
    ]),
    "## Use",
    '```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\ntokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\nmodel = AutoModelForCausalLM.from_pretrained("path/to/this/folder")\n```',
  ];
  return `${parts.join("\n\n")}\n`;
}

/** What the hub calls the model that a named one was made from. */
function baseOf(model: string): string | undefined {
  return model in NAMED_MODELS ? NAMED_MODELS[model]!.base : undefined;
}

function frontMatter(model: string, library: string, tags: string[], relation: Record<string, string> = {}): string {
  const base = baseOf(model);
  const fields = {
    ...(base === undefined ? {} : { base_model: base, ...relation }),
    library_name: library,
    ...(base === undefined ? {} : { license: NAMED_MODELS[model]!.license.toLowerCase() }),
    pipeline_tag: "text-generation",
    tags,
  };
  return `---\n${stringify(fields)}---`;
}

function baseRows({ options, sha256 }: TrainManifest | MergeManifest): [string, string][] {
  const base = baseOf(options.model);
  const origin = base === undefined ? "" : `, made from [${base}](https://huggingface.co/${base})`;
  return [
    ["model", code(basename(options.model)) + origin],
    ["SHA-256 of its weights", code(sha256.model!)],
  ];
}

const METHODS: Readonly<Record<TrainSettings["loss"], string>> = {
  sigmoid: "Direct preference optimisation (Rafailov et al. 2023)",
  ipo: "Preference optimisation with the IPO loss (Azar et al. 2023)",
  hinge: "Preference optimisation with the hinge loss (Zhao et al. 2023)",
  robust: "Preference optimisation with the robust DPO loss (Chowdhury et al. 2024)",
  sft: "Supervised fine-tuning on the chosen responses",
};

const RESULTS: readonly (readonly [keyof TrainManifest["result"], string])[] = [
  ["loss", "loss"],
  ["accuracy", "accuracy"],
  ["margin", "margin of the rewards"],
  ["chosen_reward", "reward of the chosen"],
  ["rejected_reward", "reward of the rejected"],
  ["chosen_logp", "log p of the chosen"],
  ["rejected_logp", "log p of the rejected"],
  ["kl", "divergence from the reference, nats a token of the data"],
  ["eval_loss", "held-out loss"],
  ["eval_accuracy", "held-out accuracy"],
  ["eval_margin", "held-out margin"],
];

/** The command line that says what the manifest says; null where the options of a command do not reach as far. */
function commandOf({ options, device }: TrainManifest, source: RunSource): string | null {
  const usual: Record<string, unknown> = { ...trainSettings({}), rank: 4, alpha: 16, rslora: false };
  const parts = [
    `valora train --model ${quote(basename(options.model))} --pairs ${quote(source.pairs)} --output adapter`,
  ];
  for (const [key, value] of Object.entries(options)) {
    if (key === "model" || value === null || value === usual[key]) continue;
    if (key.startsWith("adam")) return null;
    if (key === "targets") {
      if ((value as string[]).length < 7) parts.push(`--targets ${(value as string[]).join(",")}`);
    } else if (typeof value === "boolean") parts.push(value ? `--${kebab(key)}` : `--no-${kebab(key)}`);
    else parts.push(`--${kebab(key)} ${quote(key === "reference" ? basename(String(value)) : String(value))}`);
  }
  if (device?.kind !== "cpu") parts.push(`--device ${device?.kind}`);
  if (device?.compute !== "float32") parts.push(`--compute ${device?.compute}`);
  if (source.chatTemplate !== undefined) parts.push(`--chat-template ${quote(source.chatTemplate)}`);
  if (source.initAdapter !== undefined) parts.push(`--init-adapter ${quote(source.initAdapter)}`);
  return parts.join(" \\\n  ");
}

function peftSnippet(base: string | undefined): string {
  return [
    "from peft import PeftModel",
    "from transformers import AutoModelForCausalLM, AutoTokenizer",
    "",
    `base = ${JSON.stringify(base ?? "path/to/the/base/model")}`,
    "tokenizer = AutoTokenizer.from_pretrained(base)",
    'model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), "path/to/this/folder")',
  ].join("\n");
}

function table(rows: readonly (readonly [string, string])[]): string {
  return ["| | |", "|---|---|", ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join("\n");
}

/** Text as code in a cell of a table, whatever it holds. */
function code(text: string): string {
  const plain = oneLine(text).replaceAll("|", "\\|");
  const ticks = "`".repeat(1 + Math.max(0, ...[...plain.matchAll(/`+/g)].map(([run]) => run.length)));
  const gap = plain.startsWith("`") || plain.endsWith("`") ? " " : "";
  return `${ticks}${gap}${plain}${gap}${ticks}`;
}

/** A word of a command line, in quotes where a shell would take it apart. */
function quote(word: string): string {
  const plain = oneLine(word);
  return /^[\w./:@%+=-]+$/.test(plain) ? plain : `'${plain.replaceAll("'", "'\\''")}'`;
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function number(value: number | undefined): string {
  return String(Number((value as number).toPrecision(6)));
}
