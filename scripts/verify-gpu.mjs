/**
 * Verifies the CUDA backend on this machine and writes down what was found, in a file to send back.
 *
 *     npm run verify:gpu [-- --output report.json]
 *
 * On a machine with a GPU: builds the addon and the core's tests for it with nvcc, then runs every operation's tests
 * on the device against the reference, whole models against the reference and with repeated bits, the golden values
 * of PyTorch, compute-sanitizer where it is installed, and times training of the default model where it has been
 * pulled. Without one it says so and runs a small part over the emulated device. The status is 0 where all that was
 * run passed; what was not run is in the report as skipped, with the reason.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, availableParallelism, cpus, release, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { typescriptCompiler } from "./build-lib.mjs";
import { hasCMake, hasCudaCompiler, MissingTool, requireGenerator } from "./toolchain.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const require = createRequire(import.meta.url);
/** Its own folder: the addon in build/ stays as it is. node-gyp-build looks into build/Release below it. */
const folder = join(root, "build-verify");
const binaries = join(folder, "build", "native", "test");
const KEPT_LINES = 40;

const OPERATION_TESTS = ["rows", "linear", "head", "attention"].map((name) => `device_ops_${name}_test`);
const SANITIZER_TOOLS = ["memcheck", "racecheck", "synccheck", "initcheck"];

/** What nvidia-smi says of each device. */
function findGpus() {
  const fields = ["name", "compute_cap", "memory.total", "driver_version", "clocks.max.sm", "clocks.max.memory"];
  const { status, stdout } = spawnSync(
    "nvidia-smi",
    [`--query-gpu=${fields.join(",")}`, "--format=csv,noheader,nounits"],
    { encoding: "utf8" },
  );
  if (status !== 0) return [];
  return stdout
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const values = line.split(",").map((value) => value.trim());
      return Object.fromEntries(fields.map((field, i) => [field, values[i]]));
    });
}

/** Steps and how they ended; the first failure of a build ends the run, any failure the status. */
class Report {
  steps = [];

  skip(name, reason) {
    this.steps.push({ name, result: "skipped", reason });
    console.error(`${name}: skipped, ${reason}`);
  }

  /** @returns whether the command ended with status 0 */
  run(name, command, args, env = {}) {
    const started = performance.now();
    const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    const result = status === 0 ? "passed" : "failed";
    const text = error ? error.message : `${stdout}${stderr}`.trim();
    const lines = text.split("\n").slice(-KEPT_LINES);
    this.steps.push({ name, result, seconds, ...(signal === null ? {} : { signal }), output: lines });
    console.error(`${name}: ${result} in ${seconds} s`);
    if (result === "failed") console.error(lines.join("\n"));
    return result === "passed";
  }

  get failed() {
    return this.steps.some(({ result }) => result === "failed");
  }
}

function build(report, settings, targets) {
  const cmakeJs = join(dirname(require.resolve("cmake-js/package.json")), "bin", "cmake-js");
  const common = ["build", "--out", join(folder, "build"), "--generator", requireGenerator()];
  const options = [...common, "--parallel", String(availableParallelism()), "--CDVALORA_TESTS=ON", ...settings];
  // cmake-js builds one target a call.
  return targets.every((target) =>
    report.run(`build of ${target}`, process.execPath, [cmakeJs, ...options, "--target", target]),
  );
}

/** PyTorch's values on the tiny models, by the addon just built and through the library. */
function golden(report, pattern) {
  const compiled = report.run("build of the library's tests", process.execPath, [
    typescriptCompiler(),
    "-p",
    "test/tsconfig.json",
  ]);
  if (!compiled) return;
  const file = join(root, "build", "test", "test", "engine", "golden-tiny.test.js");
  const filter = pattern === undefined ? [] : [`--test-name-pattern=${pattern}`];
  report.run("golden values", process.execPath, ["--test", "--test-reporter=tap", ...filter, file], {
    VALORA_PREBUILD: folder,
    VALORA_TEST_DEVICE: "cuda",
  });
}

function sanitize(report) {
  if (spawnSync("compute-sanitizer", ["--version"]).status !== 0) {
    report.skip("compute-sanitizer", "it is not installed (it comes with the CUDA toolkit)");
    return;
  }
  const program = [join(binaries, "gpu_model_test"), "--gtest_filter=*llama_tied*:*qwen3*"];
  for (const tool of SANITIZER_TOOLS) {
    report.run(`compute-sanitizer ${tool}`, "compute-sanitizer", [`--tool=${tool}`, "--error-exitcode=1", ...program]);
  }
}

function time(report) {
  const name = "time of DPO steps";
  const script = join(root, "scripts", "time-dpo.mjs");
  report.run(name, process.execPath, [script, "--device", "cuda", "--compute", "bf16"], { VALORA_PREBUILD: folder });
}

function onGpu(report, gpus) {
  if (!hasCMake() || !hasCudaCompiler()) {
    report.steps.push({
      name: "build",
      result: "failed",
      output: ["there is a GPU, but CMake 3.21 and nvcc are not both at hand: set CUDACXX to nvcc's path"],
    });
    return;
  }
  const architectures = [...new Set(gpus.map((gpu) => `${gpu.compute_cap.replace(".", "")}-real`))].join(";");
  const settings = ["--CDVALORA_CUDA=ON", `--CDVALORA_CUDA_ARCHITECTURES=${architectures}`];
  if (!build(report, settings, ["valora", "gpu_model_test", ...OPERATION_TESTS])) return;
  for (const test of OPERATION_TESTS) report.run(test, join(binaries, test), ["--gtest_brief=1"]);
  report.run("whole models", join(binaries, "gpu_model_test"), ["--gtest_brief=1"]);
  golden(report);
  sanitize(report);
  time(report);
  report.skip("kernels against the roofline, products against cuBLASLt", "there is no such benchmark yet");
}

function emulated(report) {
  report.skip("everything on a GPU", "nvidia-smi finds none here");
  if (!hasCMake()) {
    report.skip("the emulated device", "it needs CMake 3.21 or newer");
    return;
  }
  if (!build(report, ["--CDVALORA_CUDA=EMULATED"], ["valora", "cuda_runtime_test", "cuda_model_test"])) return;
  report.run("the runtime, emulated", join(binaries, "cuda_runtime_test"), ["--gtest_brief=1"]);
  report.run("whole models, emulated", join(binaries, "cuda_model_test"), [
    "--gtest_brief=1",
    "--gtest_filter=*llama_tied*:*qwen3*",
  ]);
  golden(report, "llama-tied from safetensors on cuda");
}

function main() {
  const { values } = parseArgs({ options: { output: { type: "string", default: "valora-gpu-report.json" } } });
  const report = new Report();
  const gpus = findGpus();
  if (gpus.length > 0) onGpu(report, gpus);
  else emulated(report);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const commit = existsSync(join(root, ".git"))
    ? spawnSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).stdout.trim()
    : null;
  const machine = {
    processor: cpus()[0]?.model ?? arch(),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
  const nvcc = hasCudaCompiler()
    ? (/release [\d.]+, V([\d.]+)/.exec(
        spawnSync(process.env.CUDACXX ?? "nvcc", ["--version"], { encoding: "utf8" }).stdout,
      )?.[1] ?? null)
    : null;
  const text = { version, commit, date: new Date().toISOString(), machine, gpus, nvcc, steps: report.steps };
  writeFileSync(values.output, `${JSON.stringify(text, null, 2)}\n`);
  console.error(`valora: the report is in ${values.output}.`);
  if (report.failed) process.exitCode = 1;
}

try {
  main();
} catch (error) {
  if (!(error instanceof MissingTool)) throw error;
  console.error(`valora: ${error.message}.`);
  process.exitCode = 1;
}
