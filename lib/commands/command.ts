/**
 * What a command is: one table of options that the parser, the config file, the help screen and the types of `run`
 * all read, so that they cannot disagree.
 */
import type { CommandContext } from "./context.js";

interface OptionBase {
  /** What the help screen calls the value, e.g. "FILE"; left out for booleans and choices. */
  readonly placeholder?: string;
  /** One phrase, lower case, no full stop: it has to fit a line of the help screen. */
  readonly describe: string;
  readonly required?: true;
}

export interface StringOption extends OptionBase {
  readonly type: "string";
  readonly default?: string;
  readonly choices?: readonly string[];
}
/** May be given several times. */
export interface StringsOption extends OptionBase {
  readonly type: "strings";
}
export interface NumberOption extends OptionBase {
  readonly type: "number" | "integer";
  readonly default?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  /** The minimum itself is not allowed. */
  readonly aboveMinimum?: true;
}
/** A number of bytes, written 8GiB, 512MiB, 2GB or plain. */
export interface BytesOption extends OptionBase {
  readonly type: "bytes";
}
/** Where the default is true, help and command line use the `--no-` form. */
export interface BooleanOption extends OptionBase {
  readonly type: "boolean";
  readonly default: boolean;
}
export type Option = StringOption | StringsOption | NumberOption | BytesOption | BooleanOption;
export type OptionTable = Readonly<Record<string, Option>>;

type ValueOf<O extends Option> = O extends { type: "string"; choices: readonly (infer C)[] }
  ? C
  : O extends { type: "string" }
    ? string
    : O extends { type: "strings" }
      ? string[]
      : O extends { type: "boolean" }
        ? boolean
        : number;
type Certain<O extends Option> = O extends
  | { required: true }
  | { default: string | number | boolean }
  | { type: "strings" }
  ? true
  : false;

/** The parsed options: present where required or with a default, an empty list where a repeatable one is absent. */
export type OptionValues<T extends OptionTable> = {
  readonly [K in keyof T]: Certain<T[K]> extends true ? ValueOf<T[K]> : ValueOf<T[K]> | undefined;
};

export interface Positional {
  /** As the help screen shows it. */
  readonly placeholder: string;
  readonly describe: string;
  /** Any number of these words, each given once; exactly one word, of any kind, where this is left out. */
  readonly among?: readonly string[];
}

export interface Command<T extends OptionTable = OptionTable> {
  readonly name: string;
  /** One phrase for the list of commands. */
  readonly summary: string;
  /** A sentence or two on top of the command's own help screen. */
  readonly description: string;
  readonly positional?: Positional;
  readonly options: T;
  /** Which of the common options mean something here; the others are accepted and not shown. */
  readonly commonOptions: readonly CommonOptionName[];
  readonly examples: readonly string[];
  run(options: OptionValues<T> & CommonValues, context: CommandContext, positionals: readonly string[]): Promise<void>;
}

/** Options that every command takes. */
export const COMMON_OPTIONS = {
  device: {
    type: "string",
    choices: ["auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:3", "reference"],
    default: "auto",
    describe: "where to compute",
  },
  compute: {
    type: "string",
    choices: ["float32", "bf16"],
    default: "float32",
    describe: "arithmetic of matrix products",
  },
  threads: {
    type: "integer",
    placeholder: "N",
    minimum: 1,
    describe: "CPU threads (all cores); results do not depend on it",
  },
  memory: { type: "bytes", placeholder: "SIZE", describe: "limit such as 8GiB (80 % of what is free)" },
  seed: {
    type: "integer",
    placeholder: "N",
    default: 0,
    minimum: 0,
    maximum: 2 ** 31 - 1,
    describe: "seed of every random choice",
  },
  "on-error": {
    type: "string",
    choices: ["fail", "skip"],
    default: "fail",
    describe: "at a bad input line",
  },
  config: {
    type: "string",
    placeholder: "FILE",
    describe: "YAML or JSON of options; command line wins",
  },
  quiet: { type: "boolean", default: false, describe: "no notes, no progress" },
  "json-logs": { type: "boolean", default: false, describe: "notes and progress as JSON lines on stderr" },
  debug: { type: "boolean", default: false, describe: "stack trace with a failure" },
} as const satisfies OptionTable;
export type CommonOptionName = keyof typeof COMMON_OPTIONS;
export type CommonValues = OptionValues<typeof COMMON_OPTIONS>;

/** Common options of commands that run a model, read lines, or neither. */
export const MODEL_COMMON: readonly CommonOptionName[] = [
  "device",
  "compute",
  "threads",
  "memory",
  "seed",
  "on-error",
  "config",
  "quiet",
  "json-logs",
  "debug",
];
export const PLAIN_COMMON: readonly CommonOptionName[] = ["config", "quiet", "json-logs", "debug"];

/** Options that several commands share, worded once. */
export const MODEL_OPTION = {
  type: "string",
  placeholder: "M",
  required: true,
  describe: "name, .gguf file or safetensors folder",
} as const satisfies Option;
export const INPUT_OPTION = {
  type: "string",
  placeholder: "FILE",
  required: true,
  describe: "JSON Lines, .gz or not; - is standard input",
} as const satisfies Option;
export const OUTPUT_OPTION = {
  type: "string",
  placeholder: "FILE",
  describe: "file, made when complete (standard output)",
} as const satisfies Option;
export const TEMPLATE_OPTION = {
  type: "string",
  placeholder: "T",
  describe: "FILE|chatml|llama3|mistral|olmo2|human-assistant",
} as const satisfies Option;
export const ADAPTER_OPTION = {
  type: "strings",
  placeholder: "NAME=DIR",
  describe: "repeatable; base has no DIR: the model alone (base)",
} as const satisfies Option;

/** Keeps the literal types of the table, so that `run` sees exact option types. */
export function defineCommand<const T extends OptionTable>(command: Command<T>): Command<T> {
  return command;
}

/** A command whose table has been forgotten: what the parser and the list of commands handle. */
export type AnyCommand = Omit<Command, "run"> & {
  run(options: never, context: CommandContext, positionals: readonly string[]): Promise<void>;
};
