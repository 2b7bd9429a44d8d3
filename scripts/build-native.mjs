/**
 * Builds the addon into build/Release: with cmake-js where there is CMake, else with node-gyp. Does nothing when
 * the addon there was built from the sources as they are now (a stamp beside it says so) and loads.
 *
 *     node scripts/build-native.mjs [--force]
 *
 * An addon that has the CUDA backend is never replaced by one without: where its sources have changed and no CUDA
 * compiler is at hand, that is an error.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { hashNativeSources } from "./native-sources.mjs";
import * as toolchain from "./toolchain.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const require = createRequire(import.meta.url);
const stampFile = join(root, "build", "Release", "valora.stamp.json");
const jobs = String(availableParallelism());

class BuildFailed extends Error {}

/** What the addon says of itself, in a process of its own: a broken one must not take this one down. */
function loadAddon() {
  const program = `process.stdout.write(JSON.stringify(require(process.argv[1])(process.argv[2]).info()))`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["-e", program, require.resolve("node-gyp-build"), root],
    { encoding: "utf8" },
  );
  return status === 0 ? { info: JSON.parse(stdout) } : { problem: stderr.trim() };
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"));
  } catch {
    return null;
  }
}

function run(script, args) {
  const { status } = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: "inherit" });
  if (status !== 0) throw new BuildFailed("the addon did not compile; the compiler's messages are above");
}

/** Removes what another generator, or a clone that has since moved, left behind: CMake refuses to go on with it. */
function clearForeignCache(build, generator) {
  const cacheFile = join(build, "CMakeCache.txt");
  if (!existsSync(cacheFile)) return;
  const cache = readFileSync(cacheFile, "utf8");
  const value = (name) => new RegExp(`^${name}:INTERNAL=(.*)$`, "m").exec(cache)?.[1];
  if (value("CMAKE_GENERATOR") === generator && resolve(value("CMAKE_HOME_DIRECTORY") ?? "") === root) return;
  rmSync(cacheFile);
  rmSync(join(build, "CMakeFiles"), { recursive: true, force: true });
}

function buildWithCMake() {
  const generator = toolchain.requireGenerator();
  clearForeignCache(join(root, "build"), generator);
  const cmakeJs = join(dirname(require.resolve("cmake-js/package.json")), "bin", "cmake-js");
  const args = ["build", "--out", "build", "--generator", generator, "--parallel", jobs, "--target", "valora"];
  try {
    run(cmakeJs, args);
  } catch (error) {
    // A CUDA compiler that is older than the architectures, or broken, leaves the CPU to work with.
    if (!(error instanceof BuildFailed && toolchain.hasCudaCompiler())) throw error;
    console.error("valora: the addon did not compile with the CUDA backend; it is built for the CPU alone.");
    rmSync(join(root, "build", "CMakeCache.txt"), { force: true });
    run(cmakeJs, [...args, "--CDVALORA_CUDA=OFF"]);
  }
}

function buildWithNodeGyp() {
  toolchain.requireMake();
  toolchain.requirePython();
  const prefix = join(dirname(process.execPath), "..");
  const headers = existsSync(join(prefix, "include", "node", "node_api.h")) ? [`--nodedir=${prefix}`] : [];
  run(toolchain.requireNodeGyp(), ["rebuild", `--jobs=${jobs}`, ...headers]);
}

function main() {
  const force = process.argv.includes("--force");
  const stamp = readStamp();
  const sources = hashNativeSources(root);
  if (!force && stamp?.sources === sources && loadAddon().info) return;
  const prebuilt = stamp === null && existsSync(join(root, "prebuilds")) && loadAddon().info;
  if (!force && prebuilt) return;
  if (stamp?.cuda && !(toolchain.hasCMake() && toolchain.hasCudaCompiler())) {
    throw new BuildFailed(
      "the addon in build/ has the CUDA backend and its sources have changed, but CMake and a CUDA compiler are not both at hand: " +
        "set CUDACXX to nvcc's path, or remove build/ to build for the CPU only",
    );
  }
  toolchain.requireCompiler();
  if (toolchain.hasCMake()) buildWithCMake();
  else buildWithNodeGyp();
  const { info, problem } = loadAddon();
  if (info === undefined) throw new BuildFailed(`the addon was built but does not load: ${problem}`);
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, `${JSON.stringify({ sources, cuda: info.cuda !== null }, null, 2)}\n`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof BuildFailed || error instanceof toolchain.MissingTool)) throw error;
  console.error(`valora: ${error.message}.`);
  process.exitCode = 1;
}
