/**
 * What a running command shares with the terminal: results on stdout, notes and progress on stderr, and the signal
 * that Ctrl-C raises.
 */
import type { Writable } from "node:stream";
import { CancelledError, FileError } from "../errors.js";
import { startBar } from "./progress-bar.js";

/** A count that grows. `stop` leaves nothing on the terminal. */
export interface Progress {
  /** `detail` is a few words behind the bar, e.g. "loss 0.41". */
  update(done: number, detail?: string): void;
  setTotal(total: number): void;
  stop(): void;
}

export interface ContextOptions {
  command: string;
  quiet: boolean;
  jsonLogs: boolean;
  stdout?: Writable;
  stderr?: Writable & { isTTY?: boolean };
}

/** JSON progress lines come at most this often, in milliseconds: a log is read, not watched. */
const JSON_PROGRESS_INTERVAL = 1000;

export class CommandContext {
  readonly command: string;
  readonly quiet: boolean;
  readonly jsonLogs: boolean;
  /** Set where the reader of stdout went away (`| head`): the command then ends quietly. */
  brokenPipe = false;
  /** Input lines that were left out. */
  skipped = 0;
  private readonly controller = new AbortController();
  private readonly stdout: Writable;
  private readonly stderr: Writable & { isTTY?: boolean };

  constructor(options: ContextOptions) {
    this.command = options.command;
    this.quiet = options.quiet;
    this.jsonLogs = options.jsonLogs;
    this.stdout = options.stdout ?? process.stdout;
    this.stderr = options.stderr ?? process.stderr;
    this.stdout.on("error", (error: NodeJS.ErrnoException) => {
      this.brokenPipe = error.code === "EPIPE";
      this.stop(
        this.brokenPipe
          ? new CancelledError("standard output was closed")
          : new FileError(
              `standard output cannot be written (${error.code ?? error.message}); free space or use --output`,
            ),
      );
    });
    // A closed stderr takes the notes with it, not the work.
    this.stderr.on("error", () => {});
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Ends the work in hand; `reason` is what the command then fails with. */
  stop(reason: Error): void {
    if (!this.signal.aborted) this.controller.abort(reason);
  }

  /** One line for people on stderr, or an event in the JSON log. */
  note(message: string, facts: Record<string, unknown> = {}): void {
    if (this.jsonLogs) this.event("note", { message, ...facts });
    else if (!this.quiet) this.stderr.write(`${message}\n`);
  }

  /** What a bad input line does; one that is left out is said, and counted at the end. */
  itemErrors(options: { "on-error": "fail" | "skip" }): {
    onError: "fail" | "skip";
    onSkip: (message: string) => void;
  } {
    return {
      onError: options["on-error"],
      onSkip: (message) => {
        this.skipped++;
        this.note(`skipped: ${message}`);
      },
    };
  }

  /** A line of the JSON log; nothing without --json-logs. */
  event(event: string, facts: Record<string, unknown>): void {
    if (this.jsonLogs) this.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...facts })}\n`);
  }

  /** The one sentence of a failure. */
  complain(message: string, code: string): void {
    if (this.jsonLogs) this.event("error", { code, message });
    else this.stderr.write(`valora${this.command === "" ? "" : ` ${this.command}`}: ${message}\n`);
  }

  /** Result text to stdout; waits where the reader is slower than we are. */
  async print(text: string): Promise<void> {
    this.signal.throwIfAborted();
    if (this.stdout.write(text)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.stdout.off("drain", done).off("close", done).off("error", done);
        resolve();
      };
      this.stdout.on("drain", done).on("close", done).on("error", done);
    });
    this.signal.throwIfAborted();
  }

  /** Waits until what was printed has left, so that a broken pipe is noticed before the exit. */
  async flush(): Promise<void> {
    if (this.stdout.destroyed || this.stdout.writableLength === 0) return;
    await new Promise<void>((resolve) => this.stdout.write("", () => resolve()));
  }

  /**
   * A progress bar with rate and time left on a terminal, JSON lines with --json-logs, else nothing.
   * @param label what is being done, e.g. "training agreeableness"
   * @param unit plural of what is counted, e.g. "pairs"
   * @param from what an earlier run had done already
   */
  progress(label: string, unit: string, total?: number, from = 0): Progress {
    if (this.jsonLogs) return this.jsonProgress(label, unit, total, from);
    if (this.quiet || this.stderr.isTTY !== true) return { update() {}, setTotal() {}, stop() {} };
    return startBar(this.stderr, label, unit, total, from);
  }

  private jsonProgress(label: string, unit: string, total: number | undefined, from: number): Progress {
    const started = performance.now();
    let last = Number.NEGATIVE_INFINITY;
    let known = total;
    return {
      setTotal: (value) => {
        known = value;
      },
      update: (done, detail) => {
        const now = performance.now();
        if (now - last < JSON_PROGRESS_INTERVAL && done !== known) return;
        last = now;
        const rate = (done - from) / Math.max(1e-9, (now - started) / 1000);
        const left = known === undefined || !(rate > 0) ? undefined : Math.round((known - done) / rate);
        this.event("progress", {
          label,
          unit,
          done,
          total: known,
          rate: Number(rate.toPrecision(4)),
          seconds_left: left,
          detail,
        });
      },
      stop: () => {},
    };
  }
}
