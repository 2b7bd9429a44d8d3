/**
 * Writes the samples of MMLU, TruthfulQA and GSM8K in data/evaluation again, byte for byte, from the data sets' own files.
 *
 *     node scripts/make-evaluation-sample.mjs MMLU TRUTHFULQA GSM8K
 *
 * MMLU holds dev/ and test/, TRUTHFULQA data/v1/mc_task.json, GSM8K test.jsonl. Of MMLU the five dev questions and the
 * first questions of test of every subject; of the others the first questions; questions over a length are passed over.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { parse } from "csv-parse/sync";

const OUTPUT = fileURLToPath(new URL("../data/evaluation/", import.meta.url));
const MMLU_TEST = 4;
const MMLU_LONGEST = 1500;
const TRUTHFULQA_COUNT = 60;
const GSM8K = { examples: { begin: 1000, count: 20 }, count: 50 };

const [mmlu, truthfulqa, gsm8k] = process.argv.slice(2);
if (gsm8k === undefined) {
  console.error("usage: node scripts/make-evaluation-sample.mjs MMLU TRUTHFULQA GSM8K");
  process.exit(2);
}

const lines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

function mmluRows() {
  const subjects = readdirSync(join(mmlu, "dev")).map((name) => name.replace(/_dev\.csv$/, ""));
  return subjects.sort().flatMap((subject) =>
    [
      ["dev", 5, Number.POSITIVE_INFINITY],
      ["test", MMLU_TEST, MMLU_LONGEST],
    ].flatMap(([split, count, longest]) =>
      parse(readFileSync(join(mmlu, split, `${subject}_${split}.csv`)), { relax_quotes: true, skip_empty_lines: true })
        .filter((cells) => cells.join("").length <= longest)
        .slice(0, count)
        .map(([question, a, b, c, d, answer]) => ({ subject, split, question, choices: [a, b, c, d], answer })),
    ),
  );
}

function gsm8kRows() {
  const rows = readFileSync(join(gsm8k, "test.jsonl"), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  const { begin, count } = GSM8K.examples;
  return [
    ...rows.slice(begin, begin + count).map((row) => ({ split: "train", ...row })),
    ...rows.slice(0, GSM8K.count).map((row) => ({ split: "test", ...row })),
  ];
}

const truths = JSON.parse(readFileSync(join(truthfulqa, "data/v1/mc_task.json"), "utf8")).slice(0, TRUTHFULQA_COUNT);
writeFileSync(join(OUTPUT, "mmlu.jsonl.gz"), gzipSync(lines(mmluRows()), { level: 9 }));
writeFileSync(
  join(OUTPUT, "truthfulqa.jsonl"),
  lines(truths.map(({ question, mc1_targets, mc2_targets }) => ({ question, mc1_targets, mc2_targets }))),
);
writeFileSync(join(OUTPUT, "gsm8k.jsonl"), lines(gsm8kRows()));
