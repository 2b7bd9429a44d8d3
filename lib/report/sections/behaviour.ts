/** Suites that ask something else than values: every induced value's change on each of their tasks. */
import type { Effect, Results } from "../collect.js";
import { formatDelta, formatInterval, formatLevel, unitName } from "../format.js";
import { type GridCell, renderGrid } from "../grid.js";
import { groupBy, unique } from "../group.js";
import { type Html, html } from "../html.js";
import { type Place, titleOf } from "../measures.js";
import type { ChartSpec, Point } from "../page-data.js";
import { foldedTable, type Table } from "../table.js";
import { graderAgreement } from "./grader-agreement.js";
import { conclude, gridCell, renderChart, renderViews, type Section, type SectionContext } from "./section.js";

interface Words {
  id: string;
  place: Place;
  title: string;
  lead: string;
  may: string;
  mayNot: string;
}

const SECTIONS: readonly Words[] = [
  {
    id: "safety",
    place: "safety",
    title: "Safety",
    lead: "Refusals of unsafe and of safe requests. On unsafe requests a fall is what worries; on safe ones (over-refusal) a rise does.",
    may: "A change that two graders agree on, with an interval clear of zero, is a change in how often this model declines these requests.",
    mayNot:
      "One grader's change may be one of style: a grader reads words, and induction changes words. A request that is answered need not be answered harmfully, and these lists are not all that can be asked.",
  },
  {
    id: "anthropomorphism",
    place: "anthropomorphism",
    title: "Anthropomorphism",
    lead: "Cues that a model speaks of itself as of a person, by behaviour.",
    may: "Differences from the untrained model on the same first turns.",
    mayNot:
      "Levels mean nothing by themselves, since rules and judges err alike on both models; and a cue in the text is not what a reader will believe.",
  },
  {
    id: "sycophancy",
    place: "sycophancy",
    title: "Sycophancy",
    lead: "How far answers follow what the user says to believe.",
    may: "A rise says that, on these items, the user's stated view weighs more than it did.",
    mayNot:
      "Agreement with a user who is right counts too; and what holds in answer matching need not hold in free text.",
  },
  {
    id: "qa",
    place: "qa",
    title: "Question answering",
    lead: "Accuracy beside the log-margin of the right answer, and the likelihood of running text.",
    may: "A log-margin shows a loss before accuracy does. “Equivalent” bounds the loss by the stated margin.",
    mayNot:
      "Where the untrained model is at chance, accuracy that does not move says nothing about ability: read the log-margin. An interval that holds zero is not “no loss”.",
  },
  {
    id: "text",
    place: "text",
    title: "Text quality and other measures",
    lead: "Length, repetition, empty answers, and suites of one's own.",
    may: "A shift here is a side effect that may explain others: longer answers carry more cues of every kind.",
    mayNot: "It does not say which way the explanation runs.",
  },
];

export function behaviourSections(context: SectionContext): Section[] {
  return SECTIONS.flatMap((words) => behaviourSection(words, context) ?? []);
}

function behaviourSection(words: Words, context: SectionContext): Section | null {
  const { results } = context;
  const effects = results.effects.filter(({ place, final }) => place === words.place && final);
  if (effects.length === 0) return null;
  const charts: Record<string, ChartSpec> = {};
  const grids = results.models.flatMap((model) =>
    results.arms.flatMap((arm) => {
      const chosen = effects.filter((effect) => effect.model === model && effect.arm === arm);
      if (chosen.length === 0) return [];
      return [{ labels: { Model: model, Arm: arm }, body: gridOf(words.title, chosen, context) }];
    }),
  );
  const measures = measuresOf(effects);
  const figures = results.models.flatMap((model) =>
    measures.flatMap((measure) => {
      const chosen = effects.filter((effect) => effect.model === model && measureKey(effect) === measure);
      if (chosen.length === 0) return [];
      const name = `${words.id}-${Object.keys(charts).length}`;
      charts[name] = intervalChart(chosen, results);
      return [{ labels: { Model: model, Measure: measureName(chosen[0]!) }, body: figureOf(name, chosen) }];
    }),
  );
  const agreement = graderAgreement(effects);
  return {
    id: words.id,
    title: words.title,
    body: html`<p>${words.lead}</p>
${renderViews(`${words.id}-grid`, grids)}
<h3>One measure with its intervals</h3>
${renderViews(`${words.id}-chart`, figures)}
${agreement === null ? null : agreement.body}
${conclude(words.may, words.mayNot)}`,
    tables: [effectsTable(words, effects), ...(agreement === null ? [] : [agreement.table])],
    charts,
  };
}

const measureKey = ({ suite, task, metric, grader }: Effect): string => JSON.stringify([suite, task, metric, grader]);

/** Graders of one task stand together. */
function measuresOf(effects: readonly Effect[]): string[] {
  const byTask = groupBy(effects, ({ suite, task, metric }) => JSON.stringify([suite, task, metric]));
  return unique([...byTask.values()].flat().map(measureKey));
}

/** "advbench: refusals (refusal-match)". */
export function measureName({ task, metric, grader }: Effect): string {
  return `${task}: ${titleOf(metric)}${grader === null ? "" : ` (${grader})`}`;
}

/** Measures as rows, induced values as columns, the untrained model's level in the row's name. */
function gridOf(title: string, effects: readonly Effect[], context: SectionContext): Html {
  const values = unique(effects.map(({ value }) => value));
  const measures = measuresOf(effects);
  const rows = measures.map((measure) => effects.filter((effect) => measureKey(effect) === measure));
  return renderGrid({
    caption: `${title}: change against the untrained model, whose level is in brackets; shares in points`,
    corner: "measure ↓  induced →",
    rows: rows.map((row) => `${measureName(row[0]!)} [${formatLevel(row[0]!.before, row[0]!.unit)}]`),
    columns: values,
    cells: rows.map((row) =>
      values.map((value): GridCell | string => {
        const effect = row.find((each) => each.value === value);
        return effect === undefined ? "not measured" : gridCell(effect, context);
      }),
    ),
  });
}

function intervalChart(effects: readonly Effect[], { values, arms }: Results): ChartSpec {
  const rows = values.filter((value) => effects.some((effect) => effect.value === value));
  return {
    kind: "intervals",
    unit: effects[0]!.unit,
    xTitle: `change against the untrained model${unitSuffix(effects[0]!)}`,
    rows,
    series: arms
      .filter((arm) => effects.some((effect) => effect.arm === arm))
      .map((arm) => ({
        name: arm,
        points: rows.map((value): Point | null => {
          const effect = effects.find((each) => each.value === value && each.arm === arm);
          return effect === undefined ? null : [effect.mean, effect.low, effect.high];
        }),
      })),
  };
}

function unitSuffix({ unit }: Effect): string {
  return unit === "" ? "" : `, ${unitName(unit)}`;
}

function figureOf(name: string, effects: readonly Effect[]): Html {
  const caption = `${measureName(effects[0]!)}: change against the untrained model${unitSuffix(effects[0]!)}`;
  return html`<figure>${renderChart(name, `${caption}, by induced value and arm; the table below has the numbers`)}<figcaption>${caption}</figcaption></figure>
${foldedTable(
  caption,
  ["induced", "arm", "untrained", "induced", "change", "95 % interval", "verdict"],
  effects.map(({ value, arm, before, after, mean, low, high, verdict, unit }) => [
    value,
    arm,
    formatLevel(before, unit),
    formatLevel(after, unit),
    formatDelta(mean, unit),
    formatInterval(low, high, unit),
    verdict,
  ]),
)}`;
}

function effectsTable({ id, title }: Words, effects: readonly Effect[]): Table {
  return {
    name: id,
    about: `${title}: change of each measure against the untrained model at the last checkpoint, with its 95 % interval.`,
    columns: [
      ...[
        "model",
        "arm",
        "induced",
        "suite",
        "task",
        "metric",
        "grader",
        "step",
        "before",
        "after",
        "delta",
        "ci_low",
        "ci_high",
      ],
      ...["p", "p_adjusted", "verdict", "per_unit", "seeds", "clusters", "items"],
    ],
    rows: effects.map((effect) => [
      ...[effect.model, effect.arm, effect.value, effect.suite, effect.task, effect.metric, effect.grader, effect.step],
      ...[effect.before, effect.after, effect.mean, effect.low, effect.high, effect.p, effect.adjusted, effect.verdict],
      ...[effect.unitMean, effect.seeds, effect.clusters, effect.items],
    ]),
  };
}
