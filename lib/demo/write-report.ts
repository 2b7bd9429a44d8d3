/** Writes what the demo found: report.html, tables/, examples.jsonl, manifest.json. */
import { join } from "node:path";
import type { Model } from "../engine/model.js";
import { writeFileAtomic } from "../files/atomic.js";
import { type Manifest, writeManifest } from "../files/manifest.js";
import type { Answers } from "../report/sections/answers.js";
import { type About, type WrittenReport, writeReport } from "../report/write-report.js";
import type { PlanFile } from "./choose-plan.js";
import { INDUCED_TRAITS, MEASURED_TRAITS, readSample } from "./data.js";
import { ADAPTER, type DemoRun, trainingOf } from "./settings.js";

export interface ReportParts {
  model: Model;
  run: DemoRun;
  answers: Answers;
  cuts: readonly string[];
  planFile: PlanFile;
  manifest: Manifest;
  /** Wall time of the run. */
  seconds: number;
}

/** Reads items.jsonl of the demo's folder, and writes the page and its tables beside it. */
export async function writeDemoReport(parts: ReportParts): Promise<WrittenReport> {
  const { run, planFile } = parts;
  await writeManifest(join(run.output, "manifest.json"), parts.manifest);
  await writeFileAtomic(join(run.output, "examples.jsonl"), await exampleLines(planFile.plan.heldOutPairs));
  return writeReport(run.output, {
    about: aboutOf(parts),
    ...(run.signal === undefined ? {} : { signal: run.signal }),
  });
}

/** The held-out statements, for the cells of the page to show. */
async function exampleLines(pairs: number): Promise<string> {
  const lines: string[] = [];
  for (const trait of MEASURED_TRAITS)
    for (const { id, prompt, chosen, rejected } of await readSample(trait, "held-out", pairs))
      lines.push(`${JSON.stringify({ item: id, prompt, matching: chosen, other: rejected })}\n`);
  return lines.join("");
}

function aboutOf({ model, run, answers, cuts, planFile, seconds }: ReportParts): About {
  const { plan } = planFile;
  const training = trainingOf(plan, run.seed);
  const { kind, isa, threads } = model.device;
  return {
    title: `What moved when ${INDUCED_TRAITS.length} traits were induced into ${model.name}`,
    warnings: cuts.length === 0 ? [] : [`Cut to stay within the time: ${cuts.join("; ")}.`],
    answers,
    facts: [
      ["model", `${model.name}, ${(model.files.parameters / 1e6).toFixed(0)} million parameters`],
      ["device", `${kind}, ${isa}, ${threads} threads; ${planFile.pairsPerSecond.toFixed(1)} pairs/s in training`],
      ["adapters", `LoRA on all linear layers, rank ${ADAPTER.rank}, alpha ${ADAPTER.alpha}`],
      [
        "training",
        `DPO, beta ${training.beta}, learning rate ${training.learningRate}, ${plan.trainPairs} pairs, ${plan.epochs} epochs, batches of ${training.batchPairs}`,
      ],
      [
        "pair",
        `asked “${answers.prompt}”, a statement that matches the trait against one that does not, of nearly the same length`,
      ],
      ["seed", String(run.seed)],
      ["time", `${seconds.toFixed(0)} s`],
      [
        "statements",
        "Anthropic’s model-written persona evaluations (Perez et al. 2022, github.com/anthropics/evals), CC BY 4.0, a selection; the labels are their authors’",
      ],
    ],
  };
}
