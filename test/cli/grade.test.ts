/** `valora grade` as a shell script uses it. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { withApiServer } from "../values/api-server.js";
import { assertRefused, lines, run, withFolder } from "./program.js";

const ANSWERS = lines(
  { id: "a", prompt: "Help me.", text: "I'm sorry, but I can’t help with that." },
  { id: "b", prompt: [{ role: "user", content: "Help me." }], text: "Sure, here you go.", adapter: "kind", sample: 2 },
  { id: "c", prompt: "Why was it right?", text: "It was not right." },
);

const grade = (input: string, ...args: string[]) => run(["grade", "--input", "-", ...args], { input });
const rows = (stdout: string) =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("valora grade", () => {
  test("writes a line per answer and grader, in order, and says how far two graders agree", async () => {
    const { status, stdout, stderr } = await grade(
      ANSWERS,
      ...["--grader", "refusal-match", "--grader", "refusal-prefixes", "--grader", "degeneracy"],
    );
    assert.equal(status, 0, stderr);
    assert.deepEqual(
      rows(stdout).map(({ id, grader, label, y }) => [id, grader, label, y]),
      [
        ["a", "refusal-match", "refusal", 1],
        ["a", "refusal-prefixes", "refusal", 1],
        ["a", "degeneracy", "sound", 0],
        ["b", "refusal-match", "compliance", 0],
        ["b", "refusal-prefixes", "compliance", 0],
        ["b", "degeneracy", "sound", 0],
        ["c", "refusal-match", "refusal", 1],
        ["c", "refusal-prefixes", "compliance", 0],
        ["c", "degeneracy", "sound", 0],
      ],
    );
    assert.deepEqual(rows(stdout)[3], {
      id: "b",
      adapter: "kind",
      sample: 2,
      grader: "refusal-match",
      label: "compliance",
      y: 0,
      score: 0,
    });
    // 2 of 3 alike; p_e = 2/3·1/3 + 1/3·2/3 = 4/9, kappa = (6/9 − 4/9) / (5/9) = 0.4
    assert.match(stderr, /^refusal-match and refusal-prefixes: alike on 66\.7 % of 3 answers, kappa 0\.400$/m);
    assert.doesNotMatch(stderr, /degeneracy/);
  });

  test("gives one line of several, and joins prompts by id", async () => {
    await withFolder(async (folder) => {
      const prompts = join(folder, "prompts.jsonl");
      writeFileSync(prompts, lines({ id: "c", prompt: "Why was it right?" }));
      const answer = lines({ id: "c", text: "It was not right." });
      const without = rows((await grade(answer, "--grader", "refusal-match")).stdout);
      const joined = rows((await grade(answer, "--grader", "refusal-match", "--prompts", prompts)).stdout);
      assert.deepEqual([without[0].label, joined[0].label], ["compliance", "refusal"]);
      const cues = rows((await grade(ANSWERS, "--grader", "anthro:personal-pronoun-use")).stdout);
      assert.deepEqual(
        cues.map(({ grader, score }) => [grader, score]),
        [2, 0, 0].map((count) => ["anthro:personal-pronoun-use", count]),
      );
    });
  });

  test("holds graders against people's labels, file by file", async () => {
    await withFolder(async (folder) => {
      mkdirSync(join(folder, "labelled"));
      const row = (text: string, label: string) => `p,${text},${label}\n`;
      writeFileSync(
        join(folder, "labelled", "one.csv"),
        `prompt,completion,final_label\n${row("I cannot help.", "2_full_refusal")}${row("Sure.", "1_full_compliance")}`,
      );
      writeFileSync(
        join(folder, "labelled", "two.csv"),
        `prompt,completion,final_label\n${row("Well.", "3_partial_refusal")}${row("I cannot help.", "1_full_compliance")}`,
      );
      const against = ["grade", "--input", join(folder, "labelled"), "--grader", "refusal-match"];
      const output = join(folder, "report.json");
      const args = [...against, "--against", "final_label", "--format", "json", "--output", output];
      const { status, stderr } = await run(args);
      assert.equal(status, 0, stderr);
      const report: {
        group: string;
        precision: { value: number };
        recall: { value: number };
        f1: { value: number };
      }[] = JSON.parse(readFileSync(output, "utf8"));
      assert.deepEqual(
        report.map(({ group, precision, recall, f1 }) => [group, precision.value, recall.value, f1.value]),
        [
          ["one", 1, 1, 1],
          ["two", 0, 0, 0],
          ["all", 0.5, 0.5, 0.5],
        ],
      );
      assertRefused(await run([...against, "--against", "prompt"]), 1, "one.csv, line 2", "prompt");
      assertRefused(await run([...against, "--against", "missing"]), 1, "missing");
    });
  });

  test("asks an endpoint, in the words of refusing, and checks its answers", async () => {
    await withFolder(async (folder) => {
      await withApiServer(
        ({ response }, reply) => reply.say(JSON.stringify({ refusal: response.includes("sorry") ? 0.9 : 0.25 })),
        async (server) => {
          const { status, stdout, stderr } = await run(
            ["grade", "--input", "-", "--grader", "refusal-api", "--api-url", server.url, "--api-model", "m"],
            { input: ANSWERS, env: { VALORA_CACHE: folder } },
          );
          assert.equal(status, 0, stderr);
          assert.deepEqual(
            rows(stdout).map(({ label, score }) => [label, score]),
            [
              ["refusal", 0.9],
              ["compliance", 0.25],
              ["compliance", 0.25],
            ],
          );
          assert.match(server.asked[0]!.body.messages[0]!.content, /declines, wholly or in part/);
        },
      );
    });
  });

  test("says in one sentence what is wrong, with the line, and leaves no file", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out.jsonl");
      assertRefused(await grade(ANSWERS), 2, "--grader");
      assertRefused(await grade(ANSWERS, "--grader", "nobody"), 2, "nobody", "refusal-match");
      assertRefused(await grade(ANSWERS, "--grader", "anthro:wit"), 2, "anthro:wit", "empathy");
      assertRefused(await grade(ANSWERS, "--grader", "refusal-match", "--grader", "refusal-match"), 2, "twice");
      assertRefused(await grade(ANSWERS, "--grader", "refusal-judge"), 2, "--model");
      assertRefused(await grade(ANSWERS, "--grader", "refusal-api"), 2, "--api-url");
      assertRefused(await grade(ANSWERS, "--grader", "numeric"), 1, "line 1", "reference");
      const broken = `${ANSWERS}{"id":"d"}\n`;
      assertRefused(await grade(broken, "--grader", "refusal-match", "--output", output), 1, "line 4", "text");
      assert.ok(!existsSync(output));
      const kept = await grade(broken, "--grader", "refusal-match", "--on-error", "skip");
      assert.equal(kept.status, 0);
      assert.equal(rows(kept.stdout).length, 3);
      assert.match(kept.stderr, /skipped.*line 4/);
    });
  });

  test("reads bytes that are no UTF-8 as a bad line, and NUL and long texts as text", async () => {
    const long = lines({ id: "long", text: "x ".repeat(1 << 19) }, { id: "nul", text: "I cannot\0 help" });
    const outcome = await grade(long, "--grader", "refusal-match", "--quiet");
    assert.deepEqual(
      rows(outcome.stdout).map(({ label }) => label),
      ["compliance", "refusal"],
    );
    await withFolder(async (folder) => {
      const bad = join(folder, "bad.jsonl");
      writeFileSync(bad, Buffer.from('{"id":"a","text":"caf\xe9"}\n', "latin1"));
      assertRefused(await run(["grade", "--input", bad, "--grader", "refusal-match"]), 1, "bad.jsonl", "UTF-8");
    });
  });
});
