/**
 * Items (items.jsonl) gathered into series: every answer of one model, adapter and checkpoint to one task under one
 * metric. Samples of one item are averaged. A series keeps two numbers and two shared texts an item, so a study of a
 * million items takes some hundred megabytes while it is read, whatever its lines hold.
 */
import type { EvaluationItem } from "../evaluation/item.js";

export interface SeriesKey {
  model: string;
  adapter: string;
  /** What was induced; null for the untrained model. */
  value: string | null;
  /** How: "induce", "random", "system" …, with what was varied in it; null for the untrained model. */
  arm: string | null;
  seed: number | null;
  step: number | null;
  suite: string;
  task: string;
  metric: string;
  grader: string | null;
}

export interface ItemMean {
  cluster: string;
  sum: number;
  count: number;
}

export interface Series extends SeriesKey {
  items: Map<string, ItemMean>;
}

/** In the suite `values` one task is read for many values, each a metric; as a matrix has it, the value is the task. */
function measureOf(item: EvaluationItem): Pick<SeriesKey, "task" | "metric" | "grader"> {
  const { suite, task, metric } = item;
  const grader = item.grader ?? null;
  if (suite !== "values") return { task, metric, grader };
  return { task: metric, metric: "expressed", grader: grader === null ? null : grader.replace(`:${metric}`, "") };
}

/**
 * A study whose training is varied (beta, learning rate) puts that into the adapter's name behind value, arm and seed
 * ("kind/induce/seed-0/beta-0.3"): each of those is an arm of its own.
 */
function recipeOf({ adapter, value, arm, seed }: EvaluationItem): string[] {
  const start = `${value}/${arm}/seed-${seed}/`;
  return adapter.startsWith(start) ? adapter.slice(start.length).split("/") : [];
}

export class SeriesTable {
  readonly series: Series[] = [];
  /** Lines read. */
  items = 0;
  private readonly byKey = new Map<string, Series>();
  /** One copy of each text: every line of a file brings its own. */
  private readonly texts = new Map<string, string>();
  private last: { key: string; series: Series } | null = null;

  add(item: EvaluationItem): void {
    this.items += 1;
    const isBase = item.adapter === "base" && item.value === undefined && (item.arm ?? "base") === "base";
    const key: SeriesKey = {
      model: item.model,
      adapter: item.adapter,
      value: isBase ? null : (item.value ?? (item.adapter === "base" ? (item.arm ?? "base") : item.adapter)),
      arm: isBase ? null : [item.arm ?? "induce", ...recipeOf(item)].join(", "),
      seed: item.seed ?? null,
      step: item.step ?? null,
      suite: item.suite,
      ...measureOf(item),
    };
    const series = this.seriesOf(key);
    const id = this.intern(item.item);
    const mean = series.items.get(id);
    if (mean === undefined) series.items.set(id, { cluster: this.intern(item.cluster), sum: item.y, count: 1 });
    else {
      mean.sum += item.y;
      mean.count += 1;
    }
  }

  private seriesOf(key: SeriesKey): Series {
    const text = JSON.stringify(Object.values(key));
    if (this.last?.key === text) return this.last.series;
    let series = this.byKey.get(text);
    if (series === undefined) {
      series = { ...key, items: new Map() };
      this.byKey.set(text, series);
      this.series.push(series);
    }
    this.last = { key: text, series };
    return series;
  }

  private intern(text: string): string {
    const known = this.texts.get(text);
    if (known !== undefined) return known;
    this.texts.set(text, text);
    return text;
  }
}
