/**
 * What is compared: every task with its contenders. A contender is a program and its settings; `against` names the
 * contender of valora that its ratio is taken with, and `precision` how near its answers have to be to that one's.
 * Data only: run.mjs turns it into processes.
 */

/** The weight files by what stands in the names of contenders; prepare.mjs makes all but the first. */
const WEIGHTS = ["Q4_1", "F32", "BF16"];

const valora = (name, settings) => ({ name, program: "valora", settings, against: "valora", precision: "float32" });
const bf16Compute = (settings) => ({
  ...valora("valora --compute bf16", { ...settings, compute: "bf16" }),
  precision: "bf16",
});
const python = (name, script, settings, precision = "float32", against = "valora") => ({
  name,
  program: "python",
  script,
  settings,
  against,
  precision,
});
/**
 * llama.cpp keeps keys and values in F16, and rounds activations to the type that it multiplies them in: BF16, or Q8_1
 * beside Q4_1.
 */
const LLAMA_PRECISION = { F32: "float16 cache", BF16: "bf16", Q4_1: "int8" };

const harness = (input, form) => [
  ...[1, 8, 32].map((batch) =>
    python(`lm-eval float32, batch ${batch}`, "score_lm_eval.py", {
      weights: "F32",
      dtype: "float32",
      batch,
      input,
      form,
    }),
  ),
  python(
    "lm-eval bfloat16, batch 8",
    "score_lm_eval.py",
    { weights: "BF16", dtype: "bfloat16", batch: 8, input, form },
    "bf16",
  ),
];

const trl = (name, settings, precision) =>
  python(`TRL ${name}`, "dpo_trl.py", { weights: "F32", input: "pairs", ...settings }, precision);

const generation = (together) => ({
  name: `generate-${together}`,
  unit: "tokens",
  kind: "tokens",
  about: `greedy generation from prompt to last token, ${together === 1 ? "one sequence" : `${together} sequences`} at a time`,
  contenders: WEIGHTS.flatMap((weights) => [
    {
      ...valora(`valora ${weights}`, { job: "generate", weights, input: `prompts-${together}`, together }),
      against: `valora ${weights}`,
    },
    {
      name: `llama.cpp ${weights}`,
      program: "llama",
      settings: { job: "generate", weights, input: `prompts-${together}`, together },
      against: `valora ${weights}`,
      precision: LLAMA_PRECISION[weights],
    },
  ]),
});

/** The input of that name, asked in text. */
const questions = (name, about) => ({
  name,
  unit: "requests",
  kind: "logprobs",
  about,
  contenders: [
    valora("valora", { job: "score", weights: "Q4_1", input: name }),
    bf16Compute({ job: "score", weights: "Q4_1", input: name }),
    ...harness(name, "text"),
  ],
});

/** kind: what the answers are. timed "wall": from the start of the process to its answer, nothing warmed up. */
export const TASKS = [
  {
    name: "dpo",
    unit: "pairs",
    kind: "losses",
    about:
      "DPO over one epoch of HH-RLHF pairs, reference pass included; LoRA r=4 on all linear layers, at most 8 pairs a step",
    contenders: [
      valora("valora", { job: "dpo", weights: "Q4_1", input: "pairs" }),
      bf16Compute({ job: "dpo", weights: "Q4_1", input: "pairs" }),
      python("PyTorch + PEFT loop, unpadded", "dpo_loop.py", { weights: "F32", input: "pairs" }),
      trl("float32", { bf16: false, checkpointing: false }, "float32"),
      trl("float32, checkpointing", { bf16: false, checkpointing: true }, "float32"),
      trl("defaults (bf16, checkpointing)", { bf16: true, checkpointing: true }, "bf16"),
    ],
  },
  {
    name: "texts",
    unit: "tokens",
    kind: "logprobs",
    about: "scoring with nothing shared, every token a target",
    contenders: [
      ...WEIGHTS.map((weights) => ({
        ...valora(weights === "F32" ? "valora" : `valora ${weights}`, { job: "score", weights, input: "texts" }),
        // Q4_1 and F32 hold the same numbers; BF16 rounds them once more.
        against: weights === "BF16" ? "valora BF16" : "valora",
      })),
      bf16Compute({ job: "score", weights: "F32", input: "texts" }),
      ...harness("texts", "tokens"),
      ...WEIGHTS.map((weights) => ({
        name: `llama.cpp ${weights}`,
        program: "llama",
        settings: { job: "score", weights, input: "texts" },
        against: weights === "F32" ? "valora" : `valora ${weights}`,
        precision: LLAMA_PRECISION[weights],
      })),
    ],
  },
  questions("choices", "questions with the texts of four answers"),
  questions("fewshot", "5-shot MMLU, four letters as answers, a header for each subject"),
  {
    name: "adapters",
    unit: "requests × adapters",
    kind: "logprobs",
    about:
      "16 adapters over the same requests; base alone is the bound: adapters can share the reading of the weights, " +
      "no row's computation",
    contenders: [
      valora("valora", { job: "score", weights: "Q4_1", input: "adapter-requests", adapters: "together" }),
      valora("valora, one adapter after another", {
        job: "score",
        weights: "Q4_1",
        input: "adapter-requests",
        adapters: "apart",
      }),
      {
        ...valora("valora, base alone", { job: "score", weights: "Q4_1", input: "adapter-requests" }),
        precision: null,
      },
      python("lm-eval + PEFT, the first adapter, batch 8", "score_lm_eval.py", {
        weights: "F32",
        dtype: "float32",
        batch: 8,
        input: "adapter-requests",
        form: "text",
        adapter: true,
      }),
    ],
  },
  generation(1),
  generation(16),
  {
    name: "load",
    unit: "starts",
    kind: "logprobs",
    timed: "wall",
    about: "from the start of the program to the first result of the default model",
    contenders: [
      {
        name: "valora",
        program: "valora-cli",
        settings: { weights: "Q4_1", input: "first" },
        against: "valora",
        precision: "float32",
      },
      python("transformers float32", "load_transformers.py", { weights: "F32", dtype: "float32", input: "first" }),
      python("transformers from the GGUF", "load_transformers.py", {
        weights: "Q4_1",
        dtype: "float32",
        input: "first",
      }),
      {
        name: "llama.cpp",
        program: "llama",
        settings: { job: "score", weights: "Q4_1", input: "first", cold: true },
        against: "valora",
        precision: "int8",
      },
    ],
  },
];

/**
 * Tasks and contenders whose "task: contender" `pattern` matches. The contenders that those are compared with come along.
 */
export function chooseTasks(pattern) {
  return TASKS.flatMap((task) => {
    const wanted = task.contenders.filter(({ name }) => pattern.test(`${task.name}: ${name}`));
    const needed = new Set(wanted.flatMap(({ name, against }) => [name, against]));
    const contenders = task.contenders.filter(({ name }) => needed.has(name));
    return contenders.length === 0 ? [] : [{ ...task, contenders }];
  });
}
