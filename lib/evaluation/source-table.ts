/** The data sets that suites read: who made each, where it is published, and under which licence. */

export interface Source {
  title: string;
  /** Authors, as they are usually cited. */
  maker: string;
  /** Where it is published. */
  url: string;
  licence: string;
  /** Names of folders that it is kept in. */
  folders: readonly string[];
}

export const SOURCES = {
  mmlu: {
    title: "MMLU",
    maker: "Hendrycks et al. 2021",
    url: "https://github.com/hendrycks/test",
    licence: "MIT",
    folders: ["mmlu", "hendrycks_test", "hendrycksTest", "MMLU"],
  },
  truthfulqa: {
    title: "TruthfulQA",
    maker: "Lin, Hilton and Evans 2022",
    url: "https://github.com/sylinrl/TruthfulQA",
    licence: "Apache-2.0",
    folders: ["truthfulqa", "TruthfulQA", "truthful_qa"],
  },
  gsm8k: {
    title: "GSM8K",
    maker: "Cobbe et al. 2021",
    url: "https://github.com/openai/grade-school-math",
    licence: "MIT",
    folders: ["gsm8k", "grade_school_math", "grade-school-math"],
  },
  arc: {
    title: "ARC",
    maker: "Clark et al. 2018",
    url: "https://allenai.org/data/arc",
    licence: "CC BY-SA 4.0",
    folders: ["arc", "ai2_arc", "ARC-V1-Feb2018", "ARC-V1-Feb2018-2"],
  },
  piqa: {
    title: "PIQA",
    maker: "Bisk et al. 2020",
    url: "https://yonatanbisk.com/piqa",
    licence: "AFL-3.0",
    folders: ["piqa", "physicaliqa-train-dev"],
  },
  hellaswag: {
    title: "HellaSwag",
    maker: "Zellers et al. 2019",
    url: "https://github.com/rowanz/hellaswag",
    licence: "MIT",
    folders: ["hellaswag"],
  },
  wikitext2: {
    title: "WikiText-2 (raw)",
    maker: "Merity et al. 2017",
    url: "https://huggingface.co/datasets/Salesforce/wikitext",
    licence: "CC BY-SA 3.0 and GFDL",
    folders: ["wikitext2", "wikitext-2-raw", "wikitext-2-raw-v1", "wikitext"],
  },
  persona: {
    title: "Model-written persona statements",
    maker: "Perez et al. 2022, Anthropic",
    url: "https://github.com/anthropics/evals",
    licence: "CC BY 4.0",
    folders: ["persona", "anthropic_evals/persona"],
  },
  advbench: {
    title: "AdvBench",
    maker: "Zou et al. 2023",
    url: "https://github.com/llm-attacks/llm-attacks",
    licence: "MIT",
    folders: ["advbench"],
  },
  harmbench: {
    title: "HarmBench",
    maker: "Mazeika et al. 2024",
    url: "https://github.com/centerforaisafety/HarmBench",
    licence: "MIT",
    folders: ["harmbench", "behavior_datasets"],
  },
  strongreject: {
    title: "StrongREJECT",
    maker: "Souly et al. 2024",
    url: "https://github.com/alexandrasouly/strongreject",
    licence: "MIT",
    folders: ["strongreject", "strongreject_dataset"],
  },
  xstest: {
    title: "XSTest",
    maker: "Röttger et al. 2024",
    url: "https://github.com/paul-rottger/exaggerated-safety",
    licence: "CC BY 4.0",
    folders: ["xstest", "exaggerated-safety"],
  },
  refusal_direction: {
    title: "Instructions of the refusal-direction work",
    maker: "Arditi et al. 2024",
    url: "https://github.com/andyrdt/refusal_direction",
    licence: "not stated; the harmless ones CC BY-NC 4.0 (Alpaca)",
    folders: ["refusal_direction"],
  },
  anthrobench: {
    title: "AnthroBench",
    maker: "Ibrahim et al. 2025, Google DeepMind",
    url: "https://github.com/google-deepmind/anthro-benchmark",
    licence: "Apache-2.0",
    folders: ["anthrobench", "anthro_benchmark/prompt_sets"],
  },
  sycophancy: {
    title: "Model-written sycophancy questions",
    maker: "Perez et al. 2022, Anthropic",
    url: "https://github.com/anthropics/evals",
    licence: "CC BY 4.0",
    folders: ["sycophancy", "anthropic_evals/sycophancy"],
  },
  mwe_sycophancy_derived: {
    title: "Sycophancy questions with neutral twins",
    maker: "kennyegan/Mitigating-Sycophancy, after Perez et al. 2022",
    url: "https://github.com/kennyegan/Mitigating-Sycophancy",
    licence: "MIT; CC BY 4.0 upstream",
    folders: ["mwe_sycophancy_derived", "ood_prompts"],
  },
  sycophancy_freeform: {
    title: "Pushback scenarios",
    maker: "kennyegan/Mitigating-Sycophancy",
    url: "https://github.com/kennyegan/Mitigating-Sycophancy",
    licence: "MIT",
    folders: ["sycophancy_freeform", "freeform"],
  },
  syco_bench: {
    title: "syco-bench",
    maker: "Tim Duffy 2025",
    url: "https://github.com/timfduffy/syco-bench",
    licence: "MIT-0",
    folders: ["syco_bench", "syco-bench"],
  },
  own: {
    title: "The user's own data",
    maker: "the user",
    url: "a path",
    licence: "the user's",
    folders: [],
  },
} as const satisfies Record<string, Source>;

export type SourceName = keyof typeof SOURCES;
