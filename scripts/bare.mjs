/**
 * The way from a bare clone to a task: installs what package-lock.json names where node_modules differs from it,
 * builds what has changed, then runs the task. Uses nothing but Node and npm.
 *
 *     node scripts/bare.mjs test|demo [arguments of the task]
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const TASKS = { test: ["scripts/test.mjs"], demo: ["dist/cli.js", "demo"] };

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (error) console.error(`valora: ${command} could not be started: ${error.message}.`);
  return status ?? 1;
}

const node = (...args) => run(process.execPath, args);

function npm(...args) {
  const program = process.env.npm_execpath;
  if (program && /\.c?js$/.test(program)) return node(program, ...args);
  return run("npm", args, { shell: process.platform === "win32" });
}

/** Whether node_modules holds every package of package-lock.json at its version; npm records there what it put. */
function isInstalled() {
  const installed = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return false;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const there = JSON.parse(readFileSync(installed, "utf8")).packages;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === "" || there[path]?.version === entry.version || (there[path] === undefined && entry.optional === true),
  );
}

function main([task, ...args]) {
  if (!Object.hasOwn(TASKS, task)) {
    console.error(`usage: node scripts/bare.mjs ${Object.keys(TASKS).join("|")}`);
    return 2;
  }
  const steps = [
    () => (isInstalled() ? 0 : npm("ci")),
    () => node("scripts/build-native.mjs"),
    () => node("scripts/build-lib.mjs"),
    () => node(...TASKS[task], ...args),
  ];
  for (const step of steps) {
    const status = step();
    if (status !== 0) return status;
  }
  return 0;
}

process.exitCode = main(process.argv.slice(2));
