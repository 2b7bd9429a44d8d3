/** `valora grade`: what graders say of answers; or, against people's labels, how far graders can be believed. */
import type { Prompt } from "../engine/encode.js";
import { UsageError } from "../errors.js";
import type { AnswerLine } from "../evaluation/answers.js";
import type { Agreement } from "../evaluation/graders/agreement.js";
import type { Grade, Grader } from "../evaluation/graders/grader.js";
import { GRADER_NAMES } from "../evaluation/graders/open.js";
import type { Manifest } from "../files/manifest.js";
import { API_OPTIONS } from "./api-options.js";
import { type CommonValues, defineCommand, MODEL_COMMON, type OptionValues, OUTPUT_OPTION } from "./command.js";
import type { CommandContext } from "./context.js";
import { gradersFromOptions } from "./grader-options.js";
import { effectiveOptions, withPlannedSink } from "./output.js";

const OPTIONS = {
  input: {
    type: "string",
    placeholder: "FILE|DIR",
    required: true,
    describe: "answers: JSON Lines, JSON or CSV; - is standard input",
  },
  grader: { type: "strings", placeholder: "G", required: true, describe: "repeatable; valora grade --help lists them" },
  prompts: { type: "string", placeholder: "FILE", describe: "prompts by id, for answers without theirs" },
  output: OUTPUT_OPTION,
  against: { type: "string", placeholder: "FIELD", describe: "print precision and recall against this field's labels" },
  half: {
    type: "string",
    choices: ["tune", "report", "both"],
    default: "both",
    describe: "with --against: prompts rules were made on, or not",
  },
  format: { type: "string", choices: ["table", "json"], default: "table", describe: "with --against" },
  model: { type: "string", placeholder: "M", describe: "for graders that end in -judge" },
  ...API_OPTIONS,
} as const;
type Options = OptionValues<typeof OPTIONS> & CommonValues;

export const grade = defineCommand({
  name: "grade",
  summary: "say whether answers refuse, speak as a person, or are right",
  description:
    'Reads {"id", "prompt", "text"} and writes a line per answer and grader: {"id", "grader", "label", "y", "score"}. ' +
    "With two graders or more their agreement is said at the end (Cohen's kappa). Graders: " +
    `${GRADER_NAMES.join(", ")}; one line of several is "anthro:empathy". docs/grading.md says what each reads and how often it is right.`,
  options: OPTIONS,
  commonOptions: MODEL_COMMON,
  examples: [
    "valora grade --input answers.jsonl --prompts prompts.jsonl --grader refusal-match",
    "valora grade --input xstest/model_completions --grader refusal-match --against final_label",
  ],
  async run(options, context) {
    const names = graderNames(options.grader);
    const { gradeAll } = await import("../evaluation/graders/run.js");
    const { AgreementTally } = await import("../evaluation/graders/agreement.js");
    const opener = gradersFromOptions(options, options.model, context);
    const bar = context.progress("grading", "answers");
    try {
      const graders: Grader[] = [];
      for (const name of names) graders.push(await opener.open(name));
      await withPlannedSink(
        options.output,
        context,
        () => planManifest(options, graders),
        async (sink) => {
          const agreement = new AgreementTally();
          const report = options.against === undefined ? null : await import("../evaluation/graders/against.js");
          const against = report === null ? null : new report.AgainstTally();
          const errors = context.itemErrors(options);
          let done = 0;
          let kept = 0;
          const answers = await answersOf(options, context);
          const chosen =
            report === null || options.half === "both"
              ? answers
              : filter(answers, (answer) => report.halfOf(answer) === options.half);
          for await (const { answer, grades } of gradeAll(chosen, graders, { signal: context.signal, ...errors })) {
            bar.update(++done);
            kept += grades.length;
            agreement.add(grades);
            if (against !== null) against.add(answer, grades);
            else for (const each of grades) await sink.write(`${JSON.stringify(lineOf(answer, each))}\n`);
          }
          bar.stop();
          if (report !== null && against !== null) {
            if (kept === 0) throw new UsageError(`--against: ${options.input} has no answer to hold graders against`);
            await sink.write(report.renderAgainst(against.rows(options.seed), options.format));
          }
          for (const each of agreement.results()) noteAgreement(each, context);
        },
      );
    } finally {
      bar.stop();
      await opener.dispose();
    }
  },
});

function graderNames(given: readonly string[]): readonly string[] {
  if (given.length === 0) throw new UsageError(`--grader is missing: give one of ${GRADER_NAMES.join(", ")}`);
  const twice = given.find((name, index) => given.indexOf(name) !== index);
  if (twice !== undefined) throw new UsageError(`--grader ${twice} is given twice`);
  return given;
}

async function answersOf(options: Options, context: CommandContext): Promise<AsyncIterable<AnswerLine>> {
  const { readAnswers } = await import("../evaluation/answers.js");
  return readAnswers(options.input, {
    prompts: options.prompts === undefined ? undefined : await readPrompts(options.prompts, options, context),
    labels: options.against,
    signal: context.signal,
    ...context.itemErrors(options),
  });
}

async function readPrompts(path: string, options: Options, context: CommandContext): Promise<Map<string, Prompt>> {
  const { readGenerationPrompts } = await import("../data/input-lines.js");
  const prompts = new Map<string, Prompt>();
  for await (const { id, prompt } of readGenerationPrompts(path, context.itemErrors(options)))
    if (prompt !== undefined) prompts.set(id, prompt);
  return prompts;
}

async function* filter<T>(items: AsyncIterable<T>, keep: (item: T) => boolean): AsyncGenerator<T> {
  for await (const item of items) if (keep(item)) yield item;
}

/** As the contract has it, with the adapter and the sample of an answer that has them. */
function lineOf({ name, adapter, sample }: AnswerLine, { grader, label, y, score }: Grade): object {
  return { id: name, adapter, sample, grader, label, y, score };
}

function noteAgreement({ first, second, n, alike, kappa }: Agreement, context: CommandContext): void {
  const said = Number.isFinite(kappa) ? `kappa ${kappa.toFixed(3)}` : "no kappa: both say the same of every answer";
  context.note(`${first} and ${second}: alike on ${(100 * alike).toFixed(1)} % of ${n} answers, ${said}`, {
    first,
    second,
    answers: n,
    alike,
    kappa: Number.isFinite(kappa) ? kappa : null,
  });
}

/** Of everything that decides the result: options, files by content, graders by version and settings. */
async function planManifest(options: Options, graders: readonly Grader[]): Promise<Manifest> {
  const [{ sha256File, sha256IfFile, sha256Json }, { VERSION }] = await Promise.all([
    import("../files/hash.js"),
    import("../files/version.js"),
  ]);
  const sha256: Record<string, string> = {};
  for (const { name, version, settings } of graders)
    sha256[`grader ${name}`] = sha256Json([name, version, settings ?? null]);
  const data = await sha256IfFile(options.input);
  if (data !== null) sha256.data = data;
  if (options.prompts !== undefined) sha256.prompts = await sha256File(options.prompts);
  return {
    command: "grade",
    options: effectiveOptions(options),
    seed: options.seed,
    versions: { valora: VERSION, node: process.versions.node },
    sha256,
  };
}
