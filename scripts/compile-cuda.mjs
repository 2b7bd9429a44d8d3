/**
 * Compiles every native/cuda/*.cu with nvcc for the architectures named, warnings as errors, and reports what ptxas
 * says of each kernel: registers, shared memory, spills, and the occupancy that follows. A spill is a failure.
 *
 *     node scripts/compile-cuda.mjs [--write] [--install] [--optional] [sm_80 sm_90 ...]
 *
 * --write puts the table into docs/cuda.md; --install fetches nvcc's Python wheels (1.1 GB) into the user's cache where
 * no nvcc is found; with --optional a machine that has no nvcc, and cannot have one, is no failure but said. nvcc is
 * looked for in CUDACXX, on the PATH, and among those wheels.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
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
  const lib = join(environment, "lib");
  if (!existsSync(lib)) return undefined;
  for (const python of readdirSync(lib)) {
    const packages = join(lib, python, "site-packages", "nvidia");
    for (const version of existsSync(packages) ? readdirSync(packages) : []) {
      const nvcc = join(packages, version, "bin", "nvcc");
      if (existsSync(nvcc)) return nvcc;
    }
  }
  return undefined;
}

function findNvcc(install) {
  const named = process.env.CUDACXX;
  if (named) {
    if (run(named, ["--version"]).ok) return named;
    throw new CompileFailed(`CUDACXX names ${named}, which does not start: set it to nvcc's path, or unset it`);
  }
  if (run("nvcc", ["--version"]).ok) return "nvcc";
  if (nvccOfWheels() === undefined && install) {
    mkdirSync(environment, { recursive: true });
    const made = run("python3", ["-m", "venv", environment]);
    const got = made.ok ? run(join(environment, "bin", "pip"), ["install", "--quiet", ...WHEELS]) : made;
    if (!got.ok) throw new NoCompiler(`nvcc's wheels could not be installed: ${got.stderr.trim()}`);
  }
  const nvcc = nvccOfWheels();
  if (nvcc === undefined) {
    throw new NoCompiler("no nvcc was found: set CUDACXX to its path, or run this with --install for nvcc's wheels");
  }
  return nvcc;
}

/** Threads of a block by kernel, from .maxntid in the PTX that nvcc kept, which __launch_bounds__ sets. */
function blockSizes(folder) {
  const sizes = new Map();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".ptx"))) {
    const text = readFileSync(join(folder, file), "utf8");
    for (const [, name, threads] of text.matchAll(/\.entry (\w+)\([^{]*?\.maxntid (\d+)/g)) {
      sizes.set(name, Number(threads));
    }
  }
  return sizes;
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

function compile(nvcc, file, architectures, folder) {
  const targets = architectures.flatMap((name) => ["-gencode", `arch=${name.replace("sm", "compute")},code=${name}`]);
  const options = ["-std=c++20", "-O3", "-fmad=false", "--threads=2", "-Werror", "all-warnings"];
  const host = ["-Xcompiler", "-Wall,-Wextra,-Werror", "-Xptxas", "-v,-warn-spills,-Werror"];
  const keep = ["--keep", "--keep-dir", folder];
  const output = ["-I", join(root, "native"), "-c", join(sources, file), "-o", join(folder, `${file}.o`)];
  const result = run(nvcc, [...options, ...host, ...targets, ...keep, ...output]);
  if (!result.ok) throw new CompileFailed(`${file} did not compile:\n${result.stderr.trim()}\n`);
  const records = parsePtxas(result.stderr);
  if (records.length === 0 || records.some((r) => r.registers === undefined || r.spills === undefined)) {
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

function table(files, architectures, sizes) {
  const rows = [];
  for (const [file, records] of files) {
    const short = shortNames(records);
    for (const name of [...new Set(records.map((record) => record.name))]) {
      const mine = records.filter((record) => record.name === name);
      const threads = sizes.get(name);
      if (threads === undefined) throw new CompileFailed(`${short.get(name)} in ${file} lacks __launch_bounds__`);
      const cells = architectures.map((architecture) => {
        const record = mine.find((one) => one.architecture === architecture);
        const share = occupancy(architecture, threads, record.registers, record.shared);
        return `${record.registers}, ${Math.round(100 * share)} %`;
      });
      const shared = Math.max(...mine.map((record) => record.shared));
      const spills = Math.max(...mine.map((record) => record.spills));
      const label = short.get(name).replace(/<.*/, (list) => list.replace(/\b(\w+::)+/g, ""));
      rows.push(`| \`${label}\` | ${threads} | ${shared} | ${spills} | ${cells.join(" | ")} |`);
    }
  }
  rows.sort();
  return [
    `| kernel | threads | shared memory, bytes | spilled, bytes | ${architectures.join(" | ")} |`,
    `|---|---|---|---|${architectures.map(() => "---").join("|")}|`,
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

function main(args) {
  const known = [...Object.keys(ARCHITECTURES), "--write", "--install", "--optional"];
  const unknown = args.find((arg) => !known.includes(arg));
  if (unknown) throw new CompileFailed(`${unknown} is none of ${known.join(", ")}`);
  const nvcc = findNvcc(args.includes("--install"));
  const named = args.filter((arg) => arg in ARCHITECTURES);
  const architectures = named.length > 0 ? named : Object.keys(ARCHITECTURES);
  const folder = mkdtempSync(join(tmpdir(), "valora-cuda-"));
  try {
    const files = new Map();
    for (const file of readdirSync(sources)
      .filter((name) => name.endsWith(".cu"))
      .sort()) {
      process.stderr.write(`${file}\n`);
      files.set(file, compile(nvcc, file, architectures, folder));
    }
    const text = table(files, architectures, blockSizes(folder));
    console.log(text);
    if (args.includes("--write")) writeTable(text, nvcc);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof CompileFailed)) throw error;
    const skipped = error instanceof NoCompiler && process.argv.includes("--optional");
    const what = skipped ? "SKIPPED: the CUDA kernels were not compiled: " : "";
    console.error(`valora: ${what}${error.message}${error.message.endsWith("\n") ? "" : "."}`);
    if (!skipped) process.exitCode = 1;
  }
}
