#!/usr/bin/env node
/**
 * The `valora` program: reads the command line, runs one command, and turns how it ended into one sentence and an exit
 * status. Commands load what they need when they run, so that a help screen is there at once.
 */
import { bench } from "./commands/bench.js";
import type { AnyCommand, CommonValues } from "./commands/command.js";
import { CommandContext } from "./commands/context.js";
import { curate } from "./commands/curate.js";
import { demo } from "./commands/demo.js";
import { evaluate } from "./commands/eval.js";
import { generate } from "./commands/generate.js";
import { grade } from "./commands/grade.js";
import { renderCommandHelp, renderMainHelp } from "./commands/help.js";
import { inspect } from "./commands/inspect.js";
import { label } from "./commands/label.js";
import { merge } from "./commands/merge.js";
import { precision } from "./commands/precision.js";
import { pull } from "./commands/pull.js";
import { report as reportCommand } from "./commands/report.js";
import { score } from "./commands/score.js";
import { study } from "./commands/study.js";
import { tokenize } from "./commands/tokenize.js";
import { train } from "./commands/train.js";
import { worker } from "./commands/worker.js";
import { CancelledError, UsageError, ValoraError } from "./errors.js";
import { VERSION } from "./files/version.js";

const COMMANDS: readonly AnyCommand[] = [
  demo,
  pull,
  inspect,
  tokenize,
  label,
  precision,
  curate,
  train,
  score,
  generate,
  grade,
  evaluate,
  study,
  worker,
  reportCommand,
  merge,
  bench,
];

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

// Not process.exitCode: after an interrupt an open standard input would keep the process waiting.
process.exit(await main(process.argv.slice(2)));

async function main(argv: string[]): Promise<number> {
  let context = new CommandContext({ command: "", quiet: false, jsonLogs: argv.includes("--json-logs") });
  let debug = argv.includes("--debug");
  try {
    const screen = findScreen(argv);
    if (screen !== null) {
      if (argv.length === 0) return showUsage(screen);
      await context.print(screen);
      await context.flush();
      return 0;
    }
    const command = findCommand(argv[0]!);
    const { parseCommandLine } = await import("./commands/parse.js");
    const { options, positionals } = parseCommandLine(argv.slice(1), command);
    const common = options as unknown as CommonValues;
    debug = common.debug;
    context = new CommandContext({ command: command.name, quiet: common.quiet, jsonLogs: common["json-logs"] });
    const release = listenForSignals(context);
    try {
      await command.run(options as never, context, positionals);
      if (context.skipped > 0) context.note(`input lines left out: ${context.skipped}`, { skipped: context.skipped });
      await context.flush();
    } finally {
      release();
    }
    return 0;
  } catch (error) {
    return report(error, context, debug);
  }
}

/** Help and version need no parser, and yargs is most of the start-up time. Null where there is a command to run. */
function findScreen(argv: readonly string[]): string | null {
  const [first, second] = argv;
  const isHelp = (word: string | undefined): boolean => word === "--help" || word === "-h";
  if (first === undefined || isHelp(first)) return renderMainHelp(COMMANDS, VERSION);
  if (first === "--version" || first === "-V") return `${VERSION}\n`;
  if (first === "help")
    return second === undefined ? renderMainHelp(COMMANDS, VERSION) : renderCommandHelp(findCommand(second));
  return argv.some(isHelp) ? renderCommandHelp(findCommand(first)) : null;
}

function showUsage(screen: string): number {
  process.stderr.write(screen);
  return EXIT_USAGE;
}

function findCommand(name: string): AnyCommand {
  const found = COMMANDS.find((command) => command.name === name);
  if (found !== undefined) return found;
  const names = COMMANDS.map((command) => command.name).join(", ");
  throw new UsageError(
    name.startsWith("-")
      ? `the command comes before ${name}: one of ${names}`
      : `"${name}" is not a command: give one of ${names}`,
  );
}

/** The first Ctrl-C (or SIGTERM) ends the step and checkpoints, the second one ends the process. */
function listenForSignals(context: CommandContext): () => void {
  const onSignal = (): void => {
    if (context.signal.aborted) process.exit(EXIT_INTERRUPTED);
    context.stop(new CancelledError("interrupted"));
    // A command that waits for its input would wait on.
    process.stdin.destroy();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return () => process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
}

function report(error: unknown, context: CommandContext, debug: boolean): number {
  if (context.brokenPipe) return 0;
  // Work that was stopped says no more than that; why it was stopped is the signal's reason.
  const cause =
    isCancel(error) && context.signal.aborted && !isCancel(context.signal.reason) ? context.signal.reason : error;
  const known = cause instanceof ValoraError;
  const detail = cause instanceof Error ? cause.message : String(cause);
  const message = isCancel(cause) && !detail.startsWith("interrupted") ? "interrupted" : detail;
  const code = known ? cause.code : ((cause as { code?: string } | null)?.code ?? "ERR_UNEXPECTED");
  // A system's own message may span lines; a failure is one sentence.
  context.complain(message.split("\n")[0]!, code);
  if (debug && cause instanceof Error) process.stderr.write(`${cause.stack ?? ""}\n`);
  if (isCancel(cause)) return EXIT_INTERRUPTED;
  return cause instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
}

function isCancel(error: unknown): boolean {
  if (error instanceof CancelledError) return true;
  const { name, cause } = (error ?? {}) as { name?: string; cause?: { code?: string } };
  return name === "AbortError" || cause?.code === "ERR_STREAM_PREMATURE_CLOSE";
}
