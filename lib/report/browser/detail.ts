/** What a cell stands for: its numbers in full, its training runs, and items that show it. */
import { formatDelta, formatInterval, formatLevel, formatP, type Unit, unitName } from "../format.js";
import { type CellDetail, type CellExample, type PageData, rowAt } from "../page-data.js";
import { element } from "./dom.js";

const VERDICTS: Record<CellDetail["verdict"], string> = {
  different: "different from the untrained model",
  equivalent: "equivalent to the untrained model, within the margin",
  undecided: "undecided: the data exclude neither no change nor a change that matters",
};

const OVER: Partial<Record<CellDetail["over"], string>> = {
  "runs and prompts": ", over training runs and prompts",
  prompts: ", over prompts: of these very runs",
  runs: ", over training runs",
};

export function openDetail(data: PageData, index: number): void {
  const dialog = document.querySelector<HTMLDialogElement>("#detail")!;
  const cell = rowAt<CellDetail>(data.cells, index);
  const close = element("button", { type: "button", class: "close" }, "Close");
  close.addEventListener("click", () => dialog.close());
  // A click beside the panel is a click on the dialog's own backdrop.
  dialog.onclick = (event) => {
    if (event.target === dialog && event.clientX < dialog.getBoundingClientRect().left) dialog.close();
  };
  const examples = data.examples[String(index)] ?? [];
  dialog.replaceChildren(
    close,
    element("h2", { id: "detail-title" }, `${cell.value} → ${cell.task}`),
    element("p", {}, placeOf(cell)),
    element("p", { class: "big" }, formatDelta(cell.mean, cell.unit), element("small", {}, ` ${unitName(cell.unit)}`)),
    element("p", {}, `95 % interval ${formatInterval(cell.low, cell.high, cell.unit)}${OVER[cell.over] ?? ""}`),
    factsOf(cell),
    element("h3", {}, "Examples"),
    ...(examples.length === 0
      ? [element("p", {}, "No examples of this cell lie beside the items, or there was no room for them.")]
      : examples.map((example) => showExample(data, cell, example))),
  );
  dialog.showModal();
  dialog.scrollTop = 0;
}

function placeOf({ suite, metric, grader, model, arm, step }: CellDetail): string {
  const measure = `${suite}, ${metric.replaceAll("_", " ")}${grader === null ? "" : `, graded by ${grader}`}`;
  return `${measure} · ${model} · arm ${arm}${step === null ? "" : ` · step ${step}`}`;
}

function factsOf(cell: CellDetail): HTMLElement {
  const { unit } = cell;
  const facts: [string, string][] = [
    ["verdict", VERDICTS[cell.verdict]],
    ["untrained → induced", `${formatLevel(cell.before, unit)} → ${formatLevel(cell.after, unit)}`],
  ];
  if (cell.aboveBefore !== null && cell.aboveAfter !== null)
    facts.push([
      "items above zero",
      `${formatLevel(cell.aboveBefore, "share")} → ${formatLevel(cell.aboveAfter, "share")}`,
    ]);
  if (cell.margin !== null)
    facts.push([
      "margin",
      `changes within ±${formatDelta(cell.margin, unit).replace("+", "")} ${unitName(unit)} count as none`,
    ]);
  if (cell.p !== null) facts.push(["p", formatP(cell.p)]);
  if (cell.adjusted !== null) facts.push(["p, adjusted", `${formatP(cell.adjusted)} over the cells of this matrix`]);
  facts.push([
    "per unit of target’s shift",
    cell.unitMean === null
      ? `blank: ${cell.unitBlank ?? "not defined"}`
      : cell.unitLow === null
        ? "1 by definition"
        : `${formatDelta(cell.unitMean, "ratio")} [${formatInterval(cell.unitLow, cell.unitHigh, "ratio")}]`,
  ]);
  if (cell.beyondMean !== null) {
    const interval = formatInterval(cell.beyondLow, cell.beyondHigh, unit);
    facts.push([`beyond the arm ${cell.control}`, `${formatDelta(cell.beyondMean, unit)} [${interval}]`]);
  }
  facts.push([
    "over",
    `${cell.items} items in ${cell.clusters} clusters, ${cell.seeds === 1 ? "one training run" : `${cell.seeds} training runs`}`,
  ]);
  if (cell.seeds > 1) facts.push(["runs", showRuns(cell.runs, unit)]);
  const list = element("dl", { class: "facts" });
  for (const [name, value] of facts) list.append(element("dt", {}, name), element("dd", {}, value));
  return list;
}

function showRuns(runs: string, unit: Unit): string {
  return runs
    .split(" ")
    .map((run) => {
      const [seed, mean] = run.split(":");
      return `${seed === "" ? "run" : `seed ${seed}`} ${formatDelta(Number(mean), unit)}`;
    })
    .join(" · ");
}

function showExample(data: PageData, cell: CellDetail, example: CellExample): HTMLElement {
  const text = data.texts[example.text]!;
  const list = element("dl");
  const add = (name: string, content: string): void => {
    list.append(element("dt", {}, name), element("dd", {}, content === "" ? "(empty)" : content));
  };
  add("asked", text.prompt);
  if (text.choices !== undefined) add("to choose from", text.choices.join("\n"));
  if (text.matching !== undefined) add(`expresses ${cell.task}`, text.matching);
  if (text.other !== undefined) add("the other side", text.other);
  for (const [name, at] of [
    ["untrained model", example.baseAnswer],
    [`${cell.value}, ${cell.arm}`, example.answer],
  ] as const) {
    const answer = data.answers[at];
    if (answer !== undefined) add(answer.labels === "" ? name : `${name} (${answer.labels})`, answer.text);
  }
  const shift = `${formatLevel(example.before, cell.unit)} → ${formatLevel(example.after, cell.unit)}`;
  return element("article", { class: "example" }, element("h4", {}, `${example.why}: ${shift}`), list);
}
