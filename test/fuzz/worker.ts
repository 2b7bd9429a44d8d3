/** Runs the cases of one target in a thread of its own, so that a case that never returns can be ended and named. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { ValoraError } from "#lib/errors.js";
import type { FuzzJob, FuzzReport } from "./harness.js";
import { Random } from "./mutate.js";
import { TARGETS } from "./targets.js";

/** Cases that are described before the rest is only counted. */
const MAX_DESCRIBED = 10;

const { target: name, seed, current } = workerData as FuzzJob;
const target = TARGETS[name];
if (target === undefined) throw new Error(`there is no target "${name}"`);

const report: FuzzReport = { cases: 0, accepted: 0, rejected: 0, bad: 0, problems: [], slowest: 0 };
const folder = mkdtempSync(join(tmpdir(), "valora-fuzz-"));
try {
  const run = await target.prepare(folder);
  for (let index = 0; index < target.cases; ++index) {
    Atomics.store(current, 0, index + 1);
    const started = performance.now();
    try {
      await run(new Random(seed * 1_000_003 + index));
      report.accepted++;
    } catch (error) {
      report.rejected++;
      const problem = complaintAbout(error, target.namesFile ? folder : "");
      if (problem !== null) {
        report.bad++;
        if (report.problems.length < MAX_DESCRIBED) report.problems.push(`case ${index}: ${problem}`);
      }
    }
    report.cases++;
    report.slowest = Math.max(report.slowest, performance.now() - started);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
parentPort?.postMessage(report);

/** What is wrong with the way a case failed; null where it failed as it should. */
function complaintAbout(error: unknown, folder: string): string | null {
  if (!(error instanceof ValoraError)) {
    const { stack } = error as Error;
    return `no ValoraError: ${stack?.split("\n").slice(0, 4).join(" | ") ?? String(error)}`;
  }
  const { message } = error;
  if (/[\n\r\u2028]/.test(message)) return `more than one line: ${JSON.stringify(message)}`;
  if (message.length > 600) return `${message.length} characters: ${message.slice(0, 200)}…`;
  // A chat template's own "undefined value" is Jinja's word.
  if (/\bundefined\b(?! value)|\[object /.test(message)) return `says "undefined" or "[object": ${message}`;
  // A template that came with a model is a part of it; the template itself has no file.
  if (!message.includes(folder) && !message.includes("chat template")) return `does not name the file: ${message}`;
  return null;
}
