/** Writes what the demo found: report.html, crosstalk.csv, crosstalk.json, manifest.json. */
import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import type { Model } from "../engine/model.js";
import { writeFileAtomic } from "../files/atomic.js";
import { type Manifest, writeManifest } from "../files/manifest.js";
import type { Crosstalk } from "../metrics/crosstalk.js";
import { type Answer, renderCrosstalkPage } from "../report/crosstalk-page.js";
import type { PlanFile } from "./choose-plan.js";
import { ADAPTER, type DemoRun, trainingOf } from "./settings.js";

export interface ReportParts {
  model: Model;
  run: DemoRun;
  crosstalk: Crosstalk;
  prompt: string;
  answers: readonly Answer[];
  cuts: readonly string[];
  planFile: PlanFile;
  manifest: Manifest;
  /** Wall time of the run. */
  seconds: number;
}

/** Returns the path of the page. */
export async function writeReport(parts: ReportParts): Promise<string> {
  const { run, crosstalk } = parts;
  const write = (name: string, text: string): Promise<void> => writeFileAtomic(join(run.output, name), text);
  const rows = crosstalk.cells.map(flatten);
  await write("crosstalk.csv", stringify(rows, { header: true }));
  await write("crosstalk.json", `${JSON.stringify({ measure: MEASURE, cells: rows }, null, 2)}\n`);
  await writeManifest(join(run.output, "manifest.json"), parts.manifest);
  await write("report.html", renderCrosstalkPage(pageOf(parts)));
  return join(run.output, "report.html");
}

const MEASURE =
  "mean over held-out pairs of the change of log p(matching) - log p(not matching) against the untrained model, nats; 95 % t interval over pairs";

function flatten(cell: Crosstalk["cells"][number]) {
  return {
    induced: cell.induced,
    measured: cell.measured,
    pairs: cell.delta.n,
    delta: cell.delta.mean,
    ci_low: cell.delta.low,
    ci_high: cell.delta.high,
    accuracy_before: cell.accuracyBefore,
    accuracy_after: cell.accuracyAfter,
    accuracy_delta: cell.accuracyDelta.mean,
    accuracy_ci_low: cell.accuracyDelta.low,
    accuracy_ci_high: cell.accuracyDelta.high,
  };
}

function pageOf({ model, run, crosstalk, prompt, answers, cuts, planFile, seconds }: ReportParts) {
  const { plan } = planFile;
  const training = trainingOf(plan, run.seed);
  const { kind, isa, threads } = model.device;
  return {
    title: `What moved when ${crosstalk.induced.length} traits were induced into ${model.name}`,
    crosstalk,
    prompt,
    answers,
    cuts,
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
        `asked “${prompt}”, a statement that matches the trait against one that does not, of nearly the same length`,
      ],
      ["seed", `${run.seed}: one training run a trait, so the intervals are over pairs and not over runs`],
      ["time", `${seconds.toFixed(0)} s`],
    ] as [string, string][],
    files: [
      ["items.jsonl", "log-probability of every statement under every adapter; every number here derives from it"],
      ["crosstalk.csv, crosstalk.json", "the table"],
      ["answers.jsonl", "the answers"],
      ["adapters/", "the trained adapters, in PEFT’s layout, with metrics.jsonl"],
      ["manifest.json", "settings, versions, device and hashes"],
    ] as [string, string][],
    sources: [
      "Statements: Anthropic’s model-written persona evaluations (Perez et al. 2022, github.com/anthropics/evals), CC BY 4.0, a selection; the labels are their authors’.",
    ],
  };
}
