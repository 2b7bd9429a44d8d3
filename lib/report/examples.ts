/**
 * Examples behind cells: which items a cell shows, and their texts from examples.jsonl and answers.jsonl, read in one pass
 * that keeps only what is shown. A cell shows its largest rise, its largest fall and the item nearest to its mean, so that nobody picks
 * them by hand; what all cells show together stays within a budget of characters.
 */
import { z } from "zod";
import { DataFormatError } from "../errors.js";
import { describeIssue } from "../files/describe-issue.js";
import { readJsonLines } from "../files/json-lines.js";
import type { Effect } from "./collect.js";
import type { CellExample, ExampleAnswer, ExampleText, PageData } from "./page-data.js";

const messages = z.array(z.looseObject({ role: z.string(), content: z.string() }));

/**
 * A line of examples.jsonl or answers.jsonl: what was asked ({item, prompt}, with `matching` and `other` for a preference
 * item and `choices` for another), an answer ({item, adapter, text}, and `labels`, the label of each grader), or both.
 * Model, suite, task and step are needed only where they tell lines apart.
 */
const exampleSchema = z
  .looseObject({
    item: z.string(),
    model: z.string().optional(),
    adapter: z.string().optional(),
    suite: z.string().optional(),
    task: z.string().optional(),
    step: z.number().optional(),
    prompt: z.union([z.string(), messages]).optional(),
    text: z.string().optional(),
    matching: z.string().optional(),
    other: z.string().optional(),
    choices: z.array(z.string()).optional(),
    labels: z.record(z.string(), z.string()).optional(),
  })
  .refine(({ prompt, text }) => prompt !== undefined || text !== undefined, {
    path: ["prompt"],
    message: "a line holds a prompt or an answer's text",
  });

type ExampleLine = z.infer<typeof exampleSchema>;

/** Characters of all prompts and answers in a page; what a reader opens one cell at a time. */
const BUDGET = 1_500_000;
/** Characters of one text: enough to judge an answer, too few to bury the next one. */
const LONGEST = 1200;

/** One item of one cell. */
interface PickedItem {
  cell: number;
  why: string;
  item: string;
  before: number;
  after: number;
}

/** Up to three items of each cell, the first of every cell before the second of any. */
export function pickItems(cells: readonly Effect[]): PickedItem[] {
  const perCell = cells.map((effect, cell) => {
    const [series] = effect.series;
    const changes: (PickedItem & { delta: number })[] = [];
    for (const [item, { sum, count }] of series?.items ?? []) {
      const base = effect.base.items.get(item);
      if (base === undefined) continue;
      const before = base.sum / base.count;
      const after = sum / count;
      changes.push({ cell, why: "", item, before, after, delta: after - before });
    }
    return choose(changes, effect.mean);
  });
  return [0, 1, 2].flatMap((place) => perCell.flatMap((picks) => picks[place] ?? []));
}

function choose(changes: readonly (PickedItem & { delta: number })[], mean: number): PickedItem[] {
  if (changes.length === 0) return [];
  const by = (score: (delta: number) => number) =>
    changes.reduce((best, change) => (score(change.delta) > score(best.delta) ? change : best));
  const candidates = [
    { ...by((delta) => -Math.abs(delta - mean)), why: "nearest to the mean" },
    { ...by((delta) => delta), why: "largest rise" },
    { ...by((delta) => -delta), why: "largest fall" },
  ];
  const seen = new Set<string>();
  return candidates
    .filter(({ item, delta, why }) => {
      const fits = why === "nearest to the mean" || (why === "largest rise" ? delta > 0 : delta < 0);
      if (!fits || seen.has(item)) return false;
      seen.add(item);
      return true;
    })
    .map(({ delta: _, ...pick }) => pick);
}

export type Examples = Pick<PageData, "texts" | "answers" | "examples">;

/**
 * Reads the texts of what was picked.
 *
 * @throws FileError, and DataFormatError naming file and line
 */
export async function loadExamples(paths: readonly string[], cells: readonly Effect[]): Promise<Examples> {
  const picks = pickItems(cells);
  /** Items, and whose answers to them are shown. */
  const wanted = new Map<string, Set<string | undefined>>();
  for (const { item, cell } of picks) {
    const { base, series } = cells[cell]!;
    const adapters = wanted.get(item) ?? new Set([undefined]);
    wanted.set(item, adapters.add(base.adapter).add(series[0]?.adapter));
  }
  const lines = new Map<string, ExampleLine[]>();
  for (const path of paths) {
    for await (const { value, line } of readJsonLines(path)) {
      const parsed = exampleSchema.safeParse(value);
      if (!parsed.success) throw new DataFormatError(`${path}, line ${line}: ${describeIssue(parsed.error)}`);
      const { item, adapter } = parsed.data;
      if (wanted.get(item)?.has(adapter) !== true) continue;
      const known = lines.get(item);
      if (known === undefined) lines.set(item, [parsed.data]);
      else known.push(parsed.data);
    }
  }
  return new Collector(cells, lines).collect(picks);
}

class Collector {
  private readonly texts: ExampleText[] = [];
  private readonly answers: ExampleAnswer[] = [];
  private readonly places = new Map<string, number>();
  private left = BUDGET;

  constructor(
    private readonly cells: readonly Effect[],
    private readonly lines: ReadonlyMap<string, readonly ExampleLine[]>,
  ) {}

  collect(picks: readonly PickedItem[]): Examples {
    const examples: Record<string, CellExample[]> = {};
    for (const pick of picks) {
      if (this.left <= 0) break;
      const effect = this.cells[pick.cell]!;
      const lines = (this.lines.get(pick.item) ?? []).filter(({ model, suite, task }) => {
        const { model: ownModel, suite: ownSuite, task: ownTask } = effect;
        return (model ?? ownModel) === ownModel && (suite ?? ownSuite) === ownSuite && (task ?? ownTask) === ownTask;
      });
      const about = lines.find(({ prompt }) => prompt !== undefined);
      if (about === undefined) continue;
      const ofAdapter = (adapter: string | undefined, step: number | null): number => {
        const line = lines.find(
          (each) => each.text !== undefined && each.adapter === adapter && (each.step ?? step) === step,
        );
        return line === undefined ? -1 : this.answer(line);
      };
      const example: CellExample = {
        why: pick.why,
        text: this.text(
          about,
          lines.find(({ matching }) => matching !== undefined),
        ),
        before: Number(pick.before.toPrecision(5)),
        after: Number(pick.after.toPrecision(5)),
        baseAnswer: ofAdapter(effect.base.adapter, effect.base.step),
        answer: ofAdapter(effect.series[0]?.adapter, effect.step),
      };
      const cell = String(pick.cell);
      if (examples[cell] === undefined) examples[cell] = [example];
      else examples[cell].push(example);
    }
    return { texts: this.texts, answers: this.answers, examples };
  }

  private text(line: ExampleLine, sides: ExampleLine | undefined): number {
    return this.place(`text ${line.suite ?? ""} ${line.task ?? ""} ${line.item}`, this.texts, () => ({
      item: line.item,
      prompt: this.cut(showPrompt(line.prompt!)),
      ...(line.choices === undefined ? {} : { choices: line.choices.map((choice) => this.cut(choice)) }),
      ...(sides?.matching === undefined ? {} : { matching: this.cut(sides.matching) }),
      ...(sides?.other === undefined ? {} : { other: this.cut(sides.other) }),
    }));
  }

  private answer(line: ExampleLine): number {
    const { model = "", suite = "", task = "", item, adapter = "", step = "" } = line;
    const key = `answer ${model} ${suite} ${task} ${item} ${adapter} ${step}`;
    return this.place(key, this.answers, () => ({
      text: this.cut(line.text ?? ""),
      labels: Object.entries(line.labels ?? {})
        .map(([grader, label]) => `${grader}: ${label}`)
        .join(", "),
    }));
  }

  private place<T>(key: string, list: T[], make: () => T): number {
    const known = this.places.get(key);
    if (known !== undefined) return known;
    this.places.set(key, list.length);
    list.push(make());
    return list.length - 1;
  }

  private cut(text: string): string {
    // Not in the middle of a surrogate pair.
    const end = text.length <= LONGEST ? text.length : LONGEST - Number(/[\ud800-\udbff]/.test(text[LONGEST - 1]!));
    this.left -= end;
    return end === text.length ? text : `${text.slice(0, end)} …`;
  }
}

function showPrompt(prompt: NonNullable<ExampleLine["prompt"]>): string {
  if (typeof prompt === "string") return prompt;
  if (prompt.length === 1) return prompt[0]!.content;
  return prompt.map(({ role, content }) => `${role}: ${content}`).join("\n");
}
