/** A study's plan and results as text for a terminal of 100 columns. */
import { textTable } from "../report/text-table.js";
import type { CheckpointRow } from "../study/collect.js";
import type { Job } from "../study/jobs.js";
import { addCosts, type Cost, type Rates, secondsOf } from "../study/plan.js";
import type { PreparedStudy } from "../study/prepare-study.js";
import { formatSeconds } from "./progress-bar.js";

/** @param rates by model name; a model without has no hours */
export function renderPlan(prepared: PreparedStudy, done: ReadonlySet<string>, rates: Map<string, Rates>): string {
  const lines: string[] = [];
  const { study } = prepared.file;
  const trained = prepared.data.values.filter(({ train }) => train.size > 0).length;
  lines.push(
    `${count(study.models.length, "model")} × ${count(trained, "value")} (${prepared.data.values.length} measured) × ${count(study.arms.length, "arm")} × ` +
      `${count(study.doses.beta.length * study.doses["learning-rate"].length, "setting")} × ${count((study.doses.steps?.length ?? 0) + 1, "checkpoint")} × ${count(study.seeds.length, "seed")}`,
    "",
  );
  const rows: string[][] = [];
  const all = { seconds: 0, known: true };
  for (const { ref } of prepared.models) {
    const own = prepared.jobs.filter(({ model }) => model.identity === ref.identity);
    const known = rates.get(ref.name);
    for (const kind of ["reference", "train", "evaluate"] as const) {
      const jobs = own.filter((job) => job.kind === kind);
      const left = jobs.filter(({ key }) => !done.has(key));
      const seconds = known === undefined ? null : secondsOf(costOf(prepared, left), known);
      all.seconds += seconds ?? 0;
      all.known &&= seconds !== null;
      rows.push([
        kind === "reference" ? ref.name : "",
        kind,
        String(jobs.length),
        String(jobs.length - left.length),
        tokens(costOf(prepared, jobs)),
        seconds === null ? "?" : formatSeconds(seconds),
      ]);
    }
  }
  const { jobs } = prepared;
  rows.push([
    "all",
    "",
    String(jobs.length),
    String(jobs.filter(({ key }) => done.has(key)).length),
    tokens(costOf(prepared, jobs)),
    all.known ? formatSeconds(all.seconds) : "?",
  ]);
  lines.push(
    ...textTable(["model", "kind", "jobs", "done", "tokens", "time left"], rows),
    "",
    `disk: about ${(prepared.bytes / 1e6).toPrecision(3)} MB`,
  );
  for (const { ref } of prepared.models) {
    const known = rates.get(ref.name);
    if (known === undefined) continue;
    const speeds = [
      `training ${rate(known.train)}`,
      `scoring ${rate(known.score)}`,
      `generating ${rate(known.generate)}`,
    ];
    lines.push(`tokens a second with ${ref.name}: ${speeds.join(", ")}`);
  }
  for (const { name, reason } of prepared.missing) lines.push(`not here, and not counted: ${name}: ${reason}`);
  for (const note of prepared.data.notes) lines.push(note);
  return `${lines.join("\n")}\n`;
}

/** The last checkpoint of every run: how far it went for its own value. */
export function renderCheckpoints(rows: readonly CheckpointRow[]): string {
  const last = new Map(rows.map((row) => [`${row.model}\n${row.adapter}`, row]));
  const number = (value: number | undefined) => (value === undefined ? "" : value.toFixed(2));
  const cells = [...last.values()].map((row) => [
    row.adapter,
    row.step === undefined ? "" : String(row.step),
    number(row.shift),
    number(row.shift_per_token),
    number(row.accuracy),
    number(row.kl),
  ]);
  const titles = ["run", "step", "shift", "a token", "accuracy", "KL"];
  return `${textTable(titles, cells).join("\n")}\n`;
}

function costOf({ costs }: PreparedStudy, jobs: readonly Job[]): Cost {
  return addCosts(jobs.map(({ key }) => costs.get(key)!));
}

function tokens({ train, score, generate }: Cost): string {
  return short(train + score + generate);
}

/** 12345678 → "12.3 M". */
function short(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} G`;
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  return value >= 1e3 ? `${(value / 1e3).toPrecision(3)} k` : String(Math.round(value));
}

function rate(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
