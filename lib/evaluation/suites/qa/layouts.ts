/**
 * Rows of question files, by the fields that they have. Layouts of data sets get the prompt that lm-evaluation-harness
 * gives that data set; llm-foundry's "query" is used as it stands.
 */
import { DataFormatError } from "../../../errors.js";
import type { LikelihoodQuestion } from "../../task.js";
import { type ChoiceQuestion, choiceQuestion, logprobOf } from "./choices.js";
import { capitalize, strip } from "./python-text.js";
import { field, isTexts } from "./records.js";

type Row = Record<string, unknown>;

interface Layout {
  name: string;
  /** Fields that tell it. */
  has: readonly string[];
  read(row: Row, id: string, where: string): LikelihoodQuestion;
}

/** The first whose fields are all there. */
const LAYOUTS: readonly Layout[] = [
  { name: "PIQA", has: ["goal", "sol1", "sol2"], read: asChoices(piqaRow) },
  { name: "HellaSwag", has: ["endings"], read: asChoices(hellaswagRow) },
  { name: "multiple choice of llm-foundry", has: ["query", "choices", "gold"], read: asChoices(queryRow) },
  { name: "schema of llm-foundry", has: ["context_options", "continuation", "gold"], read: schemaQuestion },
  { name: "language modelling of llm-foundry", has: ["context", "continuation"], read: continuationQuestion },
  { name: "ARC and plain questions", has: ["question"], read: asChoices(questionRow) },
];

/** @throws DataFormatError where no layout fits, or a field is not what it has to be */
export function readQuestion(row: Row, id: string, where: string): LikelihoodQuestion {
  const layout = LAYOUTS.find(({ has }) => has.every((name) => row[name] !== undefined));
  if (layout !== undefined) return layout.read(row, id, where);
  const known = LAYOUTS.map(({ name, has }) => `${has.join(", ")} (${name})`).join("; ");
  throw new DataFormatError(`${where}: the fields are of no layout that is known: ${known}`);
}

type Choices = Pick<ChoiceQuestion, "context" | "choices"> & { right: number; delimiter?: string };

function asChoices(read: (row: Row, where: string) => Choices): Layout["read"] {
  return (row, id, where) => {
    const { right, ...rest } = read(row, where);
    const { length } = rest.choices;
    if (length < 2) throw new DataFormatError(`${where}: there are ${length} choices; two are the least`);
    if (!Number.isInteger(right) || right < 0 || right >= length)
      throw new DataFormatError(`${where}: the right choice is ${right}; it has to be from 0 to ${length - 1}`);
    return choiceQuestion({ id, ...rest, right: [right] });
  };
}

/** "Question: …\nAnswer:" */
export function piqaRow(row: Row, where: string): Choices {
  const context = `Question: ${field(row, "goal", "string", where)}\nAnswer:`;
  const choices = [field(row, "sol1", "string", where), field(row, "sol2", "string", where)];
  return { context, choices, right: Number(row.label) };
}

function queryRow(row: Row, where: string): Choices {
  const query = field(row, "query", "string", where);
  return { context: query, choices: field(row, "choices", "strings", where), right: Number(row.gold) };
}

/** llm-foundry's "Question: …", asked as lm-evaluation-harness asks. */
export function answeredQueryRow(row: Row, where: string): Choices {
  const { context, ...rest } = queryRow(row, where);
  return { context: `${String(context).trimEnd()}\nAnswer:`, ...rest };
}

/** `hellaswag` and its `utils.py`: the activity, the context whose end is capitalised, marks of WikiHow taken out. */
export function hellaswagRow(row: Row, where: string): Choices {
  const end = capitalize(field(row, "ctx_b", "string", where));
  const context = `${field(row, "ctx_a", "string", where)} ${end}`;
  return {
    context: withoutMarks(`${field(row, "activity_label", "string", where)}: ${context}`),
    choices: field(row, "endings", "strings", where).map(withoutMarks),
    right: Number(row.label === "" ? Number.NaN : row.label),
  };
}

function withoutMarks(text: string): string {
  return strip(text)
    .replaceAll(" [title]", ". ")
    .replace(/\[[^\n]*?\]/g, "")
    .replaceAll("  ", " ");
}

/**
 * A question with choices and its answer: ARC as the hub has it (choices {text, label}, answerKey) and as its authors do
 * (question {stem, choices}), and plain rows: choices (or options) as a list, answer (or label, gold, answer_idx) as an
 * index from 0, a letter, or the right choice itself.
 */
export function questionRow(row: Row, where: string): Choices {
  const nested = typeof row.question === "object" && row.question !== null ? (row.question as Row) : null;
  const question = field(nested ?? row, nested === null ? "question" : "stem", "string", where);
  const { choices, labels } = choicesOf(nested?.choices ?? row.choices ?? row.options, where);
  const answer = row.answerKey ?? row.answer ?? row.label ?? row.gold ?? row.answer_idx;
  return { context: `Question: ${question}\nAnswer:`, choices, right: rightOf(answer, choices, labels, where) };
}

function choicesOf(value: unknown, where: string): { choices: string[]; labels: string[] } {
  const letters = (choices: string[]): string[] => choices.map((_, index) => String.fromCharCode(65 + index));
  if (isTexts(value)) return { choices: value, labels: letters(value) };
  if (Array.isArray(value) && value.every((choice) => isTexts([choice?.text, choice?.label])))
    return { choices: value.map(({ text }) => text), labels: value.map(({ label }) => label) };
  const { text, label } = (value ?? {}) as Row;
  if (isTexts(text) && isTexts(label) && text.length === label.length) return { choices: text, labels: label };
  throw new DataFormatError(`${where}: choices: it has to be a list of texts, or of texts with labels`);
}

function rightOf(answer: unknown, choices: string[], labels: string[], where: string): number {
  if (typeof answer === "number") return answer;
  if (typeof answer === "string") {
    const at = labels.indexOf(answer.trim());
    if (at >= 0) return at;
    const same = choices.indexOf(answer);
    if (same >= 0) return same;
    if (/^\d+$/.test(answer)) return Number(answer);
  }
  throw new DataFormatError(
    `${where}: the answer is no index, label or text of a choice: ${JSON.stringify(answer) ?? "it is missing"}`,
  );
}

/** Several contexts, one continuation (Winograd, WinoGrande): the context under which it is likeliest. */
function schemaQuestion(row: Row, id: string, where: string): LikelihoodQuestion {
  const contexts = field(row, "context_options", "strings", where);
  const completion = ` ${field(row, "continuation", "string", where)}`;
  const gold = field(row, "gold", "number", where);
  if (contexts[gold] === undefined || contexts.length < 2)
    throw new DataFormatError(`${where}: gold: it has to be from 0 to ${contexts.length - 1}, of two contexts or more`);
  return {
    kind: "likelihood",
    id,
    cluster: id,
    requests: contexts.map((context) => ({ context, completions: [completion] })),
    read(results) {
      const logprobs = results.map(([result]) => logprobOf(result!));
      const margin = logprobs[gold]! - Math.max(...logprobs.filter((_, index) => index !== gold));
      const first = logprobs.indexOf(Math.max(...logprobs));
      return { acc: first === gold ? 1 : 0, log_margin: margin };
    },
  };
}

/** One continuation (LAMBADA): whether every token of it is the likeliest. */
function continuationQuestion(row: Row, id: string, where: string): LikelihoodQuestion {
  const context = field(row, "context", "string", where);
  const completions = [` ${field(row, "continuation", "string", where).trimStart()}`];
  return {
    kind: "likelihood",
    id,
    cluster: id,
    requests: [{ context, completions }],
    read: ([results]) => ({ acc: results![0]!.greedy ? 1 : 0, logprob: results![0]!.logprob }),
  };
}
