/** `valora curate` as a user runs it: what it prints, what it leaves, what it refuses; and its files train as they are. */
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { assertRefused, lines, readLines, run, start, until, withFolder, writeTinyModel } from "../cli/program.js";
import { GOLDEN } from "../golden.js";
import { randomPairs, readCsv, writePairs } from "./support.js";

const VALUES = ["empathy", "humor"];
const PAIRS = randomPairs({ count: 120, seed: 1, values: VALUES });
const curateTo = (output: string, input: string, ...more: string[]): string[] => [
  "curate",
  "--input",
  input,
  "--output",
  output,
  "--min-pairs",
  "1",
  ...more,
];

/** A folder with labelled pairs in it, and the path where the curated ones will be. */
async function withPairs(body: (input: string, output: string, folder: string) => Promise<void>): Promise<void> {
  await withFolder((folder) =>
    body(writePairs(join(folder, "labelled.jsonl"), PAIRS), join(folder, "curated"), folder),
  );
}

describe("valora curate", () => {
  it("prints the study's counts beside its own, and writes what it says", async () => {
    await withPairs(async (input, output) => {
      const { status, stdout, stderr } = await run(curateTo(output, input, "--held-out", "0.3"));
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^120 pairs read, 120 kept$/m);
      assert.match(stdout, /31,157 \+ 35,352 = 66,509 +53\.2 %/);
      const counts = readCsv(join(output, "counts.csv"));
      assert.deepEqual(Object.keys(counts[0]!), ["value", "chosen", "rejected", "total", "pairs", "flipped_share"]);
      for (const { value, chosen, rejected, total, pairs } of counts) {
        assert.match(stdout, new RegExp(`^${value} +${chosen} \\+ ${rejected} = ${total} `, "m"));
        const train = readLines(join(output, `${value}.jsonl`));
        const heldOut = readLines(join(output, `${value}.held-out.jsonl`));
        assert.equal(train.length, Number(pairs));
        assert.equal(train.length + heldOut.length, Number(total));
      }
      for (const row of readdirSync(output)) assert.doesNotMatch(row, /tmp/);
    });
  });

  it("says nothing of the study where that has no figures for any of the values", async () => {
    await withFolder(async (folder) => {
      const pairs = randomPairs({ count: 40, seed: 2, values: ["longer", "thrift"] });
      const input = writePairs(join(folder, "labelled.jsonl"), pairs);
      const { status, stdout, stderr } = await run(curateTo(join(folder, "curated"), input));
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^longer +\d+ \+ \d+ = \d+ +\d+\.\d %$/m);
      assert.doesNotMatch(stdout, /study|share/);
    });
  });

  it("reads several files, gzip too, as if they were one", async () => {
    await withPairs(async (input, output, folder) => {
      const [first, second] = [join(folder, "first.jsonl"), join(folder, "second.jsonl")];
      writePairs(first, PAIRS.slice(0, 50));
      writeFileSync(second, gzipSync(lines(...PAIRS.slice(50))));
      await run(curateTo(output, input));
      const both = join(folder, "both");
      const { status, stderr } = await run([...curateTo(both, first), "--input", second]);
      assert.equal(status, 0, stderr);
      for (const value of VALUES)
        assert.deepEqual(readLines(join(both, `${value}.jsonl`)), readLines(join(output, `${value}.jsonl`)));
    });
  });

  it("leaves a folder that is up to date alone, and replaces it where options, input or a file of it differ", async () => {
    await withPairs(async (input, output) => {
      assert.match((await run(curateTo(output, input))).stdout, /pairs read/);
      const again = await run(curateTo(output, input));
      assert.deepEqual([again.status, again.stdout], [0, ""]);
      assert.match(again.stderr, /up to date/);
      const before = readFileSync(join(output, "humor.jsonl"), "utf8");

      appendFileSync(join(output, "humor.jsonl"), "damage\n");
      assert.match((await run(curateTo(output, input))).stdout, /pairs read/);
      assert.equal(readFileSync(join(output, "humor.jsonl"), "utf8"), before);

      assert.match((await run(curateTo(output, input, "--value", "humor"))).stdout, /pairs read/);
      assert.ok(!existsSync(join(output, "empathy.jsonl")), "files of the older run are gone");

      const more = randomPairs({ count: 130, seed: 1, values: VALUES }).slice(120);
      appendFileSync(input, lines(...more.map((pair) => ({ ...pair, prompt: `${pair.prompt} and then some` }))));
      assert.match((await run(curateTo(output, input, "--value", "humor"))).stdout, /130 pairs read/);
    });
  });

  it("keeps off a folder that holds other work", async () => {
    await withPairs(async (input, output) => {
      mkdirSync(output);
      writeFileSync(join(output, "thesis.txt"), "years of work");
      assertRefused(await run(curateTo(output, input)), 2, "thesis.txt", "another folder");
      assert.deepEqual(readdirSync(output), ["thesis.txt"]);
    });
    await withPairs(async (input, output) => {
      await run(curateTo(output, input));
      mkdirSync(join(output, "adapters"));
      assertRefused(await run(curateTo(output, input, "--seed", "1")), 2, "adapters");
    });
  });

  it("stops at Ctrl-C with 130 and leaves nothing", async () => {
    await withFolder(async (folder) => {
      const input = writePairs(join(folder, "in.jsonl"), randomPairs({ count: 20_000, seed: 2, values: VALUES }));
      const running = start([...curateTo(join(folder, "out"), input), "--json-logs"]);
      await until("the first progress", () => running.stderr().includes("progress"));
      running.child.kill("SIGINT");
      const { status } = await running.ended;
      assert.equal(status, 130);
      assert.deepEqual(readdirSync(folder), ["in.jsonl"]);
    });
  });
});

describe("curated files", () => {
  it("train as they are", async () => {
    await withPairs(async (input, output, folder) => {
      assert.equal((await run(curateTo(output, input, "--held-out", "0.3"))).status, 0);
      const model = join(folder, "model");
      mkdirSync(model);
      writeTinyModel(model);
      copyFileSync(join(GOLDEN, "llama-tied", "model.safetensors"), join(model, "model.safetensors"));
      copyFileSync(join(GOLDEN, "llama-tied", "config.json"), join(model, "config.json"));
      for (const value of VALUES) {
        const adapter = join(folder, value);
        const { status, stderr } = await run([
          ...["train", "--model", model, "--pairs", join(output, `${value}.jsonl`), "--output", adapter],
          ...["--eval-pairs", join(output, `${value}.held-out.jsonl`), "--steps", "2", "--device", "cpu"],
        ]);
        assert.equal(status, 0, stderr);
        const metrics = readLines(join(adapter, "metrics.jsonl"));
        assert.equal(metrics.length, 2);
        assert.ok(Math.abs((metrics[0]!.loss as number) - Math.LN2) < 1e-6);
      }
    });
  });
});

describe("hostile input to valora curate", () => {
  const pair = PAIRS[0]!;
  const labelled = (more: object): object => ({ ...pair, values: { chosen: ["humor"], rejected: [] }, ...more });
  const cases: [title: string, text: string, status: number, ...parts: string[]][] = [
    ["an unlabelled pair", lines({ ...pair, values: undefined }), 1, 'no "values"', "valora label"],
    [
      "labels that are no lists",
      lines(labelled({ values: { chosen: "humor", rejected: [] } })),
      1,
      "line 1",
      "values.chosen",
    ],
    ["one side labelled", lines(labelled({ values: { chosen: ["humor"] } })), 1, "line 1", "values.rejected"],
    [
      "scores that are no numbers",
      lines(labelled({ scores: { chosen: { humor: "high" }, rejected: {} } })),
      1,
      "scores",
    ],
    ["a broken line", `${lines(labelled({}))}{"id":`, 1, "line 2"],
    [
      "an id of two pairs",
      lines(labelled({}), labelled({ prompt: "another" })),
      1,
      `"${pair.id}"`,
      "two different pairs",
    ],
    ["nothing at all", "", 1, "none of the 0 pairs"],
    ["no label", lines(labelled({ values: { chosen: [], rejected: [] } })), 1, "none of the 1 pairs"],
    ["a value without a name", lines(labelled({ values: { chosen: [""], rejected: [] } })), 2, "cannot name a file"],
    ["a name too long", lines(labelled({ values: { chosen: ["v".repeat(300)], rejected: [] } })), 2, "200 bytes"],
    [
      "names that differ in case alone",
      lines(labelled({ values: { chosen: ["humor", "Humor"], rejected: [] } })),
      2,
      "case",
    ],
  ];
  for (const [title, text, status, ...parts] of cases) {
    it(`refuses ${title}, and leaves nothing`, async () => {
      await withFolder(async (folder) => {
        writeFileSync(join(folder, "in.jsonl"), text);
        assertRefused(await run(curateTo(join(folder, "out"), join(folder, "in.jsonl"))), status, ...parts);
        assert.deepEqual(readdirSync(folder), ["in.jsonl"]);
      });
    });
  }

  it("refuses standard input, a pipe, a folder, a missing file, and options out of range", async () => {
    await withPairs(async (input, output, folder) => {
      const twice = "reads its input twice";
      assertRefused(await run(curateTo(output, "-"), { input: "{}" }), 2, twice);
      assertRefused(await run(curateTo(output, "/dev/null")), 2, twice);
      assertRefused(await run(curateTo(output, folder)), 2, folder);
      assertRefused(await run(curateTo(output, join(folder, "nonesuch"))), 1, "nonesuch", "does not exist");
      assertRefused(await run(curateTo("-", input)), 2, "--output");
      for (const value of ["0.3", "1.1", "on", "NaN"])
        assertRefused(await run(curateTo(output, input, "--near-duplicates", value)), 2, "--near-duplicates", value);
      assertRefused(await run(curateTo(output, input, "--held-out", "1")), 2, "--held-out");
      assertRefused(await run(["curate", "--input", input, "--output", output]), 1, "--min-pairs", "500");
    });
  });

  it("writes values of any name into files of the folder, and takes special property names for what they are", async () => {
    await withFolder(async (folder) => {
      const names = ["../../escape", "a.held-out", "open mind", "__proto__", "constructor", "смелость"];
      const text = names.map((name, index) =>
        lines(labelled({ id: name, prompt: `question ${index}`, values: { chosen: [name], rejected: [] } })),
      );
      writeFileSync(join(folder, "in.jsonl"), text.join(""));
      const { status, stderr } = await run(
        curateTo(join(folder, "out"), join(folder, "in.jsonl"), "--held-out", "0", "--threshold", "0.5"),
      );
      assert.equal(status, 0, stderr);
      assert.deepEqual(readdirSync(folder).sort(), ["in.jsonl", "out"]);
      const files = readdirSync(join(folder, "out")).filter((name) => name.endsWith(".jsonl"));
      assert.deepEqual(
        files.sort(),
        ["%2E%2E%2F%2E%2E%2Fescape", "__proto__", "a%2Eheld-out", "constructor", "open mind", "смелость"].map(
          (name) => `${name}.jsonl`,
        ),
      );
    });
  });

  it("is left out, told and counted with --on-error skip, the same in both passes", async () => {
    await withFolder(async (folder) => {
      const [bad, good] = [`not JSON\n${lines({ ...pair, values: undefined })}`, lines(labelled({}))];
      const clash = lines(labelled({ prompt: "another" }));
      const last = lines(labelled({ id: "last", prompt: "yet another" }));
      writeFileSync(join(folder, "in.jsonl"), bad + good + clash + last);
      const { status, stderr } = await run(
        curateTo(join(folder, "out"), join(folder, "in.jsonl"), "--on-error", "skip", "--held-out", "0"),
      );
      assert.equal(status, 0, stderr);
      assert.match(stderr, /left out: 3/);
      assert.deepEqual(
        readLines(join(folder, "out", "humor.jsonl")).map(({ id }) => id),
        [pair.id, "last"],
      );
    });
  });
});
