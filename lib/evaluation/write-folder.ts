/** Runs planned tasks into the draft of an evaluation folder: items, examples and answers (.jsonl), summary.csv and .json. */
import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { type AtomicWriter, createAtomicWriter, writeFileAtomic } from "../files/atomic.js";
import { examplesOf } from "./example.js";
import { formatItem } from "./item.js";
import type { PlannedTask, Subject } from "./plan.js";
import type { Examinee } from "./remote.js";
import { type RunOptions, runTasks } from "./run.js";
import { Summary, type SummaryRow } from "./summary.js";

const COLUMNS = ["suite", "task", "metric", "adapter", "value", "stderr", "ci_low", "ci_high", "n", "grader"] as const;

/** @returns the rows of the summary */
export async function writeEvaluation(
  model: Examinee,
  subjects: readonly Subject[],
  planned: readonly PlannedTask[],
  folder: string,
  options: RunOptions,
): Promise<SummaryRow[]> {
  const summary = new Summary(planned.map(({ task }) => task));
  const items = await createAtomicWriter(join(folder, "items.jsonl"));
  const examples = await createAtomicWriter(join(folder, "examples.jsonl"));
  let written: AtomicWriter | null = null;
  try {
    for await (const { task, subject, measurements, answers } of runTasks(model, subjects, planned, options)) {
      const names = { model: model.name, ...subject.names };
      for await (const measurement of measurements) {
        summary.add({ ...names, ...measurement });
        await items.write(formatItem(names, measurement));
      }
      if (answers === null) continue;
      written ??= await createAtomicWriter(join(folder, "answers.jsonl"));
      for await (const { item, ...answer } of answers)
        await written.write(`${JSON.stringify({ ...names, suite: task.suite, task: task.name, item, ...answer })}\n`);
    }
    await items.commit();
    await written?.commit();
    const tasks = planned.map(({ task }) => task);
    for await (const example of examplesOf(tasks, options)) await examples.write(`${JSON.stringify(example)}\n`);
    await examples.commit();
  } finally {
    await items.abort();
    await examples.abort();
    await written?.abort();
  }
  const rows = summary.rows();
  const table = rows.map((row) => COLUMNS.map((column) => row[column]));
  await writeFileAtomic(join(folder, "summary.csv"), stringify([COLUMNS, ...table]));
  await writeFileAtomic(join(folder, "summary.json"), `${JSON.stringify(rows, null, 1)}\n`);
  return rows;
}
