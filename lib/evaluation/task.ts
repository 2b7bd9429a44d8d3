/**
 * What a suite is made of. A task is declarative: it says what to ask and how an answer is read, and knows nothing of the
 * engine. So one pass serves all adapters, and a plan can count tokens without running anything.
 */
import type { Prompt } from "../engine/encode.js";
import type { ScoreRequest, ScoreResult } from "../engine/score.js";
import type { DataSources, SourceName } from "./sources.js";

export interface Suite {
  /** What `--suite` calls it. */
  name: string;
  /** One phrase for the list of suites. */
  about: string;
  /** A function where they depend on what lies in the folder of `--data`. */
  tasks: readonly Task[] | ((data: DataSources) => Promise<readonly Task[]>);
  /** Tasks of a file or folder of the user's: `--suite NAME:file=PATH`. Suites without it take none. */
  open?(path: string): Promise<readonly Task[]>;
}

export interface Task {
  suite: string;
  /** Unique within the suite: `--suite SUITE:NAME`. */
  name: string;
  /** One phrase for the list of suites. */
  about: string;
  /** Left out where the suite is asked for by its name alone: it needs something that not everyone has. */
  onDemand?: true;
  /** Tasks that are also summed up together, item by item, and asked for by this name: the subjects of MMLU. */
  group?: string;
  source: SourceName;
  /** Grows when the same data give other questions or other readings. */
  version: string;
  /** Where scoring starts when a token spans context and completion; default "longest". */
  boundary?: "longest" | "harness";
  /** Who reads the answers of generation questions, unless others are asked for: the metric by the grader's name. */
  graders?: Readonly<Record<string, string>>;
  /** Summary rows made of sums over items, by metric; the parts get no rows of their own. */
  ratios?: Readonly<Record<string, Ratio>>;
  /** The questions, always the same ones in the same order for the same options. */
  load(data: DataSources, options: LoadOptions): AsyncIterable<Question> | Iterable<Question>;
}

/** A summary row over a whole task: f(Σ over / Σ by), each sum over the items of these metrics. */
export interface Ratio {
  over: string;
  by: string;
  /** "exp": e to the ratio (perplexity from nats); "bits": the ratio of nats divided by ln 2. Default: the ratio. */
  scale?: "exp" | "bits";
}

export interface LoadOptions {
  /** At most so many questions. */
  limit?: number | undefined;
  /** Of whatever a task draws. */
  seed: number;
  /** The model's answers in a conversation; default 5. */
  turns?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told what a user should know of the data: a sample instead of the whole, rows left out. */
  onNote?: ((message: string) => void) | undefined;
}

export type Question = LikelihoodQuestion | GenerationQuestion;

interface QuestionBase {
  /** Unique within the task. */
  id: string;
  /** Questions of one cluster are not independent. */
  cluster: string;
}

/** Answered by log-probabilities of given completions. */
export interface LikelihoodQuestion extends QuestionBase {
  kind: "likelihood";
  /** Their ids are ignored; requests that follow one another and have the same context share its computation. */
  requests: Omit<ScoreRequest, "id">[];
  /**
   * The completions are whole turns of the assistant: the end-of-turn token is scored with them, once, and context and
   * completion are brought into tokens apart, as training does. Requests in tokens stay as they are.
   */
  wholeTurns?: true;
  /**
   * @param results one list for each request, one result for each of its completions
   * @returns y by metric; every question of a task names the same metrics
   */
  read(results: readonly (readonly ScoreResult[])[]): Record<string, number>;
}

/** Answered by text that the model writes. */
export interface GenerationQuestion extends QuestionBase {
  kind: "generation";
  prompt: Prompt;
  /** The same for every question of a task, as are temperature and samples. */
  maxNewTokens: number;
  /** 0 (default) = greedy. */
  temperature?: number;
  /** Answers to each prompt; default 1. */
  samples?: number;
  /** The answer ends before the first of these texts. */
  stop?: readonly string[];
  /** The prompt opens a conversation, which a simulated user goes on with. One answer to each turn: `samples` is 1. */
  conversation?: Conversation;
  /** For graders that look for a value. */
  value?: string;
  /** For graders that compare. */
  reference?: string;
  /** Metrics that need no grader: y by metric. */
  read?(text: string, info: AnswerInfo): Record<string, number>;
}

export interface Conversation {
  /** The model's answers in it; at least 1. */
  turns: number;
  /** Who the user is and what about: what the simulator is told, in the second person. */
  user: string;
}

export interface AnswerInfo {
  /** Before the text was cut at a stop; null where an endpoint does not say. */
  tokens: number | null;
  /** "stop" also where a stop text ended it. */
  finish: "stop" | "length";
}
