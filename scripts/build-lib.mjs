/**
 * Compiles lib/ into dist/ and bundles the report page's script with ECharts, then removes from dist/ what no longer has a source, so that nothing stale is
 * imported or packed. Files are replaced one by one: a program that runs from dist/ meanwhile goes on.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));

/** The path of the TypeScript compiler's program. */
export function typescriptCompiler() {
  const packageFile = createRequire(import.meta.url).resolve("typescript/package.json");
  return join(dirname(packageFile), "bin", "tsc");
}

function prune(dist, lib) {
  for (const entry of readdirSync(dist, { withFileTypes: true })) {
    const path = join(dist, entry.name);
    const stem = join(lib, entry.name.replace(/(\.d)?\.(js|ts)(\.map)?$/, ""));
    if (entry.isDirectory() && existsSync(join(lib, entry.name))) prune(path, join(lib, entry.name));
    else if (!existsSync(`${stem}.ts`)) rmSync(path, { recursive: true });
  }
}

/** What the licences of the bundled libraries ask of every copy; NOTICE has the whole. */
const LICENCES = `/*!
Apache ECharts, Copyright 2017-2026 The Apache Software Foundation, Apache License 2.0. This product includes software
developed at The Apache Software Foundation (https://www.apache.org/).
zrender, Copyright (c) 2017, Baidu Inc., BSD 3-Clause License (https://github.com/ecomfe/zrender/blob/master/LICENSE).
tslib, Copyright (c) Microsoft Corporation, BSD Zero Clause License.
*/`;

/** One file that the page holds whole; only the charts that it draws are in it. */
function bundlePageScript() {
  buildSync({
    entryPoints: [join(root, "lib/report/browser/main.ts")],
    outfile: join(root, "dist/report/browser/main.js"),
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    define: { "process.env.NODE_ENV": '"production"' },
    banner: { js: LICENCES },
    legalComments: "none",
    tsconfig: join(root, "lib/report/browser/tsconfig.json"),
    logLevel: "warning",
  });
}

function main() {
  for (const project of ["tsconfig.json", "lib/report/browser/tsconfig.json"]) {
    const { status } = spawnSync(process.execPath, [typescriptCompiler(), "-p", project], {
      cwd: root,
      stdio: "inherit",
    });
    if (status !== 0) return status ?? 1;
  }
  bundlePageScript();
  prune(join(root, "dist"), join(root, "lib"));
  const program = join(root, "dist", "cli.js");
  if (existsSync(program)) chmodSync(program, 0o755); // `npx valora` in a clone runs this very file
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
