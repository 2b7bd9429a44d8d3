/** Many pairs in little memory: the text of the dialogues alone is more than twice the heap. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../golden.js";

test("fifty thousand pairs go through a heap of 32 MiB, in lines, in an array and in CSV", () => {
  const script = join(ROOT, "bench/readers.mjs");
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, "--pairs", "50000", "--heap", "32"], {
    encoding: "utf8",
    timeout: 170_000,
  });
  assert.equal(status, 0, stderr);
  const counts = [...stdout.matchAll(/ (\d+) pairs \(/g)].map((match) => Number(match[1]));
  assert.deepEqual(counts, [50_000, 50_000, 50_000, 50_000, 50_000]);
});
