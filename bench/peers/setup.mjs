/**
 * Gets the peers: a Python environment with the pinned packages, and llama.cpp built from the source that
 * llama-cpp-python's sdist carries. What cannot be had is answered with a reason, never thrown: its contenders are left out.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const REQUIREMENTS = join(here, "requirements.txt");

/** The release whose sdist is unpacked; what of llama.cpp lies in it says its own version. */
const LLAMA_CPP_PYTHON = "0.3.36";

/** Runs a program whose output goes to stderr. @throws an Error that names it where it fails */
function run(command, args, options = {}) {
  console.error(`$ ${[command, ...args].join(" ")}`);
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", 2, 2], ...options });
  if (error) throw new Error(`${command} could not be started: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args[0]} ended with status ${status}; its output is above`);
}

/** What `make` returns, or why it failed. */
function attempt(make) {
  try {
    return make();
  } catch (error) {
    return { reason: error.message };
  }
}

/** `python` is an environment's program that is used as it stands; without one, an environment is made in `folder`. */
export function setUpPython(folder, python) {
  return attempt(() => {
    const program = python ?? installPython(join(folder, "python"));
    const { versions, missing } = installedVersions(program);
    if (missing.length > 0)
      throw new Error(`${program} lacks ${missing.join(", ")}: install ${REQUIREMENTS} there, or leave --python out`);
    return { program, versions };
  });
}

function installPython(environment) {
  const program = join(environment, "bin", "python");
  const stamp = join(environment, "requirements.txt");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === readFileSync(REQUIREMENTS, "utf8")) return program;
  if (!existsSync(program)) run("python3", ["-m", "venv", environment]);
  run(program, ["-m", "pip", "install", "--requirement", REQUIREMENTS]);
  copyFileSync(REQUIREMENTS, stamp);
  return program;
}

/** Of the packages in requirements.txt. */
function installedVersions(program) {
  const names = readFileSync(REQUIREMENTS, "utf8").match(/^[\w-]+(?===)/gm);
  const code = `
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
print(json.dumps({"python": sys.version.split()[0], **found}))`;
  const { status, stdout, error } = spawnSync(program, ["-c", code, ...names], { encoding: "utf8" });
  if (error || status !== 0) throw new Error(`${program} is no Python that runs`);
  const versions = JSON.parse(stdout);
  return { versions, missing: names.filter((name) => !(name in versions)) };
}

/** llama_peer, built in `folder`. pip fetches the source, so that `python` only has to have pip. */
export function setUpLlama(folder, python) {
  return attempt(() => {
    const root = join(folder, "llama");
    mkdirSync(root, { recursive: true });
    const sdist = join(root, `llama_cpp_python-${LLAMA_CPP_PYTHON}`);
    const source = join(sdist, "vendor", "llama.cpp");
    if (!existsSync(join(source, "CMakeLists.txt"))) {
      const what = [`llama-cpp-python==${LLAMA_CPP_PYTHON}`, "--no-deps", "--no-binary=:all:", "--dest", root];
      run(python, ["-m", "pip", "download", ...what]);
      run("tar", ["-xzf", `${sdist}.tar.gz`, "-C", root]);
    }
    const build = join(root, "build");
    run("cmake", ["-S", join(here, "llama"), "-B", build, `-DLLAMA_SOURCE=${source}`]);
    run("cmake", ["--build", build, "--target", "llama_peer", "--parallel", `${availableParallelism()}`]);
    const program = join(build, "llama_peer");
    const version = spawnSync(program, ["version"], { encoding: "utf8" }).stdout.trim();
    return { program, versions: { "llama.cpp": `${version} (in llama-cpp-python ${LLAMA_CPP_PYTHON})` } };
  });
}
