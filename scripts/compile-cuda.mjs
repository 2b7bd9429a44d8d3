/**
 * Compiles every native/cuda/*.cu with nvcc for the architectures named, warnings as errors, and reports what ptxas
 * says of each kernel: registers, shared memory, spills, and the occupancy that follows. Spills and stack frames are
 * failures: an array that a kernel indexes by a number the compiler does not know lives in memory, not in registers.
 *
 *     node scripts/compile-cuda.mjs [--write] [--install] [--optional] [sm_80 sm_90 ...] [attention.cu ...]
 *
 * --write puts the table into docs/cuda.md; --install fetches nvcc's Python wheels (350 MB unpacked) into the user's
 * cache where no nvcc is found; with --optional a machine that has no nvcc, and cannot have one, is no failure but said.
 * nvcc is looked for in CUDACXX, on the PATH, and among those wheels.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, homedir, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const sources = join(root, "native", "cuda");
const document = join(root, "docs", "cuda.md");
const environment = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "valora", "nvcc");
const WHEELS = ["nvcc", "crt", "runtime", "cccl"].map((name) => `nvidia-cuda-${name}`).concat("nvidia-nvvm");

/**
 * Per multiprocessor: threads, blocks, bytes of shared memory (CUDA C++ Programming Guide, "Technical specifications
 * per compute capability"). All have 65,536 registers, given to a warp by 256s, and keep 1 KiB a block for themselves.
 */
const ARCHITECTURES = {
  sm_80: { threads: 2048, blocks: 32, shared: 164 << 10 },
  sm_86: { threads: 1536, blocks: 16, shared: 100 << 10 },
  sm_89: { threads: 1536, blocks: 24, shared: 100 << 10 },
  sm_90: { threads: 2048, blocks: 32, shared: 228 << 10 },
  sm_100: { threads: 2048, blocks: 32, shared: 228 << 10 },
  sm_120: { threads: 1536, blocks: 24, shared: 100 << 10 },
};

class CompileFailed extends Error {}
class NoCompiler extends CompileFailed {}

function run(command, args, options) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    ...options,
  });
  return { ok: status === 0, stdout: stdout ?? "", stderr: error ? error.message : (stderr ?? "") };
}

function nvccOfWheels() {
  const packages = join(environment, "nvidia");
  for (const version of existsSync(packages) ? readdirSync(packages) : []) {
    const nvcc = join(packages, version, "bin", "nvcc");
    if (existsSync(nvcc)) return nvcc;
  }
  return undefined;
}

/** By pip alone, into a folder of its own: no venv (Debian has it apart), nothing that the system's Python sees. */
function installWheels() {
  mkdirSync(dirname(environment), { recursive: true });
  const fresh = mkdtempSync(`${environment}-`);
  try {
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"];
    const got = run("python3", [...pip, "--target", fresh, ...WHEELS]);
    if (!got.ok) throw new NoCompiler(`nvcc's wheels could not be installed: ${got.stderr.trim()}`);
    rmSync(environment, { recursive: true, force: true });
    renameSync(fresh, environment);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function findNvcc(install) {
  const named = process.env.CUDACXX;
  if (named) {
    if (run(named, ["--version"]).ok) return named;
    throw new CompileFailed(`CUDACXX names ${named}, which does not start: set it to nvcc's path, or unset it`);
  }
  if (run("nvcc", ["--version"]).ok) return "nvcc";
  if (nvccOfWheels() === undefined && install) installWheels();
  const nvcc = nvccOfWheels();
  if (nvcc === undefined) {
    throw new NoCompiler("no nvcc was found: set CUDACXX to its path, or run this with --install for nvcc's wheels");
  }
  return nvcc;
}

/**
 * What ptxas does not say of a kernel, by its name, from the PTX: threads of a block (.maxntid, which __launch_bounds__
 * sets), and bytes of dynamic shared memory (the note that dynamic_shared of cuda/device.h leaves there).
 */
export function parsePtx(text) {
  const launches = new Map();
  for (const entry of text.split(/^(?=(?:\.visible )?\.entry )/m).slice(1)) {
    const [, name, threads] = /^(?:\.visible )?\.entry (\w+)\([^{]*?\.maxntid (\d+)/.exec(entry) ?? [];
    const shared = /\/\/ dynamic shared memory: (\d+)/.exec(entry)?.[1] ?? 0;
    if (name !== undefined) launches.set(name, { threads: Number(threads), shared: Number(shared) });
  }
  return launches;
}

function launchesOf(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith(".ptx"));
  return new Map(files.flatMap((file) => [...parsePtx(readFileSync(join(folder, file), "utf8"))]));
}

/** What `ptxas -v` said: a record for each kernel and architecture. */
export function parsePtxas(text) {
  const records = [];
  for (const line of text.split("\n")) {
    const entry = /Compiling entry function '(\w+)' for '(sm_\d+)a?'/.exec(line);
    if (entry) records.push({ name: entry[1], architecture: entry[2], shared: 0 });
    const record = records.at(-1);
    if (record === undefined) continue;
    const spills = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (spills) record.spills = Number(spills[1]) + Number(spills[2]);
    const frame = /(\d+) bytes stack frame/.exec(line);
    if (frame) record.frame = Number(frame[1]);
    const used = /Used (\d+) registers/.exec(line);
    if (used) record.registers = Number(used[1]);
    const shared = /(\d+) bytes smem/.exec(line);
    if (used && shared) record.shared = Number(shared[1]);
  }
  return records;
}

/** The share of a multiprocessor's threads that blocks of this size can fill. */
export function occupancy(architecture, threads, registers, shared) {
  const limits = ARCHITECTURES[architecture];
  const warps = Math.ceil(threads / 32);
  const registersPerWarp = Math.ceil((registers * 32) / 256) * 256;
  // Warps are spread over four schedulers with a quarter of the registers each.
  const byRegisters = Math.floor((4 * Math.floor(16384 / registersPerWarp)) / warps);
  const byShared = Math.floor(limits.shared / (shared + 1024));
  const blocks = Math.min(Math.floor(limits.threads / threads), limits.blocks, byRegisters, byShared);
  return (blocks * warps * 32) / limits.threads;
}

/** As run(), beside others. */
async function runBeside(command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  const ok = await new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (status) => resolve(status === 0));
  });
  return { ok, stderr };
}

async function compile(nvcc, file, architectures, folder) {
  const targets = architectures.flatMap((name) => ["-gencode", `arch=${name.replace("sm", "compute")},code=${name}`]);
  const options = ["-std=c++20", "-O3", "-fmad=false", "-Werror", "all-warnings"];
  const host = ["-Xcompiler", "-Wall,-Wextra,-Werror", "-Xptxas", "-v"];
  const keep = ["--keep", "--keep-dir", folder];
  const output = ["-I", join(root, "native"), "-c", join(sources, file), "-o", join(folder, `${file}.o`)];
  const result = await runBeside(nvcc, [...options, ...host, ...targets, ...keep, ...output]);
  if (!result.ok) throw new CompileFailed(`${file} did not compile:\n${result.stderr.trim()}\n`);
  const records = parsePtxas(result.stderr);
  // A file of launchers alone has none.
  const kernels = readFileSync(join(sources, file), "utf8").includes("__global__");
  const whole = records.every((one) => [one.registers, one.spills, one.frame].every(Number.isInteger));
  if (kernels !== records.length > 0 || !whole) {
    throw new CompileFailed(`ptxas said nothing of ${file} that this script can read:\n${result.stderr.trim()}\n`);
  }
  return records;
}

/** valora::cuda::(anonymous namespace)::add_kernel<true>(...) → add_kernel<true>. */
function shortNames(records) {
  const names = [...new Set(records.map(({ name }) => name))];
  const { ok, stdout } = run("c++filt", [], { input: names.join("\n") });
  const lines = ok ? stdout.split("\n") : names;
  return new Map(names.map((name, i) => [name, /(\w+(?:<[^(]*>)?)\(/.exec(lines[i])?.[1] ?? name]));
}

/** One line for each kernel that keeps something in memory which belongs into registers. */
export function leaks(records) {
  const leaking = records.filter(({ spills, frame }) => spills > 0 || frame > 0);
  const short = shortNames(leaking);
  return leaking.map(
    ({ name, architecture, spills, frame }) =>
      `${short.get(name)} on ${architecture}: ${spills} bytes spilled, a stack frame of ${frame} bytes`,
  );
}

function table(files, architectures, launches) {
  const rows = [];
  for (const [file, records] of files) {
    const short = shortNames(records);
    for (const name of [...new Set(records.map((record) => record.name))]) {
      const mine = records.filter((record) => record.name === name);
      const { threads, shared: dynamic } = launches.get(name) ?? {};
      if (threads === undefined) throw new CompileFailed(`${short.get(name)} in ${file} lacks __launch_bounds__`);
      const cells = architectures.map((architecture) => {
        const record = mine.find((one) => one.architecture === architecture);
        const share = occupancy(architecture, threads, record.registers, record.shared + dynamic);
        return `${record.registers}, ${Math.round(100 * share)} %`;
      });
      const shared = dynamic + Math.max(...mine.map((record) => record.shared));
      const most = (key) => Math.max(...mine.map((record) => record[key]));
      const label = short.get(name).replace(/<.*/, (list) => list.replace(/\b(\w+::)+/g, ""));
      rows.push(
        `| \`${label}\` | ${threads} | ${shared} | ${most("spills")} | ${most("frame")} | ${cells.join(" | ")} |`,
      );
    }
  }
  rows.sort();
  return [
    `| kernel | threads | shared memory, bytes | spilled, bytes | stack frame, bytes | ${architectures.join(" | ")} |`,
    `|---|---|---|---|---|${architectures.map(() => "---").join("|")}|`,
    ...rows,
  ].join("\n");
}

function writeTable(text, nvcc) {
  const version = /V([\d.]+)/.exec(run(nvcc, ["--version"]).stdout)?.[1];
  const before = readFileSync(document, "utf8");
  const block = /(<!-- compiled -->\n).*?(\n<!-- end -->)/s;
  if (!block.test(before))
    throw new CompileFailed("docs/cuda.md has lost its <!-- compiled --> and <!-- end --> lines");
  writeFileSync(
    document,
    before.replace(block, (_, begin, end) => `${begin}nvcc ${version}.\n\n${text}${end}`),
  );
}

/** The files' records in the files' order, as many at a time as there are processors, the longest first. */
async function compileAll(nvcc, files, architectures, folder) {
  const records = new Map(files.map((file) => [file, []]));
  const waiting = [...files].sort((a, b) => statSync(join(sources, a)).size - statSync(join(sources, b)).size);
  const work = async () => {
    for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
      const started = performance.now();
      try {
        records.set(file, await compile(nvcc, file, architectures, folder));
      } catch (error) {
        waiting.length = 0;
        throw error;
      }
      process.stderr.write(`${file}: ${((performance.now() - started) / 1e3).toFixed(0)} s\n`);
    }
  };
  const results = await Promise.allSettled(Array.from({ length: availableParallelism() }, work));
  const failure = results.find(({ status }) => status === "rejected");
  if (failure) throw failure.reason;
  return records;
}

async function main(args) {
  const all = readdirSync(sources).filter((name) => name.endsWith(".cu"));
  const known = [...Object.keys(ARCHITECTURES), ...all, "--write", "--install", "--optional"];
  const unknown = args.find((arg) => !known.includes(arg));
  if (unknown) throw new CompileFailed(`${unknown} is none of ${known.join(", ")}`);
  const chosen = (among) => {
    const named = among.filter((name) => args.includes(name));
    return named.length > 0 ? named : among;
  };
  const architectures = chosen(Object.keys(ARCHITECTURES));
  const names = chosen(all.sort());
  if (
    args.includes("--write") &&
    (names.length < all.length || architectures.length < Object.keys(ARCHITECTURES).length)
  ) {
    throw new CompileFailed("--write takes all files and architectures: leave out their names");
  }
  const nvcc = findNvcc(args.includes("--install"));
  const folder = mkdtempSync(join(tmpdir(), "valora-cuda-"));
  try {
    const files = await compileAll(nvcc, names, architectures, folder);
    const text = table(files, architectures, launchesOf(folder));
    console.log(text);
    const leaking = leaks([...files.values()].flat());
    if (leaking.length > 0)
      throw new CompileFailed(`kernels keep in memory what belongs into registers:\n${leaking.join("\n")}\n`);
    if (args.includes("--write")) writeTable(text, nvcc);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof CompileFailed)) throw error;
    const skipped = error instanceof NoCompiler && process.argv.includes("--optional");
    const what = skipped ? "SKIPPED: the CUDA kernels were not compiled: " : "";
    console.error(`valora: ${what}${error.message}${error.message.endsWith("\n") ? "" : "."}`);
    if (!skipped) process.exitCode = 1;
  }
}
