/**
 * What the addon is built from, as one hash: build-native.mjs stamps each addon with it and rebuilds where it
 * has changed.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";

function walk(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}

/** SHA-256 over the names and contents of every file that reaches the addon, and the platform it is for. */
export function hashNativeSources(root) {
  const native = join(root, "native");
  const files = walk(native)
    .filter((path) => !relative(native, path).startsWith(`test${sep}`))
    .concat(["CMakeLists.txt", "binding.gyp", "cmake/cuda.cmake"].map((name) => join(root, name)))
    .map((path) => [relative(root, path).split(sep).join("/"), path])
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash("sha256").update(`${process.platform}-${process.arch}\n`);
  for (const [name, path] of files) {
    const content = readFileSync(path);
    hash.update(`${name} ${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}
