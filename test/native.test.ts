/** The core's own tests (native/test), each as one test here; scripts/test.mjs has built them and left the list. */
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { promisify } from "node:util";

type NativeTests =
  | { tests: { name: string; command: [string, ...string[]] }[] }
  | { skipped: string }
  | { failed: string };

const native = JSON.parse(await readFile(new URL("../native-tests.json", import.meta.url), "utf8")) as NativeTests;
const run = promisify(execFile);

if ("skipped" in native) {
  test("the core's own tests pass", { skip: native.skipped }, () => {});
} else if ("failed" in native) {
  test("the core's own tests are built", () => assert.fail(native.failed));
} else {
  test("the core has tests of its own", () => assert.notEqual(native.tests.length, 0));
  for (const { name, command } of native.tests) {
    test(`the core's ${name} passes`, async () => {
      const [program, ...args] = command;
      await run(program, args).catch((error: { stdout: string; stderr: string; message: string }) => {
        assert.fail(`${error.message}\n${error.stdout}${error.stderr}`);
      });
    });
  }
}
