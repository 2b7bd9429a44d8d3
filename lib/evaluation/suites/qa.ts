/** Question answering: sets that others publish figures on, and files of the user's. */
import type { Suite } from "../task.js";
import { GSM8K_TASKS } from "./qa/gsm8k.js";
import { MMLU_TASKS } from "./qa/mmlu.js";
import { questionFiles, SET_TASKS } from "./qa/sets.js";
import { TRUTHFULQA_TASKS } from "./qa/truthfulqa.js";

export const suite: Suite = {
  name: "qa",
  about: "knowledge and reasoning, in lm-evaluation-harness's prompts",
  tasks: [...MMLU_TASKS, ...TRUTHFULQA_TASKS, ...GSM8K_TASKS, ...SET_TASKS],
  open: questionFiles,
};
