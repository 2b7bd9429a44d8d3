/**
 * Help screens, drawn from the option tables: at most 80 columns, one line an option, an example at the end.
 */
import { type AnyCommand, COMMON_OPTIONS, type Option, type OptionTable } from "./command.js";

const WIDTH = 80;

/** The list of commands, and the options that every command takes. */
export function renderMainHelp(commands: readonly AnyCommand[], version: string): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  return [
    `valora ${version}: induce values into language models, see what else moves`,
    "",
    "Usage: valora COMMAND [OPTIONS]",
    "",
    "Commands:",
    ...commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    "",
    "Options of every command (`valora COMMAND --help` shows its own):",
    ...drawOptions(COMMON_OPTIONS),
    "",
    "Results go to standard output or --output; notes and progress to standard error.",
    "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.",
    "",
    "Example:",
    "  valora pull smollm2-135m-instruct",
    '  echo \'{"id":"q","context":"The sky is","completions":[" blue"," green"]}\' |',
    "    valora score --model smollm2-135m-instruct --input -",
    "",
  ].join("\n");
}

/** One command's screen; the common options are named, and explained on the main one. */
export function renderCommandHelp(command: AnyCommand): string {
  const own = drawOptions(command.options);
  const usage = command.positional === undefined ? "" : ` ${command.positional.placeholder}`;
  const common = command.commonOptions.map((name) => `--${name}`).join(" ");
  return [
    ...wrap(command.description, WIDTH),
    "",
    `Usage: valora ${command.name}${usage} [OPTIONS]`,
    ...(command.positional === undefined
      ? []
      : [`  ${command.positional.placeholder}: ${command.positional.describe}`]),
    "",
    ...(own.length > 0 ? ["Options:", ...own] : []),
    ...wrap(`Common (see valora --help): ${common}`, WIDTH),
    "",
    "Example:",
    ...command.examples.map((example) => `  ${example}`),
    "",
  ].join("\n");
}

function drawOptions(table: OptionTable): string[] {
  const rows = Object.entries(table).map(([name, option]) => row(name, option));
  const left = Math.max(0, ...rows.map(([label]) => label.length));
  return rows.map(([label, text]) => `  ${label.padEnd(left)}  ${text}`);
}

/** ["--name VALUE", "description (default)"]. */
function row(name: string, option: Option): readonly [string, string] {
  if (option.type === "boolean") return [option.default ? `--no-${name}` : `--${name}`, option.describe];
  const choices = option.type === "string" ? option.choices : undefined;
  const label = `--${name} ${option.placeholder ?? "X"}`;
  const among = choices === undefined ? "" : `: ${showChoices(choices)}`;
  const standard = "default" in option && option.default !== undefined ? ` (${option.default})` : "";
  return [label, `${option.describe}${among}${standard}${option.required === true ? ", required" : ""}`];
}

/** "cuda|cuda:0|cuda:1" as "cuda[:N]". */
function showChoices(choices: readonly string[]): string {
  const numbered = new Set(choices.flatMap((choice) => /^(.+):\d+$/.exec(choice)?.[1] ?? []));
  return choices
    .filter((choice) => !/:\d+$/.test(choice))
    .map((choice) => (numbered.has(choice) ? `${choice}[:N]` : choice))
    .join("|");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
