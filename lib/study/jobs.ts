/**
 * What a study is made of: jobs, as plain checked data that any runner can take (this process now, a worker of a queue
 * as well), and cells, which say under which names a job's results stand in the table.
 *
 * A job's key is a hash of everything that its result depends on: weights and text of the model, bytes of the pairs,
 * options, backend, and the version of the code that does it. Names do not go in: a study that renames a value, or two
 * arms that come to the same pairs, share the work.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { type PairFile, pairFileSchema } from "./data/pair-file.js";
import type { StudyData, StudyValue } from "./data/prepare.js";
import { trainingFile } from "./data/prepare.js";
import { STUDY_ARMS, type Study, type StudyArm, type TrainedArm } from "./schema.js";
import type { StudySuite } from "./suites.js";
import { neutralPrompt, systemPrompt } from "./system-prompt.js";

/** Raised where the same job would come to other results: a change of a measure or of the way pairs are drawn. */
const CODE = { train: 1, crosstalk: 1, kl: 1, suite: 2 } as const;

export const keySchema = z.string().regex(/^[a-z]+-[0-9a-f]{20}$/);

export const modelRefSchema = z.object({
  name: z.string(),
  model: z.string(),
  chatTemplate: z.string().optional(),
  /** SHA-256 over weights, shape, tokenizer and chat template. */
  identity: z.string(),
});
export type ModelRef = z.infer<typeof modelRefSchema>;

const shared = {
  key: keySchema,
  /** For people: the first of the cells that want it. */
  label: z.string(),
  model: modelRefSchema,
  /** Keys of jobs that have to be done before. */
  needs: z.array(keySchema),
};

const trainJobSchema = z.object({
  ...shared,
  kind: z.literal("train"),
  pairs: pairFileSchema,
  adapter: z.object({ rank: z.int(), alpha: z.number(), targets: z.string(), rslora: z.boolean() }),
  /** As `trainDpo` takes them. */
  training: z.object({
    loss: z.enum(["sigmoid", "ipo", "hinge", "robust", "sft"]),
    beta: z.number(),
    labelSmoothing: z.number(),
    rpoAlpha: z.number(),
    learningRate: z.number(),
    schedule: z.enum(["cosine", "linear", "constant"]),
    warmup: z.number(),
    weightDecay: z.number(),
    clip: z.number(),
    batchPairs: z.int(),
    accumulate: z.int(),
    epochs: z.int().optional(),
    steps: z.int().optional(),
    maxLength: z.int(),
  }),
  seed: z.int(),
  /** Checkpoints that stay beside the end: steps, or below 1 shares of the run. */
  doses: z.array(z.number()),
});
export type TrainJob = z.infer<typeof trainJobSchema>;

/** Whose answers are measured. */
const subjectSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("base") }),
  z.object({ kind: z.literal("system"), text: z.string() }),
  z.object({
    kind: z.literal("adapter"),
    train: keySchema,
    /** One of the job's doses; null is the end of the run. */
    dose: z.number().nullable(),
  }),
]);
export type Subject = z.infer<typeof subjectSchema>;

const measureSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("crosstalk"),
    values: z.array(z.object({ value: z.string(), pairs: pairFileSchema })),
  }),
  z.object({
    kind: z.literal("kl"),
    values: z.array(z.object({ value: z.string(), pairs: pairFileSchema })),
    prompts: z.int(),
    samples: z.int(),
    tokens: z.int(),
  }),
  z.object({
    kind: z.literal("suite"),
    suite: z.string(),
    limit: z.int().optional(),
    /** Folder that its data are looked for in. */
    data: z.string().optional(),
    /** SHA-256 over its questions. */
    hash: z.string(),
    /** In place of the tasks' own. */
    graders: z.array(z.string()).optional(),
    /** Whom those of them ask that end in -judge. */
    judge: modelRefSchema.optional(),
    /** Whom those ask that end in -api; the key is never part of a job. */
    api: z.object({ url: z.string(), model: z.string() }).optional(),
  }),
]);
export type Measure = z.infer<typeof measureSchema>;
export type SuiteMeasure = Extract<Measure, { kind: "suite" }>;

const evaluateJobSchema = z.object({
  ...shared,
  /** `reference` measures the untrained model, for all. */
  kind: z.enum(["reference", "evaluate"]),
  subject: subjectSchema,
  measure: measureSchema,
});
export type EvaluateJob = z.infer<typeof evaluateJobSchema>;

export const jobSchema = z.discriminatedUnion("kind", [trainJobSchema, evaluateJobSchema]);
export type Job = z.infer<typeof jobSchema>;

/** A row of names in the results, and the jobs that hold its numbers. */
export interface Cell {
  model: string;
  /** What items call it: unique within the model. */
  adapter: string;
  value?: string;
  arm?: StudyArm | "system-neutral";
  seed?: number;
  beta?: number;
  learningRate?: number;
  dose?: number | null;
  train?: string;
  /** Keys of the jobs that measured it, in the order of the results. */
  evaluations: string[];
}

export interface Expansion {
  /** Each after those that it needs. */
  jobs: Job[];
  cells: Cell[];
}

/**
 * All jobs of a study, in an order in which they can run, and its cells, in the order of the results. Pure.
 *
 * @param backend device and arithmetic, as training names them: they have a say in the last bits
 */
export function expand(
  study: Study,
  data: StudyData,
  models: readonly ModelRef[],
  backend: string,
  suites: readonly StudySuite[] = [],
): Expansion {
  const jobs = new Map<string, Job>();
  const cells: Cell[] = [];
  for (const model of models) {
    const expander = new Expander(study, data, model, backend, suites, jobs);
    cells.push(...expander.cells());
  }
  const rank = { reference: 0, train: 1, evaluate: 2 };
  const place = new Map(models.map(({ identity }, index) => [identity, index]));
  const sorted = [...jobs.values()].sort(
    (left, right) =>
      place.get(left.model.identity)! - place.get(right.model.identity)! || rank[left.kind] - rank[right.kind],
  );
  return { jobs: sorted, cells };
}

class Expander {
  private readonly references: string[];

  constructor(
    private readonly study: Study,
    private readonly data: StudyData,
    private readonly model: ModelRef,
    private readonly backend: string,
    private readonly suites: readonly StudySuite[],
    private readonly jobs: Map<string, Job>,
  ) {
    const name = `${model.name}: base`;
    this.references = [this.crosstalk(), ...this.suiteMeasures()].map((measure) =>
      this.measure({ kind: "base" }, "reference", name, [], measure),
    );
  }

  cells(): Cell[] {
    const cells: Cell[] = [{ model: this.model.name, adapter: "base", evaluations: this.references }];
    for (const value of this.data.values.filter(({ train }) => train.size > 0)) {
      // In one order whatever the file's: equal studies give equal bytes.
      for (const arm of STUDY_ARMS.filter((one) => this.study.arms.includes(one))) {
        if (arm === "system") cells.push(...this.systemCells(value));
        else for (const seed of this.study.seeds) cells.push(...this.trainedCells(value, arm, seed));
      }
    }
    return cells;
  }

  private trainedCells(value: StudyValue, arm: TrainedArm, seed: number): Cell[] {
    const pairs = trainingFile(value, arm, seed);
    if (pairs === undefined) return [];
    const { beta: betas, "learning-rate": rates, steps = [] } = this.study.doses;
    const cells: Cell[] = [];
    for (const beta of betas) {
      for (const learningRate of rates) {
        const grid = [betas.length > 1 ? `beta-${beta}` : "", rates.length > 1 ? `lr-${learningRate}` : ""];
        const name = [value.value, arm, `seed-${seed}`, ...grid].filter((part) => part !== "").join("/");
        const train = this.train(`${this.model.name}: ${name}`, pairs, seed, beta, learningRate);
        for (const dose of [...[...steps].sort(byDose), null]) {
          const subject = { kind: "adapter" as const, train, dose };
          const place = dose === null ? "end" : `at ${dose}`;
          cells.push({
            model: this.model.name,
            adapter: name,
            value: value.value,
            arm,
            seed,
            beta,
            learningRate,
            dose,
            train,
            evaluations: this.evaluate(subject, `${this.model.name}: ${name}, ${place}`, [train]),
          });
        }
      }
    }
    return cells;
  }

  /** The value's system prompt, and a neutral one of as many words. */
  private systemCells({ value }: StudyValue): Cell[] {
    const text = systemPrompt(this.study.system, value);
    const make = (adapter: string, prompt: string, named: Partial<Cell>): Cell => ({
      model: this.model.name,
      adapter,
      ...named,
      evaluations: this.evaluate({ kind: "system", text: prompt }, `${this.model.name}: ${adapter}`, []),
    });
    return [
      make(`${value}/system`, text, { value, arm: "system" }),
      make(`${value}/system-neutral`, neutralPrompt(text), { value, arm: "system-neutral" }),
    ];
  }

  private train(label: string, pairs: PairFile, seed: number, beta: number, learningRate: number): string {
    const { training, doses } = this.study;
    const { rank, alpha, targets, rslora } = training;
    const job: Omit<TrainJob, "key"> = {
      kind: "train",
      label,
      model: this.model,
      needs: this.references,
      pairs,
      adapter: { rank, alpha, targets, rslora },
      training: {
        loss: training.loss,
        beta,
        labelSmoothing: training["label-smoothing"],
        rpoAlpha: training["rpo-alpha"],
        learningRate,
        schedule: training.schedule,
        warmup: training.warmup,
        weightDecay: training["weight-decay"],
        clip: training.clip,
        batchPairs: training["batch-pairs"],
        accumulate: training.accumulate,
        ...(training.steps === undefined ? { epochs: training.epochs ?? 5 } : { steps: training.steps }),
        maxLength: training["max-length"],
      },
      seed,
      doses: [...(doses.steps ?? [])].sort(byDose),
    };
    return this.add("train", job, [CODE.train, pairs.sha256, job.adapter, job.training, seed, job.doses]);
  }

  /** Crosstalk, divergence, and the suites. */
  private evaluate(subject: Subject, label: string, needs: string[]): string[] {
    const all = [...this.references, ...needs];
    const kl = this.study.kl.prompts === 0 ? [] : [this.kl()];
    const measures = [this.crosstalk(), ...kl, ...this.suiteMeasures()];
    return measures.map((measure) => this.measure(subject, "evaluate", label, all, measure));
  }

  private measure(
    subject: Subject,
    kind: EvaluateJob["kind"],
    label: string,
    needs: string[],
    measure: Measure,
  ): string {
    const contents =
      measure.kind === "suite"
        ? [measure.hash, measure.graders, measure.judge?.identity, measure.api]
        : { ...measure, values: measure.values.map(({ value, pairs }) => [value, pairs.sha256]) };
    return this.add("evaluate", { kind, label, model: this.model, needs, subject, measure }, [
      CODE[measure.kind],
      subject,
      contents,
    ]);
  }

  private crosstalk(): Measure {
    return { kind: "crosstalk", values: heldOutOf(this.data) };
  }

  private kl(): Measure {
    const { prompts, samples, tokens } = this.study.kl;
    return { kind: "kl", values: heldOutOf(this.data), prompts, samples, tokens };
  }

  private suiteMeasures(): Measure[] {
    return this.suites.map(({ measure }) => measure);
  }

  private add(prefix: string, job: Omit<TrainJob, "key"> | Omit<EvaluateJob, "key">, facts: unknown[]): string {
    const text = JSON.stringify([prefix, this.model.identity, this.backend, ...facts]);
    const key = `${prefix}-${createHash("sha256").update(text).digest("hex").slice(0, 20)}`;
    if (!this.jobs.has(key)) this.jobs.set(key, { ...job, key } as Job);
    return key;
  }
}

/** What every value is measured with. */
export function heldOutOf({ values }: StudyData): { value: string; pairs: PairFile }[] {
  return values.map(({ value, heldOut }) => ({ value, pairs: heldOut }));
}

/** Shares of the run first, then steps, each ascending. */
function byDose(left: number, right: number): number {
  return left - right;
}
