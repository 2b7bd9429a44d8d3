/** Input, output and failure of a command that needs no addon: `valora tokenize` on a tiny model. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  assertRefused,
  lines,
  parseLines,
  readLines,
  results,
  run,
  start,
  until,
  withFolder,
  writeTinyModel,
} from "./program.js";

let model = "";
before(() => {
  model = writeTinyModel(mkdtempSync(join(tmpdir(), "valora-cli-model-")));
});
after(() => rmSync(model, { recursive: true, force: true }));

const tokenize = (...args: string[]): string[] => ["tokenize", "--model", model, ...args];

/** "hello" is "hel", "l", "o" in the tiny vocabulary: two merges, then byte symbols in order from "!" = 5. */
const HELLO = [4, 5 + 108 - 33, 5 + 111 - 33];

describe("valora tokenize", () => {
  test("reads standard input and writes nothing but results to standard output", async () => {
    const outcome = await run(tokenize("--input", "-"), { input: lines({ id: "a", text: "hello" }) });
    assert.deepEqual(results(outcome), [{ id: "a", tokens: HELLO, text: "hello" }]);
    assert.equal(outcome.stderr, "");
  });

  test("takes the last line without its newline, empty lines, and U+2028 within a line", async () => {
    const input = `\n{"id": "a", "text": "x\u2028y"}\n\n{"id": "b", "text": "z"}`;
    const texts = results(await run(tokenize("--input", "-"), { input })).map(({ id, text }) => [id, text]);
    assert.deepEqual(texts, [
      ["a", "x\u2028y"],
      ["b", "z"],
    ]);
  });

  test("renders messages with the chat template, and the generation prompt unless told not to", async () => {
    const input = lines({ id: "a", messages: [{ role: "user", content: "hi" }] });
    const [[full], [bare]] = await Promise.all([
      run(tokenize("--input", "-"), { input }).then(results),
      run(tokenize("--input", "-", "--no-generation-prompt"), { input }).then(results),
    ]);
    assert.equal(full?.text, `${String(bare?.text)}<|im_start|>assistant\n`);
    assert.equal((full!.tokens as number[])[0], 1, "<|im_start|> is one token");
    const [chat] = results(await run(tokenize("--input", "-", "--chat"), { input: lines({ id: "a", text: "hi" }) }));
    assert.equal(chat?.text, full?.text);
  });

  test("takes another template by name", async () => {
    const input = lines({ id: "a", messages: [{ role: "user", content: "hi" }] });
    const [result] = results(await run(tokenize("--input", "-", "--chat-template", "human-assistant"), { input }));
    assert.match(String(result?.text), /Human: ?hi/);
  });

  test("reads gzip whatever the file is called, and a file of --config under the command line", async () => {
    await withFolder(async (folder) => {
      const input = join(folder, "input");
      writeFileSync(input, gzipSync(lines({ id: "a", text: "hello" })));
      const config = join(folder, "options.yaml");
      writeFileSync(config, `model: ${model}\ninput: no-such-file\nchat: true\ngenerationPrompt: false\n`);
      const [result] = results(await run(["tokenize", "--config", config, "--input", input, "--no-chat"]));
      assert.deepEqual(result?.tokens, HELLO);
    });
  });
});

describe("--output", () => {
  test("appears when it is complete and not before", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out", "tokens.jsonl");
      const running = start(tokenize("--input", "-", "--output", output));
      running.child.stdin?.write(lines({ id: "a", text: "hello" }));
      await until("a draft", () => existsSync(join(folder, "out")) && readdirSync(join(folder, "out")).length > 0);
      assert.ok(!existsSync(output));
      running.child.stdin?.end();
      const outcome = await running.ended;
      assert.equal(outcome.status, 0, outcome.stderr);
      assert.equal(outcome.stdout, "");
      assert.deepEqual(readdirSync(join(folder, "out")), ["tokens.jsonl"]);
      assert.equal(readLines(output).length, 1);
    });
  });

  test("leaves an older file as it was where the work fails, and no draft", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "tokens.jsonl");
      writeFileSync(output, "older\n");
      const input = `${lines({ id: "a", text: "hello" })}not JSON\n`;
      assertRefused(await run(tokenize("--input", "-", "--output", output), { input }), 1, "standard input, line 2");
      assert.equal(readFileSync(output, "utf8"), "older\n");
      assert.deepEqual(readdirSync(folder), ["tokens.jsonl"]);
    });
  });

  test("leaves nothing behind where the work is interrupted, and exits with 130", async () => {
    await withFolder(async (folder) => {
      const running = start(tokenize("--input", "-", "--output", join(folder, "tokens.jsonl")));
      running.child.stdin?.write(lines({ id: "a", text: "hello" }));
      await until("a draft", () => readdirSync(folder).length > 0);
      running.child.kill("SIGINT");
      const outcome = await running.ended;
      assert.equal(outcome.status, 130, outcome.stderr);
      assert.match(outcome.stderr, /^valora tokenize: interrupted[^\n]*\n$/);
      assert.deepEqual(readdirSync(folder), []);
    });
  });

  test("that cannot be written is refused", async () => {
    await withFolder(async (folder) => {
      writeFileSync(join(folder, "file"), "");
      const outcome = await run(tokenize("--input", "-", "--output", join(folder, "file", "out.jsonl")), {
        input: lines({ id: "a", text: "x" }),
      });
      assertRefused(outcome, 1, join(folder, "file", "out.jsonl"));
    });
  });
});

describe("a command that is stopped", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`ends with 130 on ${signal} while it waits for input`, async () => {
      const running = start(tokenize("--input", "-"));
      running.child.stdin?.write(lines({ id: "a", text: "hello" }));
      await until("the first result", () => running.stdout().includes("\n"));
      running.child.kill(signal);
      const outcome = await running.ended;
      assert.equal(outcome.status, 130, outcome.stderr);
      assert.equal(parseLines(outcome.stdout).length, 1);
      assert.match(outcome.stderr, /^valora tokenize: interrupted[^\n]*\n$/);
    });
  }

  test("ends quietly with 0 where the reader of its output has gone", async () => {
    const running = start(tokenize("--input", "-"));
    const line = lines({ id: "a", text: "hello ".repeat(200) });
    running.child.stdin?.write(line);
    await until("the first result", () => running.stdout().includes("\n"));
    running.child.stdout?.destroy();
    for (let i = 0; i < 500; ++i) running.child.stdin?.write(line);
    running.child.stdin?.end();
    const outcome = await running.ended;
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.equal(outcome.stderr, "");
  });
});

describe("bad input lines", () => {
  const input = `${lines({ id: "a", text: "x" })}{"id": 7, "text": "y"}\nnot JSON\n${lines({ id: "d" }, { id: "e", text: "z" })}`;

  test("end the work with 1 and the line's number", async () => {
    const outcome = await run(tokenize("--input", "-"), { input });
    assert.equal(outcome.status, 1);
    assert.match(outcome.stderr, /^valora tokenize: standard input, line 2: id: [^\n]+\n$/);
    assert.equal(parseLines(outcome.stdout).length, 1);
  });

  test("are left out, named and counted with --on-error skip", async () => {
    const outcome = await run(tokenize("--input", "-", "--on-error", "skip"), { input });
    assert.deepEqual(
      results(outcome).map(({ id }) => id),
      ["a", "e"],
    );
    for (const line of [2, 3, 4]) assert.match(outcome.stderr, new RegExp(`line ${line}: `));
    assert.match(outcome.stderr, /left out: 3/);
  });

  test("are events of the log with --json-logs, and nothing else is in it", async () => {
    const outcome = await run(tokenize("--input", "-", "--json-logs"), { input });
    assert.equal(outcome.status, 1);
    const events = parseLines(outcome.stderr);
    const last = events.at(-1);
    assert.equal(last?.event, "error");
    assert.equal(last?.code, "ERR_DATA_FORMAT");
    assert.match(String(last?.message), /line 2/);
  });

  test("of bytes that are not UTF-8 are refused", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "latin1.jsonl");
      writeFileSync(path, Buffer.from('{"id": "a", "text": "\xe9"}\n', "latin1"));
      assertRefused(await run(tokenize("--input", path)), 1, path, "line 1", "UTF-8");
    });
  });
});

describe("a failure", () => {
  test("is one sentence without --debug, and brings the stack with it", async () => {
    const missing = tokenize("--input", "no-such-file.jsonl");
    assertRefused(await run(missing), 1, "no-such-file.jsonl", "does not exist");
    const debug = await run([...missing, "--debug"]);
    assert.equal(debug.status, 1);
    assert.match(debug.stderr, /\n +at /);
  });

  test("of a model that is not there says how to get one", async () => {
    await withFolder(async (folder) => {
      const env = { VALORA_CACHE: folder };
      assertRefused(await run(["tokenize", "--model", "no-such-model", "--input", "-"], { env }), 1, "no-such-model");
      assertRefused(await run(["inspect", "smollm2-135m-instruct"], { env }), 1, "valora pull smollm2-135m-instruct");
    });
  });

  test("of a name that cannot be pulled names those that can", async () => {
    const outcome = await run(["pull", "no-such-model"]);
    assert.ok(outcome.status === 1 || outcome.status === 2, outcome.stderr);
    assertRefused(outcome, outcome.status, "no-such-model", "smollm2-135m-instruct");
  });

  test("of messages for a model without a template names --chat-template", async () => {
    await withFolder(async (folder) => {
      writeTinyModel(folder);
      const config = join(folder, "tokenizer_config.json");
      const { chat_template: _, ...rest } = JSON.parse(readFileSync(config, "utf8"));
      writeFileSync(config, JSON.stringify(rest));
      const input = lines({ id: "a", messages: [{ role: "user", content: "hi" }] });
      const outcome = await run(["tokenize", "--model", folder, "--input", "-"], { input });
      assert.ok(outcome.status === 1 || outcome.status === 2);
      assertRefused(outcome, outcome.status, "--chat-template");
    });
  });
});
