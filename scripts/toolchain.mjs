/**
 * Which build tools this machine has. Each check answers with the tool or throws a MissingTool whose message
 * says in one sentence what to install.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

export class MissingTool extends Error {}

/** The oldest CMake that reads CMakeLists.txt; an older one counts as none. */
const OLDEST_CMAKE = [3, 21];

function answers(command, args = ["--version"]) {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

/** Whether a CMake that is new enough is on the PATH. */
export function hasCMake() {
  const { status, stdout } = spawnSync("cmake", ["--version"], { encoding: "utf8" });
  const version = /(\d+)\.(\d+)/.exec(status === 0 ? stdout : "");
  if (version === null) return false;
  const [major, minor] = [Number(version[1]), Number(version[2])];
  return major > OLDEST_CMAKE[0] || (major === OLDEST_CMAKE[0] && minor >= OLDEST_CMAKE[1]);
}

/** Whether a CUDA compiler is at hand. */
export function hasCudaCompiler() {
  return answers(process.env.CUDACXX ?? "nvcc");
}

/** The C++ compiler, after it has compiled a line of C++20 for the newest instruction set that we build for. */
export function requireCompiler() {
  const names = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
  const compiler = names.find((name) => answers(name.split(" ")[0]));
  if (compiler === undefined) {
    throw new MissingTool(
      `no C++ compiler was found (looked for ${names.join(", ")}): install g++ 11 or newer (Debian: apt-get install g++), or set CXX`,
    );
  }
  const [command, ...flags] = compiler.split(" ");
  const target = process.arch === "x64" ? ["-march=x86-64-v4"] : [];
  const probe = spawnSync(command, [...flags, "-std=c++20", ...target, "-fsyntax-only", "-x", "c++", "-"], {
    input: "#include <concepts>\n#include <span>\nstatic_assert(__cplusplus >= 202002L && std::integral<int>);\n",
    encoding: "utf8",
  });
  if (probe.status !== 0) {
    const version = spawnSync(command, ["-dumpfullversion", "-dumpversion"], { encoding: "utf8" }).stdout?.trim();
    throw new MissingTool(
      `the C++ compiler ${command} ${version ?? ""} does not compile C++20: install g++ 11 or clang++ 13 or newer, or set CXX`,
    );
  }
  return compiler;
}

/** CMake's generator: Ninja where it is, else make. */
export function requireGenerator() {
  if (answers("ninja")) return "Ninja";
  requireMake();
  return "Unix Makefiles";
}

export function requireMake() {
  if (!answers("make") && !answers("gmake")) {
    throw new MissingTool("make was not found: install it (Debian: apt-get install make)");
  }
}

/** Python, which node-gyp needs. */
export function requirePython() {
  const names = [process.env.npm_config_python, process.env.PYTHON, "python3", "python"].filter(Boolean);
  if (!names.some((name) => answers(name))) {
    throw new MissingTool(
      "neither CMake nor python3 was found, and the build needs one of them: install either (Debian: apt-get install python3)",
    );
  }
}

/** The path of node-gyp: npm's own, by the variable that npm sets, or beside the npm or Node that runs this. */
export function requireNodeGyp() {
  const inside = join("node_modules", "node-gyp", "bin", "node-gyp.js");
  const candidates = [
    process.env.npm_config_node_gyp,
    process.env.npm_execpath && join(dirname(process.env.npm_execpath), "..", inside),
    join(dirname(process.execPath), "..", "lib", "node_modules", "npm", inside),
    join(dirname(process.execPath), "..", "share", "nodejs", "npm", inside),
  ];
  const found = candidates.find((path) => path && existsSync(path));
  if (found === undefined) throw new MissingTool("node-gyp was not found: install npm, which brings it");
  return found;
}
