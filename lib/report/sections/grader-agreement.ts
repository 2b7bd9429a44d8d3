/** Where two graders judged the same answers: how often they agree, and how often beyond chance. */
import { cohenKappa } from "../../metrics/agreement.js";
import type { Effect } from "../collect.js";
import { groupBy, unique } from "../group.js";
import { type Html, html } from "../html.js";
import type { Series } from "../series.js";
import { htmlTable, type Table } from "../table.js";

interface Agreement {
  suite: string;
  task: string;
  metric: string;
  first: string;
  second: string;
  answers: number;
  agree: number;
  kappa: number;
}

/** Null where no answers have two graders. Answers with several samples count where all samples got one grade. */
export function graderAgreement(effects: readonly Effect[]): { body: Html; table: Table } | null {
  const tasks = [...groupBy(effects, ({ suite, task, metric }) => JSON.stringify([suite, task, metric])).values()];
  const rows = tasks.flatMap(agreementsOf);
  if (rows.length === 0) return null;
  const columns = ["suite", "task", "metric", "first", "second", "answers", "agreement", "kappa"];
  return {
    body: html`<h3>Do the graders agree?</h3>
${htmlTable(
  "Agreement of graders over the answers of all models, untrained ones included",
  ["task", "graders", "answers", "agreement", "Cohen’s κ"],
  rows.map(({ task, metric, first, second, answers, agree, kappa }) => [
    `${task}: ${metric}`,
    `${first}, ${second}`,
    String(answers),
    `${(100 * agree).toFixed(1)} %`,
    Number.isFinite(kappa) ? kappa.toFixed(2) : "–",
  ]),
)}`,
    table: {
      name: "grader-agreement",
      about: "How often two graders gave the same answer the same grade, and Cohen's kappa.",
      columns,
      rows: rows.map((row) => [
        row.suite,
        row.task,
        row.metric,
        row.first,
        row.second,
        row.answers,
        row.agree,
        row.kappa,
      ]),
    },
  };
}

function agreementsOf(effects: readonly Effect[]): Agreement[] {
  const graders = unique(effects.flatMap(({ grader }) => grader ?? []));
  const grades = new Map(
    graders.map((grader) => [grader, gradesOf(effects.filter((effect) => effect.grader === grader))]),
  );
  const { suite, task, metric } = effects[0]!;
  return graders.flatMap((first, at) =>
    graders.slice(at + 1).flatMap((second): Agreement[] => {
      const left: string[] = [];
      const right: string[] = [];
      for (const [answer, grade] of grades.get(first)!) {
        const other = grades.get(second)!.get(answer);
        if (other === undefined) continue;
        left.push(grade);
        right.push(other);
      }
      if (left.length === 0) return [];
      const agree = left.filter((grade, index) => grade === right[index]).length / left.length;
      return [{ suite, task, metric, first, second, answers: left.length, agree, kappa: cohenKappa(left, right) }];
    }),
  );
}

/** Grade by answer: every run's, and the untrained model's once. */
function gradesOf(effects: readonly Effect[]): Map<string, string> {
  const grades = new Map<string, string>();
  const add = (series: Series): void => {
    for (const [item, { sum, count }] of series.items)
      if (sum === 0 || sum === count)
        grades.set(JSON.stringify([series.model, series.adapter, series.seed, series.step, item]), String(sum / count));
  };
  for (const { base, series } of effects) for (const each of [base, ...series]) add(each);
  return grades;
}
