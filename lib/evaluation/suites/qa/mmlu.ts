/**
 * MMLU (Hendrycks et al., "Measuring Massive Multitask Language Understanding", ICLR 2021): 57 subjects, four choices, in
 * the prompt of lm-evaluation-harness's mmlu, with the five questions of the dev split in front or none.
 */
import { readRecords } from "../../../data/records.js";
import { DataFormatError } from "../../../errors.js";
import type { DataSources, FoundData } from "../../sources.js";
import type { LikelihoodQuestion, LoadOptions, Task } from "../../task.js";
import { choiceQuestion } from "./choices.js";
import { strip } from "./python-text.js";
import { field, noteSample, takeFirst } from "./records.js";

const SUBJECTS = (
  "abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry " +
  "college_computer_science college_mathematics college_medicine college_physics computer_security conceptual_physics " +
  "econometrics electrical_engineering elementary_mathematics formal_logic global_facts high_school_biology " +
  "high_school_chemistry high_school_computer_science high_school_european_history high_school_geography " +
  "high_school_government_and_politics high_school_macroeconomics high_school_mathematics high_school_microeconomics " +
  "high_school_physics high_school_psychology high_school_statistics high_school_us_history high_school_world_history " +
  "human_aging human_sexuality international_law jurisprudence logical_fallacies machine_learning management marketing " +
  "medical_genetics miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory " +
  "professional_accounting professional_law professional_medicine professional_psychology public_relations " +
  "security_studies sociology us_foreign_policy virology world_religions"
).split(" ");

const LETTERS = ["A", "B", "C", "D"] as const;
const COLUMNS = ["question", ...LETTERS, "answer"];

/** Five, as the authors have it, or none. */
export const MMLU_TASKS: readonly Task[] = [5, 0].flatMap((shots) =>
  SUBJECTS.map((subject) => mmluTask(subject, shots)),
);

function mmluTask(subject: string, shots: number): Task {
  const suffix = shots === 0 ? "_0shot" : "";
  return {
    suite: "qa",
    name: `mmlu_${subject}${suffix}`,
    about: `MMLU ${subject.replaceAll("_", " ")}, ${shots === 0 ? "no example" : `${shots} examples`}`,
    group: `mmlu${suffix}`,
    source: "mmlu",
    version: "1",
    boundary: "harness",
    async *load(data, options): AsyncGenerator<LikelihoodQuestion> {
      const examples = [];
      for await (const row of readSplit(data, subject, "dev", shots, options)) examples.push(row);
      if (examples.length < shots)
        throw new DataFormatError(
          `the dev split of MMLU ${subject} has ${examples.length} questions; ${shots} are needed`,
        );
      const header =
        `The following are multiple choice questions (with answers) about ${subject.replaceAll("_", " ")}.\n\n` +
        examples.map((row) => `${promptOf(row)} ${LETTERS[row.answer]}\n\n`).join("");
      let index = 0;
      for await (const row of readSplit(data, subject, "test", options.limit, options)) {
        yield choiceQuestion({
          id: `mmlu:${subject}:${index++}`,
          context: header + promptOf(row),
          choices: LETTERS,
          right: [row.answer],
          metrics: ["acc", "log_margin"],
        });
      }
    },
  };
}

interface Row {
  question: string;
  choices: string[];
  answer: number;
}

function promptOf({ question, choices }: Row): string {
  const lines = choices.map((choice, index) => `${LETTERS[index]}. ${choice}\n`);
  return `${strip(question)}\n${lines.join("")}Answer:`;
}

async function* readSplit(
  data: DataSources,
  subject: string,
  split: "dev" | "test",
  limit: number | undefined,
  options: LoadOptions,
): AsyncGenerator<Row> {
  if (limit === 0) return;
  const found = await data.find("mmlu", {
    // The authors' files, then the hub's.
    names: [
      `${split}/${subject}_${split}.csv`,
      `data/${split}/${subject}_${split}.csv`,
      `${subject}/${split}-00000-of-00001.parquet`,
      `${subject}/${split}.jsonl`,
    ],
    hub: { repo: "cais/mmlu", path: `${subject}/${split}-00000-of-00001.parquet` },
    sample: "mmlu.jsonl.gz",
  });
  if (split === "test" && subject === SUBJECTS[0]) noteSample("mmlu", found, options);
  yield* takeFirst(rowsOf(found, subject, split, options), limit);
}

async function* rowsOf(
  { path, origin }: FoundData,
  subject: string,
  split: string,
  { signal }: LoadOptions,
): AsyncGenerator<Row> {
  const columns = /\.csv(\.gz)?$/i.test(path) ? { columns: COLUMNS } : {};
  for await (const { value, where } of readRecords(path, { ...columns, signal })) {
    // The sample has all subjects and splits in one file.
    if (origin === "sample" && (value.subject !== subject || value.split !== split)) continue;
    const question = field(value, "question", "string", where);
    const choices = Array.isArray(value.choices) ? value.choices.map(String) : LETTERS.map((letter) => value[letter]);
    if (choices.length !== 4 || !choices.every((choice) => typeof choice === "string"))
      throw new DataFormatError(`${where}: a question of MMLU has four choices`);
    const answer = typeof value.answer === "string" ? LETTERS.indexOf(value.answer as "A") : Number(value.answer);
    if (!(answer >= 0 && answer < 4)) throw new DataFormatError(`${where}: the answer has to be A, B, C or D`);
    yield { question, choices: choices as string[], answer };
  }
}
