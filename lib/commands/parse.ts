/**
 * The command line: argv → a command and its checked options, a help screen, or the version. yargs reads the words;
 * ranges, choices and the config file are checked here, so that every complaint names the option, what was expected
 * and what arrived.
 */
import yargs from "yargs";
import { UsageError } from "../errors.js";
import { type AnyCommand, COMMON_OPTIONS, type Option, type OptionTable } from "./command.js";
import { readConfigFile } from "./config-file.js";

export interface ParsedCommand {
  /** Every option of the command and every common one; undefined where there is neither value nor default. */
  options: Record<string, unknown>;
  positionals: string[];
}

/**
 * Reads the words after the command's name.
 * @throws UsageError naming the option, what was expected, what arrived.
 */
export function parseCommandLine(words: readonly string[], command: AnyCommand): ParsedCommand {
  const table: OptionTable = { ...COMMON_OPTIONS, ...command.options };
  const given = readWords(words, table, command);
  const positionals = given._.map(String);
  checkPositionals(positionals, command);
  const options: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(table)) {
    const value = given[name];
    if (value === undefined) {
      if (option.required === true) throw usage(command, `--${name} is required`);
      options[name] = option.type === "strings" ? [] : "default" in option ? option.default : undefined;
    } else {
      options[name] = checkValue(name, option, value, command);
    }
  }
  return { options, positionals };
}

function checkPositionals(words: readonly string[], command: AnyCommand): void {
  const { positional } = command;
  if (positional?.among !== undefined) {
    for (const [index, word] of words.entries()) {
      if (!positional.among.includes(word))
        throw usage(command, `"${word}" has to be one of ${positional.among.join(", ")}`);
      if (words.indexOf(word) !== index) throw usage(command, `${word} is given twice`);
    }
    return;
  }
  if (words.length > (positional === undefined ? 0 : 1))
    throw usage(command, `unexpected argument "${words[words.length - 1]}"`);
  if (positional !== undefined && words.length === 0) throw usage(command, `${positional.placeholder} is missing`);
}

/** yargs over one command's words. Everything stays a string (or boolean) until `checkValue`. */
function readWords(
  words: readonly string[],
  table: OptionTable,
  command: AnyCommand,
): { _: (string | number)[]; [name: string]: unknown } {
  const flags = Object.entries(table).filter(([, option]) => option.type === "boolean");
  const valued = Object.entries(table).filter(([, option]) => option.type !== "boolean");
  const parser = yargs()
    .exitProcess(false)
    .help(false)
    .version(false)
    .showHelpOnFail(false)
    .parserConfiguration({
      "camel-case-expansion": false,
      "dot-notation": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "strip-dashed": false,
    })
    .boolean(flags.map(([name]) => name))
    .string(valued.map(([name]) => name))
    .nargs(Object.fromEntries(valued.map(([name]) => [name, 1])))
    .config("config", (path) => readConfigFile(path, table, command.name))
    .strictOptions()
    .fail((message, error) => {
      throw error instanceof UsageError ? error : usage(command, translate(message ?? error.message));
    });
  return parser.parseSync([...words]) as { _: (string | number)[]; [name: string]: unknown };
}

/** yargs' sentences in the words used here. */
function translate(message: string): string {
  const unknown = /^Unknown arguments?: (.+)$/.exec(message);
  if (unknown !== null) {
    const names = unknown[1]!.split(", ").map((name) => `--${name}`);
    return `${names.join(", ")} ${names.length > 1 ? "are not options" : "is not an option"} of this command`;
  }
  const missing = /^Not enough arguments following: (.+)$/.exec(message);
  if (missing !== null) return `--${missing[1]} needs a value`;
  return message.replaceAll("\n", " ");
}

function usage(command: AnyCommand, complaint: string): UsageError {
  return new UsageError(`${complaint}; \`valora ${command.name} --help\` lists what it takes`);
}

/** Turns what was written into the option's type, or says what it should have been. */
function checkValue(name: string, option: Option, value: unknown, command: AnyCommand): unknown {
  const wrong = (expected: string): UsageError =>
    usage(command, `--${name} has to be ${expected}, not "${String(value)}"`);
  if (option.type === "strings") {
    const list = Array.isArray(value) ? value : [value];
    return list.map(String);
  }
  if (Array.isArray(value)) throw usage(command, `--${name} is given ${value.length} times and takes one value`);
  switch (option.type) {
    case "boolean":
      if (typeof value !== "boolean") throw wrong("true or false");
      return value;
    case "string": {
      const text = String(value);
      if (text === "") throw usage(command, `--${name} needs a value`);
      if (option.choices !== undefined && !option.choices.includes(text)) throw wrong(option.choices.join(", "));
      return text;
    }
    case "bytes": {
      const bytes = parseBytes(String(value));
      if (bytes === null) throw wrong("a size such as 8GiB, 512MiB or 2GB");
      return bytes;
    }
    default: {
      const text = String(value).trim();
      const number = text === "" ? Number.NaN : Number(text);
      const whole = option.type === "integer";
      if (!Number.isFinite(number) || (whole && !Number.isSafeInteger(number)))
        throw wrong(whole ? "a whole number" : "a number");
      if (option.minimum !== undefined && option.aboveMinimum === true && !(number > option.minimum))
        throw wrong(`above ${option.minimum}`);
      if (option.minimum !== undefined && !(number >= option.minimum)) throw wrong(`at least ${option.minimum}`);
      if (option.maximum !== undefined && !(number <= option.maximum)) throw wrong(`at most ${option.maximum}`);
      return number;
    }
  }
}

const BYTE_UNITS: Record<string, number> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  kib: 2 ** 10,
  kb: 1e3,
  m: 2 ** 20,
  mib: 2 ** 20,
  mb: 1e6,
  g: 2 ** 30,
  gib: 2 ** 30,
  gb: 1e9,
  t: 2 ** 40,
  tib: 2 ** 40,
  tb: 1e12,
};

/** "8GiB" → bytes; null where it is not a size. A bare letter means the binary unit, as in `8G`. */
export function parseBytes(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  if (match === null) return null;
  const unit = BYTE_UNITS[match[2]!.toLowerCase()];
  if (unit === undefined) return null;
  const bytes = Math.floor(Number(match[1]) * unit);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : null;
}
