/** Runs one contender as a process of its own, from its start to its line of JSON. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));

/** The command of each program; `settings` has `files` and `threads` besides the task's own. */
const COMMANDS = {
  valora: ({ settings }) => [process.execPath, join(here, "valora.mjs"), JSON.stringify(settings)],
  "valora-cli": ({ settings: { files, threads } }) => {
    const options = ["--model", files.gguf, "--input", files.input, "--threads", `${threads}`, "--quiet"];
    return [process.execPath, CLI, "score", ...options];
  },
  python: ({ script, settings }, { python }) => [python, join(here, "python", script), JSON.stringify(settings)],
  llama: ({ settings: { job, files, threads, newTokens, together, cold } }, { llama }) => [
    llama,
    job,
    files.gguf,
    `${files.input}.tokens`,
    `${threads}`,
    ...(job === "score" ? [cold ? "cold" : "warm"] : [`${newTokens}`, `${together}`]),
  ],
};

/**
 * @param programs python and llama, where they are there
 * @returns the result, with `wall_seconds`; or `{ left_out: reason }`
 */
export async function runContender(contender, programs, folder) {
  const { settings, program } = contender;
  const cache = mkdtempSync(join(tmpdir(), "valora-peers-"));
  try {
    const { line, wall_seconds, problem } = await firstLine(COMMANDS[program](contender, programs), {
      ...process.env,
      OMP_NUM_THREADS: `${settings.threads}`,
      MKL_NUM_THREADS: `${settings.threads}`,
      CUDA_VISIBLE_DEVICES: "",
      TOKENIZERS_PARALLELISM: "false",
      HF_HUB_OFFLINE: "1",
      HF_HOME: join(folder, "huggingface"),
      // A reference that an earlier run has left there would be a pass less for valora.
      VALORA_CACHE: cache,
      VALORA_PEERS_STARTED: `${Date.now() / 1000}`,
    });
    if (problem !== null) return { left_out: problem };
    const result = JSON.parse(line);
    if (result.left_out !== undefined) return result;
    if (program !== "valora-cli") return { ...result, wall_seconds };
    const { logprob, tokens } = result;
    return { work: 1, answers: [logprob], answer_tokens: [tokens], wall_seconds };
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

/** A run that is stopped takes its contender with it: what went on would slow down the next run's. */
let running = null;
for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
]) {
  process.on(signal, () => {
    running?.kill("SIGKILL");
    process.exit(status);
  });
}

/** Resolves when the process has ended; the clock stops at its line. */
function firstLine([command, ...args], env) {
  return new Promise((resolve) => {
    const started = performance.now();
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    running = child;
    let output = "";
    let errors = "";
    let wall_seconds = null;
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (wall_seconds === null && lineOf(output) !== undefined) wall_seconds = (performance.now() - started) / 1000;
    });
    // What went wrong is at the end.
    child.stderr.setEncoding("utf8").on("data", (text) => {
      errors = `${errors}${text}`.slice(-2000);
    });
    child.on("error", (error) => resolve({ problem: error.message }));
    child.on("close", (status, signal) => {
      running = null;
      const line = lineOf(output);
      if (status === 0 && line !== undefined) return resolve({ line, wall_seconds, problem: null });
      const last = errors.trim().split("\n").at(-1) || "nothing was said";
      resolve({ problem: `it ended with ${signal ?? `status ${status}`}: ${last}` });
    });
  });
}

/** The first whole line that is a JSON object: libraries print things of their own. */
const lineOf = (output) =>
  output
    .split("\n")
    .slice(0, -1)
    .find((line) => line.startsWith('{"'));
