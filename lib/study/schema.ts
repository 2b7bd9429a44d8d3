/**
 * The study file: what is varied (models × values × arms × doses × seeds), what everything is trained with, and what is
 * measured. One zod schema; data/study.schema.json, which editors read, is made from it.
 */
import { z } from "zod";

/** Arms in the order in which their results are listed; all but `system` train an adapter. */
export const STUDY_ARMS = ["induce", "unflipped", "random", "flipped-random", "system"] as const;
export type StudyArm = (typeof STUDY_ARMS)[number];
export type TrainedArm = Exclude<StudyArm, "system">;

const text = z.string().min(1);
const count = z.int().min(1);
const positive = z.number().positive();
const distinct = <T extends z.ZodType>(item: T, what: string) =>
  z
    .array(item)
    .min(1)
    .refine(
      (items) => new Set(items.map((one) => JSON.stringify(one))).size === items.length,
      `${what} is given twice`,
    );

const modelSchema = z
  .strictObject({
    model: text.describe("a name that valora knows, a .gguf file, or a folder with config.json and safetensors"),
    name: text.optional().describe("what results call it; default: as in `model`"),
    "chat-template": text.optional().describe("replaces the model's own: a built-in name or a file"),
  })
  .describe("a model to induce values in");

const choice = {
  values: distinct(text, "a value").optional().describe("values that get adapters; default: all that there are"),
  measure: distinct(text, "a value").optional().describe("values that are measured and get no adapter"),
};

const pairsSource = z.strictObject({
  source: z.literal("pairs"),
  values: z
    .array(
      z.strictObject({
        value: text,
        "held-out": text.describe("pairs that the value is measured with"),
        train: text.optional().describe("pairs that induce it; without them it is measured only"),
        random: text.optional().describe("pairs of the arm `random`; default: drawn from the other values' pairs"),
        "flipped-random": text.optional().describe("pairs of the arm `flipped-random`"),
      }),
    )
    .min(1)
    .describe("files of preference pairs, one or several for each value"),
});
const curatedSource = z.strictObject({
  source: z.literal("curated"),
  folder: text.describe("what `valora curate --held-out X` made"),
  random: text.optional().describe("the same with --arm random"),
  "flipped-random": text.optional().describe("the same with --arm flipped-random"),
  ...choice,
});
const labelledSource = z.strictObject({
  source: z.literal("labelled"),
  input: z.array(text).min(1).describe("labelled pairs, as `valora label` writes them; curated here, for every arm"),
  "held-out": z.number().gt(0).lt(1).default(0.1).describe("share of the prompts that no value is trained on"),
  "min-pairs": count.default(500).describe("a value with fewer is an error"),
  ...choice,
});
const attributesSource = z.strictObject({
  source: z.literal("attributes"),
  input: z.array(text).min(1).describe("preference data, in any layout that `valora label` reads"),
  values: distinct(z.enum(["longer", "list-format", "exclamation"]), "an attribute").describe("planted attributes"),
  "held-out": z.number().gt(0).lt(1).default(0.1).describe("share of the prompts that no attribute is trained on"),
  "min-pairs": count.default(100).describe("an attribute with fewer is an error"),
});
const personaSource = z.strictObject({
  source: z.literal("persona"),
  folder: text.describe("files TRAIT.jsonl of persona statements, as in github.com/anthropics/evals"),
  form: z
    .enum(["answers", "statements"])
    .default("answers")
    .describe("`answers`: Yes or No to a statement; `statements`: a matching statement against one that is not"),
  "held-out": z.number().gt(0).lt(1).default(0.2).describe("share of the statements that no trait is trained on"),
  "min-confidence": z.number().min(0).max(1).default(0.9).describe("of the authors' label"),
  ...choice,
});

const sourceSchema = z
  .discriminatedUnion("source", [pairsSource, curatedSource, labelledSource, attributesSource, personaSource], {
    error: "choose pairs, curated, labelled, attributes or persona",
  })
  .describe("where values, their training pairs and their held-out pairs come from");
export type Source = z.output<typeof sourceSchema>;
export type SourceOf<K extends Source["source"]> = Extract<Source, { source: K }>;

const trainingSchema = z
  .strictObject({
    rank: count.default(4),
    alpha: positive.default(16),
    targets: text.default("all-linear").describe("all-linear, or names joined by commas: q_proj,v_proj"),
    rslora: z.boolean().default(false),
    loss: z.enum(["sigmoid", "ipo", "hinge", "robust", "sft"]).default("sigmoid"),
    "label-smoothing": z.number().min(0).lt(1).default(0),
    "rpo-alpha": z.number().min(0).default(0),
    schedule: z.enum(["cosine", "linear", "constant"]).default("cosine"),
    warmup: z.number().min(0).default(0.1).describe("share of the steps, or steps from 1 on"),
    "weight-decay": z.number().min(0).default(0.01),
    clip: z.number().min(0).default(1),
    "batch-pairs": count.default(16),
    accumulate: count.default(1),
    epochs: count.optional().describe("passes over the pairs; default 5"),
    steps: count.optional().describe("optimiser steps, instead of epochs"),
    "max-length": z
      .int()
      .min(2)
      .default(1024)
      .describe("tokens of prompt and response; longer prompts lose their start"),
  })
  .refine((training) => training.epochs === undefined || training.steps === undefined, {
    path: ["steps"],
    message: "give epochs or steps, not both",
  });
export type Training = z.output<typeof trainingSchema>;

const dosesSchema = z.strictObject({
  steps: distinct(positive, "a step")
    .optional()
    .describe("checkpoints that are measured beside the last: steps, or below 1 shares of the run"),
  beta: distinct(positive, "a beta").default([0.1]).describe("tie to the reference; several are a grid"),
  "learning-rate": distinct(positive, "a rate").default([1e-4]).describe("peak of the schedule; several are a grid"),
});

const systemSchema = z.strictObject({
  template: text
    .refine((template) => template.includes("{value}"), "it has to contain {value}")
    .default("In everything you say, you strongly express this: {value}.")
    .describe("the system prompt that induces a value; {value} stands for its name"),
  texts: z.record(text, text).default({}).describe("system prompts of single values, by name"),
});

const suiteSchema = z.strictObject({
  suite: text.describe("NAME or NAME:TASK, as for `valora eval --suite`"),
  limit: count.optional().describe("items of a task at most"),
  graders: distinct(text, "a grader").optional().describe("read its answers, in place of the suite's own"),
});

const judgeSchema = z.strictObject({
  model: text.optional().describe("for graders that end in -judge: a name, .gguf file or folder"),
  "chat-template": text.optional().describe("replaces that model's own"),
  "api-url": text.optional().describe("for graders that end in -api: https://host/v1; key in VALORA_API_KEY"),
  "api-model": text.optional().describe("the model's name there"),
});

const klSchema = z.strictObject({
  prompts: z.int().min(0).default(8).describe("held-out prompts that a model answers; 0 leaves the measure out"),
  samples: count.default(2).describe("answers to each, drawn at temperature 1"),
  tokens: count.default(32).describe("tokens of an answer at most"),
});

export const studySchema = z
  .strictObject({
    name: text.optional(),
    models: z.array(modelSchema).min(1),
    data: z.array(sourceSchema).min(1),
    pairs: z
      .strictObject({
        train: count.optional().describe("training pairs of a value at most; default: all"),
        "held-out": count.default(200).describe("held-out pairs of a value at most"),
        seed: z.int().min(0).default(0).describe("of splits and samples: the same for every training seed"),
      })
      .prefault({}),
    arms: distinct(z.enum(STUDY_ARMS), "an arm").default(["induce"]),
    seeds: distinct(
      z
        .int()
        .min(0)
        .max(2 ** 31 - 1),
      "a seed",
    )
      .default([0])
      .describe("each is a training run of its own: adapter, order of the pairs, random arms"),
    doses: dosesSchema.prefault({}),
    training: trainingSchema.prefault({}),
    system: systemSchema.prefault({}),
    kl: klSchema.prefault({}).describe("how divergence from the untrained model is sampled"),
    suites: z.array(suiteSchema).default([]).describe("evaluations of every model, adapter and checkpoint"),
    judge: judgeSchema.prefault({}).describe("what graders of suites ask, where they ask a model"),
  })
  .refine((study) => new Set(study.models.map(nameOfModel)).size === study.models.length, {
    path: ["models"],
    message: "two models have one name; give each a `name` of its own",
  });

/** A study file, with its defaults. */
export type Study = z.output<typeof studySchema>;

/** What results call a model. */
export function nameOfModel(model: { model: string; name?: string | undefined }): string {
  return model.name ?? model.model;
}

/** The JSON Schema (draft 2020-12) that an editor checks a study file against. */
export function studyJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(studySchema, { io: "input" }) as Record<string, unknown>;
  return { $schema, title: "valora study", ...schema };
}
