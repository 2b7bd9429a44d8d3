/**
 * `valora study` on a tiny model, as from a shell: killed at random moments and continued, a job that fails, a folder
 * that is not its own.
 *
 * Seen failing: with a job taken for done because its folder is there, and with a failure that ends the run.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "csv-parse/sync";
import { drawBelow } from "#lib/engine/random.js";
import { assertRefused, lines, readLines, run, start, until, withFolder } from "../cli/program.js";
import { tinyPairs, writeTinyStudy } from "./support.js";

const KILLS = 10;

const study = (folder: string, output: string, ...more: string[]) => [
  "study",
  join(folder, "study.yaml"),
  "--output",
  output,
  "--threads",
  "1",
  ...more,
];

/** A cache of its own: what another test has computed would be found there. */
const inFolder = (folder: string) => ({ env: { VALORA_CACHE: join(folder, "cache") } });

describe("valora study", () => {
  it("comes to the same bytes when it is killed at ten random moments and continued", async () => {
    await withFolder(async (folder) => {
      writeTinyStudy(folder);
      const whole = join(folder, "whole");
      const uninterrupted = await run(study(folder, whole), inFolder(folder));
      assert.equal(uninterrupted.status, 0, uninterrupted.stderr);
      rmSync(join(folder, "cache"), { recursive: true });

      const killed = join(folder, "killed");
      const reached = new Set<number>();
      for (let kill = 0; kill < KILLS; kill++) {
        const running = start(study(folder, killed, "--json-logs"), inFolder(folder));
        running.child.stdin?.end();
        // Some jobs on, and then up to 100 ms into the next: at the first kill, even before the first.
        const jobs = kill === 0 ? 0 : drawBelow(6, 7, 0, kill);
        const ended = () => running.stderr().split('"event":"job"').length - 1;
        await until("some jobs end", () => ended() >= jobs || running.child.exitCode !== null);
        await new Promise((resolve) => setTimeout(resolve, drawBelow(100, 7, 1, kill)));
        running.child.kill("SIGKILL");
        await running.ended;
        const done = (name: string) => (existsSync(join(killed, name)) ? readdirSync(join(killed, name)).length : 0);
        reached.add(done("jobs") + done("adapters"));
      }
      assert.ok(reached.size >= 5, `killed in different places: ${[...reached].join(", ")} jobs done or begun`);
      const finished = await run(study(folder, killed), inFolder(folder));
      assert.equal(finished.status, 0, finished.stderr);
      assert.equal(finished.stdout, uninterrupted.stdout);
      for (const name of ["items.jsonl", "checkpoints.csv", "examples.jsonl", "answers.jsonl"])
        assert.ok(readFileSync(join(killed, name)).equals(readFileSync(join(whole, name))), name);
      for (const part of ["jobs", "adapters", "data"])
        assert.deepEqual(readdirSync(join(killed, part)).sort(), readdirSync(join(whole, part)).sort());
      assert.ok(!existsSync(join(killed, "lock.json")));

      // What people read of it: the page, and every table.
      for (const output of [whole, killed]) {
        const reported = await run(["report", output], inFolder(folder));
        assert.equal(reported.status, 0, reported.stderr);
      }
      const tables = readdirSync(join(whole, "tables"));
      assert.deepEqual(readdirSync(join(killed, "tables")), tables);
      assert.ok(tables.includes("crosstalk.csv") && tables.includes("dose.json"), tables.join());
      for (const name of ["report.html", ...tables.map((table) => join("tables", table))])
        assert.ok(readFileSync(join(killed, name)).equals(readFileSync(join(whole, name))), name);
    });
  });

  it("writes an item for every pair, metric and checkpoint, and a second run does nothing", async () => {
    await withFolder(async (folder) => {
      writeTinyStudy(folder);
      const output = join(folder, "out");
      const first = await run(study(folder, output), inFolder(folder));
      assert.equal(first.status, 0, first.stderr);
      const items = readLines(join(output, "items.jsonl"));
      assert.deepEqual(
        [...new Set(items.map(({ suite }) => suite))],
        ["preferences", "perplexity", "words", "divergence"],
      );
      const margins = items.filter(({ metric }) => metric === "log_margin");
      // base, and 2 values × (2 arms × 2 seeds × 2 checkpoints + 2 system prompts), over 3 values of 6 pairs; what
      // the runs of `kind` say of the pair that is labelled so as well is left out.
      assert.equal(margins.length, (1 + 2 * (8 + 2)) * 18 - (8 + 2));
      const both = margins.filter(({ item }) => item === "calm:held:0");
      assert.deepEqual([...new Set(both.map(({ value }) => value))], [undefined, "bold"]);
      assert.equal(
        new Set(margins.map(({ adapter, step, task, item }) => JSON.stringify([adapter, step, task, item]))).size,
        margins.length,
      );
      assert.deepEqual([...new Set(items.filter(({ arm }) => arm === "induce").map(({ step }) => step))], [3, 6]);
      // A row of checkpoints.csv, once more and by hand.
      const rows = parse(readFileSync(join(output, "checkpoints.csv"), "utf8"), { columns: true }) as Record<
        string,
        string
      >[];
      const row = rows.find(({ adapter, step }) => adapter === "bold/induce/seed-2" && step === "6")!;
      const of = (adapter: string, step?: number) =>
        new Map(
          margins
            .filter((item) => item.adapter === adapter && item.step === step && item.task === "bold")
            .map(({ item, y }) => [item, y as number]),
        );
      const [base, moved] = [of("base"), of("bold/induce/seed-2", 6)];
      assert.equal(moved.size, 6);
      const shift = [...moved].reduce((sum, [item, y]) => sum + y - base.get(item)!, 0) / 6;
      assert.ok(Math.abs(shift - Number(row.shift)) < 1e-9, `${shift} and ${row.shift}`);
      assert.ok(existsSync(join(output, row.folder!, "adapter_model.safetensors")), row.folder);
      assert.ok(shift > 0, `training on it moves it: ${shift}`);
      const kls = items.filter(
        ({ adapter, step, metric }) => adapter === "bold/induce/seed-2" && step === 6 && metric === "kl",
      );
      assert.equal(kls.length, 3);
      assert.ok(Math.abs(kls.reduce((sum, { y }) => sum + (y as number), 0) / 3 - Number(row.kl)) < 1e-9);

      const examples = readLines(join(output, "examples.jsonl"));
      assert.deepEqual(
        examples.filter(({ item }) => item === "calm:held:0").map(({ matching, other }) => [matching, other]),
        tinyPairs("calm", "held", 1).map(({ chosen, rejected }) => [chosen, rejected]),
      );
      const answers = readLines(join(output, "answers.jsonl"));
      assert.equal(answers.length, 2 * (1 + 2 * (8 + 2)));
      const refusals = items.filter(({ suite }) => suite === "words");
      assert.equal(refusals.length, answers.length);
      assert.deepEqual([...new Set(refusals.map(({ grader }) => grader))], ["refusal-match"]);
      for (const { item } of answers) assert.ok(examples.some((example) => example.item === item && example.prompt));

      const times = () =>
        readdirSync(join(output, "jobs")).map((key) => statSync(join(output, "jobs", key, "items.jsonl")).mtimeMs);
      const before = times();
      const second = await run(study(folder, output), inFolder(folder));
      assert.match(second.stderr, /0 jobs ran/);
      assert.deepEqual(times(), before);
      assert.equal(second.stdout, first.stdout);

      // What was damaged is made again, to the same bytes.
      const saved = readFileSync(join(output, "items.jsonl"));
      const part = join(output, "jobs", readdirSync(join(output, "jobs"))[0]!, "items.jsonl");
      writeFileSync(part, readFileSync(part).subarray(5));
      const third = await run(study(folder, output), inFolder(folder));
      assert.match(third.stderr, /1 jobs ran/);
      assert.ok(readFileSync(join(output, "items.jsonl")).equals(saved));
    });
  });

  it("goes on past a job that fails, keeps its reason, exits 1, and tries it again", async () => {
    await withFolder(async (folder) => {
      const { data } = writeTinyStudy(folder, (yaml) => yaml.replace("[induce, random, system]", "[induce]"));
      const path = join(data, "bold.train.jsonl");
      const pairs = tinyPairs("bold", "train", 12);
      writeFileSync(path, lines({ ...pairs[0], chosen_tokens: [99_999] }, ...pairs.slice(1)));
      const output = join(folder, "out");
      const broken = await run(study(folder, output), inFolder(folder));
      assert.equal(broken.status, 1);
      assert.match(
        broken.stderr,
        /\nvalora study: \d+ jobs failed, the first tiny: bold\/induce\/seed-1: pair "bold:train:0": token 99999 [^\n]+\n$/,
      );
      const adapters = new Set(readLines(join(output, "items.jsonl")).map(({ adapter }) => adapter));
      assert.deepEqual([...adapters], ["base", "kind/induce/seed-1", "kind/induce/seed-2"]);
      const reasons = readdirSync(join(output, "failures")).map(
        (name) => JSON.parse(readFileSync(join(output, "failures", name), "utf8")).reason as string,
      );
      assert.equal(reasons.filter((reason) => reason.startsWith('pair "bold:train:0": token 99999')).length, 2);
      assert.equal(
        reasons.filter((reason) => /^it needs tiny: bold\/induce\/seed-\d, which failed$/.test(reason)).length,
        16,
      );

      writeFileSync(path, lines(...pairs));
      const mended = await run(study(folder, output), inFolder(folder));
      assert.equal(mended.status, 0, mended.stderr);
      assert.ok(!existsSync(join(output, "failures")));
      assert.ok(readLines(join(output, "items.jsonl")).some(({ adapter }) => adapter === "bold/induce/seed-2"));
    });
  });

  it("stops at Ctrl-C with 130 and goes on from there", async () => {
    await withFolder(async (folder) => {
      writeTinyStudy(folder);
      const output = join(folder, "out");
      const running = start(study(folder, output, "--json-logs"), inFolder(folder));
      running.child.stdin?.end();
      await until("a job ends", () => running.stderr().includes('"event":"job"'));
      running.child.kill("SIGINT");
      assert.equal((await running.ended).status, 130);
      assert.ok(!existsSync(join(output, "lock.json")));
      assert.equal((await run(study(folder, output), inFolder(folder))).status, 0);
    });
  });

  it("lets a judge of the study's choosing read answers, and says before it starts what is missing for that", async () => {
    await withFolder(async (folder) => {
      const judged = (yaml: string) =>
        yaml
          .replace("graders: [refusal-match]", "graders: [refusal-match, refusal-judge]")
          .replace("[induce, random, system]", "[induce]");
      writeTinyStudy(folder, judged);
      const output = join(folder, "out");
      assertRefused(await run(study(folder, output), inFolder(folder)), 2, "refusal-judge", "judge: model");
      writeTinyStudy(folder, (yaml) => yaml.replace("refusal-match", "values-lexicon"));
      assertRefused(await run(study(folder, output), inFolder(folder)), 2, "values-lexicon:empathy");
      writeTinyStudy(folder, (yaml) => `${judged(yaml)}judge: {model: model}\n`);
      const result = await run(study(folder, output), inFolder(folder));
      assert.equal(result.status, 0, result.stderr);
      const graded = readLines(join(output, "items.jsonl")).filter(({ suite }) => suite === "words");
      assert.deepEqual([...new Set(graded.map(({ grader }) => grader))], ["refusal-match", "refusal-judge"]);
      // Two prompts, read by two graders, from the base and 2 values × 2 seeds × 2 checkpoints.
      assert.equal(graded.length, 2 * 2 * (1 + 8));
    });
  });

  it("prints a plan of every job without running one", async () => {
    await withFolder(async (folder) => {
      writeTinyStudy(folder);
      const output = join(folder, "out");
      const plan = await run(study(folder, output, "--plan", "--rate", "1000"), inFolder(folder));
      assert.equal(plan.status, 0, plan.stderr);
      // The base by 2 measures; 2 values × 2 arms × 2 seeds; of each 2 checkpoints × 3 measures; 3 prompts × 3 measures:
      // the two values' neutral prompts have as many words, so they are one.
      assert.match(plan.stdout, /tiny +reference +3 +0 .*\n +train +8 +0 .*\n +evaluate +76 +0 .*\nall +87 +0 /);
      assert.match(plan.stdout, /disk: about [\d.]+ MB/);
      assert.ok(!existsSync(join(output, "jobs")));
    });
  });

  it("refuses a folder of other work, one that another process works in, and a model that is not there", async () => {
    await withFolder(async (folder) => {
      writeTinyStudy(folder);
      const output = join(folder, "out");
      assertRefused(
        await run(study(folder, folder.concat("/pairs")), inFolder(folder)),
        2,
        "bold.held-out.jsonl",
        "another folder",
      );
      const running = start(study(folder, output), inFolder(folder));
      await until("the lock is taken", () => existsSync(join(output, "lock.json")));
      assertRefused(await run(study(folder, output), inFolder(folder)), 2, "works on this study");
      running.child.kill("SIGKILL");
      await running.ended;
      writeTinyStudy(folder, (yaml) => yaml.replace("model: model", "model: nowhere"));
      assertRefused(await run(study(folder, join(folder, "other")), inFolder(folder)), 2, "nowhere");
    });
  });
});
