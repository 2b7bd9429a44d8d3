/** `valora label --extractor api` as a user runs it: what it asks, what it leaves behind, and how it goes on after an end. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type Answer, type ApiServer, withApiServer } from "../values/api-server.js";
import { assertRefused, lines, type Outcome, readLines, results, run, start, until, withFolder } from "./program.js";

const KEY = "sk-secret-5d1e8b";
const CONCURRENCY = 4;
const COUNT = 20;
const PAIRS = Array.from({ length: COUNT }, (_, i) => ({
  id: `p${i}`,
  prompt: "Q",
  chosen: `${i % 2 === 0 ? "humor" : "dull"} ${i}`,
  rejected: `empathy ${i}`,
}));
const RESPONSES = PAIRS.flatMap(({ chosen, rejected }) => [chosen, rejected]).sort();
const LABELS = PAIRS.map(({ chosen }) => ({
  chosen: chosen.startsWith("humor") ? ["humor"] : [],
  rejected: ["empathy"],
}));

interface Trial {
  server: ApiServer;
  folder: string;
  output: string;
  args: string[];
  env: Record<string, string>;
  label(...more: string[]): Promise<Outcome>;
}

async function withTrial(answer: Answer, body: (trial: Trial) => Promise<void>): Promise<void> {
  await withFolder((folder) =>
    withApiServer(answer, async (server) => {
      const [input, output] = [join(folder, "pairs.jsonl"), join(folder, "out", "labelled.jsonl")];
      writeFileSync(input, lines(...PAIRS));
      const endpoint = ["--extractor", "api", "--api-url", server.url, "--api-model", "m"];
      const wanted = ["--value", "humor", "--value", "empathy"];
      const args = ["label", "--input", input, ...endpoint, ...wanted, "--output", output];
      const env = { VALORA_CACHE: join(folder, "cache"), VALORA_API_KEY: KEY, OPENAI_API_KEY: "" };
      await body({ server, folder, output, args, env, label: (...more) => run([...args, ...more], { env }) });
    }),
  );
}

const well: Answer = (_, reply) => reply.score();
const asked = (server: ApiServer): string[] => server.asked.map(({ response }) => response).sort();
const labelsOf = (output: string) => readLines(output).map(({ values }) => values);

/** In no file under `folder`, and in nothing that was said. */
function assertNoKey(folder: string, ...outcomes: Outcome[]): void {
  for (const { stdout, stderr } of outcomes) assert.ok(!`${stdout}${stderr}`.includes(KEY), "the key is printed");
  let files = 0;
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    const path = join(folder, name);
    if (!statSync(path).isFile()) continue;
    files += 1;
    assert.ok(!readFileSync(path, "utf8").includes(KEY), `the key is in ${name}`);
  }
  assert.ok(files > 0);
}

describe("valora label --extractor api", () => {
  test("says what it will ask and cost, asks each response once, and nothing when it runs again", async () => {
    await withTrial(well, async ({ server, folder, output, label }) => {
      const prices = ["--api-price-in", "1000", "--api-price-out", "2000"];
      const outcome = await label(...prices);
      assert.equal(outcome.status, 0, outcome.stderr);
      const note =
        /to ask: 40 requests \(0 responses .* about ([\d,]+) tokens in and ([\d,]+) out.* price of about (\S+)/;
      const [tokensIn, tokensOut, price] = (note.exec(outcome.stderr) ?? [])
        .slice(1)
        .map((text) => Number(text.replace(",", ""))) as [number, number, number];
      assert.ok(Math.abs(price - (tokensIn * 1000 + tokensOut * 2000) / 1e6) <= 0.005, outcome.stderr);
      assert.deepEqual(asked(server), RESPONSES);
      assert.ok(server.asked.every(({ authorization }) => authorization === `Bearer ${KEY}`));
      assert.deepEqual(labelsOf(output), LABELS);

      const priced = await label("--api-price-in", "1", "--api-price-out", "1", "--api-concurrency", "2");
      assert.match(priced.stderr, /up to date/);
      rmSync(output);
      const again = await label("--json-logs", "--debug");
      assert.match(again.stderr, /"requests":0,"known":40,"tokens_in":0/);
      assert.equal(server.asked.length, COUNT * 2);
      assert.deepEqual(labelsOf(output), LABELS);
      assertNoKey(folder, outcome, priced, again);
    });
  });

  test("killed while requests are under way, goes on with exactly what was not answered", async () => {
    const ANSWERED = 11;
    let hang = true;
    const stalling: Answer = (_, reply, index) => {
      if (!hang || index < ANSWERED) reply.score();
    };
    await withTrial(stalling, async ({ server, folder, output, args, env, label }) => {
      const running = start(args, { env });
      // A call begins when the one before it is on the disk, so that all calls waiting means that all answers are kept.
      await until("every call hangs", () => server.asked.length === ANSWERED + CONCURRENCY);
      const answered = server.asked.slice(0, ANSWERED).map(({ response }) => response);
      running.child.kill("SIGKILL");
      assert.equal((await running.ended).signal, "SIGKILL");
      assert.ok(!existsSync(output));
      assertNoKey(folder, await running.ended);

      hang = false;
      server.asked.length = 0;
      const outcome = await label();
      assert.equal(outcome.status, 0, outcome.stderr);
      assert.match(outcome.stderr, /to ask: 29 requests \(11 responses/);
      assert.deepEqual(
        asked(server),
        RESPONSES.filter((response) => !answered.includes(response)),
      );
      assert.deepEqual(labelsOf(output), LABELS);
    });
  });

  test("killed at any moment, asks again at most what was under way", async () => {
    for (const moment of [1, 6, 17, 30])
      await withTrial(well, async ({ server, output, args, env, label }) => {
        const running = start(args, { env });
        await until("some requests came", () => server.asked.length >= moment);
        running.child.kill("SIGKILL");
        await running.ended;
        const outcome = await label();
        assert.equal(outcome.status, 0, outcome.stderr);
        const twice = server.asked.length - RESPONSES.length;
        assert.ok(twice <= CONCURRENCY, `${twice} asked twice`);
        assert.deepEqual([...new Set(asked(server))], RESPONSES);
        assert.deepEqual(labelsOf(output), LABELS);
      });
  });

  test("ends in one sentence when the server dies half-way, leaves no file, and goes on when it is back", async () => {
    let left = 15;
    const answered: string[] = [];
    const dying: Answer = ({ response }, reply) => {
      if (left-- <= 0) return reply.status(503, { error: { message: `down, ${KEY}` } }, { "retry-after": "0" });
      answered.push(response);
      reply.score();
    };
    await withTrial(dying, async ({ server, folder, output, label }) => {
      // Skipping is for bad input: a server that is gone would skip everything.
      const failed = await label("--quiet", "--on-error", "skip");
      assertRefused(failed, 1, "503", "[key]", "kept");
      assert.ok(!existsSync(output));

      left = Number.POSITIVE_INFINITY;
      server.asked.length = 0;
      const before = [...answered];
      const outcome = await label();
      assert.equal(outcome.status, 0, outcome.stderr);
      assert.deepEqual(
        asked(server),
        RESPONSES.filter((response) => !before.includes(response)),
      );
      assert.deepEqual(labelsOf(output), LABELS);
      assertNoKey(folder, failed, outcome);
    });
  });

  test("leaves out a pair whose response is refused under --on-error skip, and names it otherwise", async () => {
    const choosy: Answer = (one, reply) =>
      one.response === "empathy 3" ? reply.status(400, { error: { message: `filtered ${KEY}` } }) : reply.score();
    await withTrial(choosy, async ({ folder, output, label }) => {
      const failed = await label("--quiet");
      assertRefused(failed, 1, 'pair "p3", rejected response', "400", "filtered");
      const outcome = await label("--on-error", "skip");
      assert.equal(outcome.status, 0, outcome.stderr);
      assert.match(outcome.stderr, /left out: 1/);
      assert.equal(readLines(output).length, COUNT - 1);
      assertNoKey(folder, failed, outcome);
    });
  });

  test("Ctrl-C ends it at once though the server is silent", async () => {
    await withTrial(
      () => {},
      async ({ server, output, args, env }) => {
        const running = start(args, { env });
        await until("requests are under way", () => server.asked.length === CONCURRENCY);
        const started = performance.now();
        running.child.kill("SIGINT");
        const { status, stderr } = await running.ended;
        assert.equal(status, 130);
        assert.match(stderr, /interrupted/);
        assert.ok(performance.now() - started < 5000);
        assert.ok(!existsSync(output));
      },
    );
  });

  test("finds a bad line before anything is asked, except in input that can be read only once", async () => {
    await withTrial(well, async ({ server, folder, env, args, label }) => {
      writeFileSync(join(folder, "pairs.jsonl"), `${lines(...PAIRS)}{"id":"bad"}\n`);
      assertRefused(await label("--quiet"), 1, "line 21");
      assert.equal(server.asked.length, 0);
      const piped = args.slice(0, -2).map((word, i) => (i === 2 ? "-" : word));
      const outcome = await run(piped, { env, input: lines(PAIRS[0]) });
      assert.deepEqual(
        results(outcome).map(({ values }) => values),
        [LABELS[0]],
      );
      assert.match(outcome.stderr, /no estimate/);
    });
  });

  test("says in one sentence what is missing or wrong", async () => {
    const label = (env: Record<string, string>, ...args: string[]) =>
      run(["label", "--input", "-", "--extractor", "api", "--quiet", ...args], { env });
    assertRefused(await label({}), 2, "--api-url", "--api-model");
    const bad = await label({}, "--api-url", `https://x:${KEY}@host/v1`, "--api-model", "m");
    assertRefused(bad, 2, "--api-url", "VALORA_API_KEY");
    assert.ok(!bad.stderr.includes(KEY));
    const key = await label({ VALORA_API_KEY: `${KEY} x` }, "--api-url", "https://h", "--api-model", "m", "--debug");
    assert.equal(key.status, 2);
    assert.ok(!key.stderr.includes(KEY));
    const price = await label({}, "--api-url", "https://h", "--api-model", "m", "--api-price-in", "1");
    assertRefused(price, 2, "--api-price-out");
  });
});
