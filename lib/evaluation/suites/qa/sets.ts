/** ARC, PIQA and HellaSwag, in the prompts of lm-evaluation-harness, no examples; and question files of the user's. */
import { basename } from "node:path";
import { findDataFiles } from "../../../data/data-source.js";
import { type DataRecord, readRecords } from "../../../data/records.js";
import { DataFormatError } from "../../../errors.js";
import { readBytes } from "../../../files/byte-stream.js";
import type { FoundData, SourceName, Wanted } from "../../sources.js";
import type { LikelihoodQuestion, LoadOptions, Task } from "../../task.js";
import { choiceQuestion } from "./choices.js";
import { answeredQueryRow, hellaswagRow, piqaRow, questionRow, readQuestion } from "./layouts.js";
import { takeFirst } from "./records.js";

type ReadRow = (row: Record<string, unknown>, where: string) => ReturnType<typeof questionRow>;

interface QuestionSet {
  name: string;
  about: string;
  source: SourceName;
  wanted: Wanted;
  readRow: ReadRow;
  /** The rows, where they are not simply those of the file. */
  rows?(found: FoundData, options: LoadOptions): AsyncIterable<DataRecord>;
}

const arc = (name: "easy" | "challenge"): QuestionSet => {
  const set = name === "easy" ? "ARC-Easy" : "ARC-Challenge";
  return {
    name: `arc_${name}`,
    about: `${set}, no examples`,
    source: "arc",
    wanted: {
      names: [
        `${set}/test-00000-of-00001.parquet`,
        `${set}/${set}-Test.jsonl`,
        `*/${set}-Test.jsonl`,
        `*/arc_${name}.jsonl`,
      ],
      hub: { repo: "allenai/ai2_arc", path: `${set}/test-00000-of-00001.parquet` },
    },
    readRow: (row, where) => (row.query === undefined ? questionRow(row, where) : answeredQueryRow(row, where)),
  };
};

const SETS: readonly QuestionSet[] = [
  arc("easy"),
  arc("challenge"),
  {
    name: "piqa",
    about: "PIQA, no examples",
    source: "piqa",
    wanted: {
      names: ["valid.jsonl", "data/valid.jsonl", "dev.jsonl", "plain_text/validation-00000-of-00001.parquet"],
      hub: { repo: "baber/piqa", path: "plain_text/validation-00000-of-00001.parquet" },
    },
    readRow: piqaRow,
    rows: withLabels,
  },
  {
    name: "hellaswag",
    about: "HellaSwag, no examples",
    source: "hellaswag",
    wanted: {
      names: [
        "hellaswag_val.jsonl",
        "data/hellaswag_val.jsonl",
        "*/hellaswag_val.jsonl",
        "data/validation-00000-of-00001.parquet",
      ],
      hub: { repo: "Rowan/hellaswag", path: "data/validation-00000-of-00001.parquet" },
    },
    readRow: hellaswagRow,
  },
];

export const SET_TASKS: readonly Task[] = SETS.map(({ name, about, source, wanted, readRow, rows }) => ({
  suite: "qa",
  name,
  about,
  source,
  version: "1",
  boundary: "harness",
  async *load(data, options): AsyncGenerator<LikelihoodQuestion> {
    const found = await data.find(source, wanted);
    let index = 0;
    const records = rows?.(found, options) ?? readRecords(found.path, { signal: options.signal });
    for await (const { value, where } of takeFirst(records, options.limit)) {
      const { right, ...rest } = readRow(value, where);
      if (rest.choices[right] === undefined)
        throw new DataFormatError(`${where}: no choice is marked as the right one`);
      yield choiceQuestion({ id: `${name}:${index++}`, ...rest, right: [right] });
    }
  },
}));

/** The authors' PIQA keeps its labels in a file beside the questions: valid.jsonl, valid-labels.lst. */
async function* withLabels({ path }: FoundData, { signal }: LoadOptions): AsyncGenerator<DataRecord> {
  let labels: string[] | null = null;
  let index = 0;
  for await (const { value, where } of readRecords(path, { signal })) {
    if (value.label !== undefined) {
      yield { value, where };
      continue;
    }
    labels ??= (await readText(path.replace(/\.jsonl$/, "-labels.lst"))).split("\n");
    yield { value: { ...value, label: labels[index++] }, where };
  }
}

async function readText(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readBytes(path)) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * `qa:file=PATH`: a file of questions in any of the known layouts, or each such file of a folder.
 *
 * @throws FileError where there is none
 */
export async function questionFiles(path: string): Promise<readonly Task[]> {
  const tasks = (await findDataFiles(path)).map((file): Task => fileTask(file));
  const names = tasks.map(({ name }) => name);
  const twice = tasks.findIndex(({ name }, index) => names.indexOf(name) !== index);
  if (twice >= 0)
    throw new DataFormatError(`${path} has two files named ${names[twice]}; rename one, or give them one by one`);
  return tasks;
}

function fileTask(path: string): Task {
  const name = basename(path).replace(/(\.\w+?)(\.gz)?$/, "");
  return {
    suite: "qa",
    name,
    about: path,
    source: "own",
    version: "1",
    boundary: "harness",
    async *load(_, { limit, signal }): AsyncGenerator<LikelihoodQuestion> {
      let index = 0;
      for await (const { value, where } of takeFirst(readRecords(path, { signal }), limit)) {
        const id = typeof value.id === "string" ? value.id : `${name}:${index}`;
        index += 1;
        yield readQuestion(value, id, where);
      }
    },
  };
}
