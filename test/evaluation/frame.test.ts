/**
 * The frame: one pass for all adapters, parts that are reused, summaries, the user's suites, and the command.
 *
 * Seen failing: with a part's key without the task's version, a variance without G / (G − 1), lengths in UTF-16 units, a
 * stop that cuts nothing, and passages cut within a surrogate pair.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Model } from "#lib/engine/model.js";
import { openModel } from "#lib/engine/open.js";
import { CancelledError, DataFormatError, UsageError } from "#lib/errors.js";
import type { Measurement } from "#lib/evaluation/item.js";
import { planTasks, type Subject } from "#lib/evaluation/plan.js";
import { type RunOptions, runTasks } from "#lib/evaluation/run.js";
import { DataSources } from "#lib/evaluation/sources.js";
import { readSuiteFile } from "#lib/evaluation/suite-file.js";
import { passagesOf } from "#lib/evaluation/suites/perplexity.js";
import { readQuestion } from "#lib/evaluation/suites/qa/layouts.js";
import { chooseTasks } from "#lib/evaluation/suites.js";
import { Summary } from "#lib/evaluation/summary.js";
import type { LikelihoodQuestion, Question, Task } from "#lib/evaluation/task.js";
import { cutAtStop } from "#lib/evaluation/write-answers.js";
import { assertRefused, lines, readLines, run, withFolder, writeTinyModel } from "../cli/program.js";
import { assertNear, collect, GOLDEN } from "../engine/support.js";

const FOLDER = join(GOLDEN, "llama-tied");

/** Five questions in tokens; margin = log p(first) − log p(second). */
function tokenTask(name: string, onLoad: () => void = () => {}): Task {
  return {
    suite: "s",
    name,
    about: "",
    source: "own",
    version: "1",
    *load(_, { limit = 5 }): Generator<Question> {
      onLoad();
      for (let index = 0; index < Math.min(limit, 5); index++) {
        yield {
          kind: "likelihood",
          id: `${name}${index}`,
          cluster: `${name}${index >> 1}`,
          requests: [{ context_tokens: [1, 2, 3 + index], completions_tokens: [[7, 8], [9]] }],
          read: ([results]) => ({ margin: results![0]!.logprob - results![1]!.logprob }),
        };
      }
    },
  };
}

const base: Subject = { names: { adapter: "base" }, adapter: null };

async function withTiny<T>(body: (model: Model, options: RunOptions & { partsFolder: string }) => Promise<T>) {
  return withFolder(async (folder) => {
    await using model = await openModel(FOLDER, { device: "cpu", threads: 1 });
    return await body(model, { data: new DataSources(), seed: 0, partsFolder: folder });
  });
}

async function measure(model: Model, subjects: Subject[], tasks: Task[], options: RunOptions) {
  const planned = await planTasks(model, subjects, tasks, options);
  const all: (Measurement & { adapter: string })[] = [];
  for await (const { subject, measurements } of runTasks(model, subjects, planned, options))
    for await (const measurement of measurements) all.push({ adapter: subject.names.adapter, ...measurement });
  return all;
}

const partsIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".jsonl"));

describe("a run", () => {
  it("gives every adapter what it gets alone, in the order of the questions", async () => {
    await withTiny(async (model, options) => {
      await using adapter = await model.loadAdapter(FOLDER);
      const on: Subject = { names: { adapter: "on", value: "v" }, adapter };
      const together = await measure(model, [base, on], [tokenTask("t")], options);
      assert.deepEqual(
        together.map(({ adapter, item }) => `${adapter} ${item}`),
        ["base", "on"].flatMap((name) => [0, 1, 2, 3, 4].map((index) => `${name} t${index}`)),
      );
      const score = async (alone: typeof adapter | null) =>
        collect(
          model.score([{ id: "x", context_tokens: [1, 2, 4], completions_tokens: [[7, 8], [9]] }], {
            adapters: { x: alone },
          }),
        );
      for (const [index, alone] of [
        [1, null],
        [6, adapter],
      ] as const) {
        const [first, second] = await score(alone);
        assert.equal(together[index]!.y, first!.logprob - second!.logprob);
      }
      assert.notEqual(together[1]!.y, together[6]!.y);
    });
  });

  it("asks nothing twice, not even for another adapter beside a known one", async () => {
    await withTiny(async (model, options) => {
      const first = await measure(model, [base], [tokenTask("t")], options);
      assert.equal(partsIn(options.partsFolder).length, 1);
      let scored = 0;
      const score = model.score.bind(model);
      model.score = (requests, scoreOptions) => {
        scored += Object.keys(scoreOptions?.adapters ?? {}).length;
        return score(requests, scoreOptions);
      };
      assert.deepEqual(await measure(model, [base], [tokenTask("t")], options), first);
      assert.equal(scored, 0);
      await using adapter = await model.loadAdapter(FOLDER);
      await measure(model, [base, { names: { adapter: "on" }, adapter }], [tokenTask("t")], options);
      assert.equal(scored, 1, "only the adapter is asked");
      const changed = { ...tokenTask("t"), version: "2" };
      await measure(model, [base], [changed], options);
      assert.equal(scored, 2, "another version is another part");
      await measure(model, [base], [tokenTask("t")], { ...options, limit: 3 });
      assert.equal(scored, 3, "other questions are another part");
    });
  });

  it("keeps finished tasks when it is stopped, and goes on to the same result", async () => {
    await withTiny(async (model, options) => {
      const stop = new AbortController();
      let loads = 0;
      // The second task is stopped at its second reading: the plan is the first.
      const tasks = [
        tokenTask("a"),
        tokenTask("b", () => {
          if (++loads === 2) stop.abort(new CancelledError("interrupted"));
        }),
      ];
      await assert.rejects(measure(model, [base], tasks, { ...options, signal: stop.signal }), CancelledError);
      assert.equal(partsIn(options.partsFolder).length, 1, "one part is whole, and there is no half one");
      const resumed = await measure(model, [base], tasks, options);
      const fresh = await withTiny((other, otherOptions) => measure(other, [base], tasks, otherOptions));
      assert.deepEqual(resumed, fresh);
    });
  });

  it("refuses an id that two questions have, and a task without questions", async () => {
    await withTiny(async (model, options) => {
      const twice: Task = {
        ...tokenTask("t"),
        *load(...args) {
          yield* tokenTask("t").load(...args) as Iterable<Question>;
          yield* tokenTask("t").load(...args) as Iterable<Question>;
        },
      };
      await assert.rejects(planTasks(model, [base], [twice], options), DataFormatError);
      await assert.rejects(planTasks(model, [base], [{ ...twice, *load() {} }], options), /no question/);
    });
  });
});

describe("a summary", () => {
  const item = (adapter: string, item: string, cluster: string, y: number, task = "t", metric = "m") => ({
    model: "m",
    adapter,
    suite: "s",
    task,
    metric,
    item,
    cluster,
    y,
  });
  const find = (summary: Summary, metric: string, adapter: string, task = "t") =>
    summary.rows().find((row) => row.metric === metric && row.adapter === adapter && row.task === task)!;

  it("has the cluster-robust error of the mean, which is s/√n where items stand alone", () => {
    const alone = new Summary([{ suite: "s", name: "t" }]);
    for (const [index, y] of [1, 2, 4, 9].entries()) alone.add(item("base", `${index}`, `${index}`, y));
    // numpy: std([1, 2, 4, 9], ddof=1) / 2 = 1.7795130420052185
    assertNear(find(alone, "m", "base").stderr!, 1.7795130420052185, 1e-12, "stderr");
    assertNear(find(alone, "m", "base").ci_high!, 4 + 1.959963984540054 * 1.7795130420052185, 1e-9, "ci_high");
    const paired = new Summary([{ suite: "s", name: "t" }]);
    for (const [index, y] of [1, 2, 4, 9].entries()) paired.add(item("base", `${index}`, `${index >> 1}`, y));
    // Clusters {1, 2}, {4, 9}: residuals −5 and 5, so √(2 · 50) / 4.
    assertNear(find(paired, "m", "base").stderr!, 2.5, 1e-12, "clustered stderr");
  });

  it("pairs differences from base by item", () => {
    const summary = new Summary([{ suite: "s", name: "t" }]);
    for (const [index, y] of [10, 20, 60].entries()) {
      summary.add(item("base", `${index}`, `${index}`, y));
      summary.add(item("on", `${index}`, `${index}`, y + 1));
    }
    const delta = find(summary, "delta_m", "on");
    assert.equal(delta.value, 1);
    assertNear(delta.stderr!, 0, 1e-9, "the same step everywhere has no error");
    assert.ok(find(summary, "m", "on").stderr! > 10);
  });

  it("adds up the tasks of a group item by item, in front of them", () => {
    const summary = new Summary(["a", "b"].map((name) => ({ suite: "s", name, group: "g" })));
    for (const y of [1, 1, 1]) summary.add(item("base", "x", `${Math.random()}`, y, "a"));
    summary.add(item("base", "x", "y", 0, "b"));
    assert.deepEqual(
      summary.rows().map(({ task, value, n }) => [task, value, n]),
      [
        ["g", 0.75, 4],
        ["a", 1, 3],
        ["b", 0, 1],
      ],
    );
  });

  it("makes perplexity of sums, not of means of ratios", () => {
    const ratios = { ppl: { over: "nats", by: "words", scale: "exp" } } as const;
    const summary = new Summary([{ suite: "s", name: "t", ratios }]);
    for (const [index, [nats, words]] of [
      [2, 1],
      [4, 5],
    ].entries()) {
      summary.add(item("base", `${index}`, `${index}`, nats!, "t", "nats"));
      summary.add(item("base", `${index}`, `${index}`, words!, "t", "words"));
    }
    const rows = summary.rows();
    assert.deepEqual(
      rows.map(({ metric }) => metric),
      ["ppl"],
    );
    assertNear(rows[0]!.value, Math.E, 1e-12, "e^(6/6)");
    // Residuals 2 − 1 and 4 − 5; √(2 · 2) / 6, times the slope e.
    assertNear(rows[0]!.stderr!, (2 / 6) * Math.E, 1e-12, "stderr");
  });
});

describe("questions of files", () => {
  const results = (...logprobs: number[]) => [
    logprobs.map((logprob, completion) => ({
      id: "",
      adapter: "",
      completion,
      logprob,
      tokens: 1,
      bytes: 1,
      greedy: logprob > -1,
    })),
  ];
  const ask = (row: Record<string, unknown>): LikelihoodQuestion => readQuestion(row, "q", "f, line 1");

  it("are read in every layout", () => {
    const hub = { question: "Q?", choices: { text: ["x", "yy"], label: ["A", "B"] }, answerKey: "B" };
    assert.deepEqual(ask(hub).requests, [{ context: "Question: Q?\nAnswer:", completions: [" x", " yy"] }]);
    assert.deepEqual(ask(hub).read(results(-1, -1.5)), { acc: 0, acc_norm: 1, acc_bytes: 1, log_margin: -0.5 });
    const authors = {
      question: {
        stem: "Q?",
        choices: [
          { text: "x", label: "1" },
          { text: "yy", label: "2" },
        ],
      },
    };
    assert.deepEqual(ask({ ...authors, answerKey: "1" }).read(results(-1, -1.5)).acc, 1);
    assert.deepEqual(ask({ query: "Q\n", choices: ["a", "b"], gold: 0 }).requests[0]!.context, "Q\n");
    const schema = ask({ context_options: ["A", "B"], continuation: "c", gold: 1 });
    assert.deepEqual(
      schema.requests,
      ["A", "B"].map((context) => ({ context, completions: [" c"] })),
    );
    assert.equal(schema.read([...results(-2), ...results(-1)]).acc, 1);
    assert.equal(ask({ context: "A", continuation: "b" }).read(results(-0.5)).acc, 1);
    const hellaswag = { activity_label: "Cooking", ctx_a: "A man [x] stirs.", ctx_b: "he STOPS", endings: ["a", "b"] };
    assert.equal(ask({ ...hellaswag, label: "1" }).requests[0]!.context, "Cooking: A man stirs. He stops");
  });

  it("count length in code points and bytes", () => {
    const row = { question: "Q", choices: ["🙂🙂", "abc"], answer: 0 };
    // Per code point −2 and −1.9, per byte −0.5 and −1.9.
    const read = ask(row).read(results(-4, -5.7));
    assert.deepEqual([read.acc, read.acc_norm, read.acc_bytes], [1, 0, 1]);
  });

  it("are refused with file and line where they cannot be asked", () => {
    for (const row of [
      { a: 1 },
      { query: "Q", choices: ["a", "b"], gold: 2 },
      { question: "Q", choices: ["a", "b"], answer: "C" },
      { question: "Q", choices: ["a"], answer: 0 },
      { goal: "g", sol1: "a", sol2: "b" },
    ])
      assert.throws(
        () => ask(row),
        (error: Error) => error instanceof DataFormatError && /f, line 1: /.test(error.message),
      );
  });
});

describe("perplexity's passages", () => {
  const cut = async (text: string, length: number, piece = 7): Promise<string[]> => {
    async function* chunks() {
      for (let at = 0; at < text.length; at += piece) yield text.slice(at, at + piece);
    }
    return collect(passagesOf(chunks(), length));
  };

  it("give the text when put together, however it arrives, and end before lines with text", async () => {
    const text = Array.from(
      { length: 40 },
      (_, index) => ` line ${index} of some words \n${index % 3 ? "" : " \n"}`,
    ).join("");
    const passages = await cut(text, 60);
    assert.equal(passages.join(""), text);
    assert.deepEqual(await cut(text, 60, 1000), passages);
    assert.ok(passages.length > 5);
    for (const passage of passages) assert.match(passage, /^[^\S\n]*\S.*\n$/s);
  });

  it("end before a space in long lines, and between characters where there is none", async () => {
    const words = "word ".repeat(100);
    for (const passage of (await cut(words, 30)).slice(1)) assert.match(passage, /^ \S/);
    const smileys = `x${"🙂".repeat(300)}`;
    const passages = await cut(smileys, 31);
    assert.equal(passages.join(""), smileys);
    for (const passage of passages) assert.match(passage, /^[x🙂]+$/u);
  });
});

it("an answer ends before the first of its stops", () => {
  assert.deepEqual(cutAtStop("ab STOP c END", ["END", "STOP"]), { text: "ab ", stopped: true });
  assert.deepEqual(cutAtStop("ab", ["x"]), { text: "ab", stopped: false });
});

describe("a suite file", () => {
  const read = (yaml: string) =>
    withFolder(async (folder) => {
      const path = join(folder, "s.yaml");
      writeFileSync(path, yaml);
      writeFileSync(join(folder, "q.jsonl"), lines({ id: "one", city: "Rome", options: ["a", "b"], answer: "B" }));
      const tasks = await readSuiteFile(path);
      const questions: Question[] = [];
      for (const task of tasks)
        for await (const question of task.load(new DataSources(), { seed: 0 })) questions.push(question);
      return { tasks, questions };
    });

  it("makes tasks of the user's own data", async () => {
    const { questions } = await read(`name: mine
tasks:
  - {name: c, kind: choices, file: q.jsonl, prompt: "In {city}?"}
  - {name: g, kind: generation, file: q.jsonl, prompt: "In {city}?", chat: true, reference: answer, pattern: "is (.)"}
`);
    const [choice, generation] = questions;
    assert.ok(choice?.kind === "likelihood" && generation?.kind === "generation");
    assert.deepEqual(choice.requests, [{ context: "In Rome?", completions: [" a", " b"] }]);
    assert.deepEqual(generation.prompt, [{ role: "user", content: "In Rome?" }]);
    const info = { tokens: 1, finish: "stop" } as const;
    assert.deepEqual(generation.read!("It is B, I think", info), { exact_match: 1 });
    assert.deepEqual(generation.read!("It is A", info), { exact_match: 0 });
  });

  it("is refused with file and line", async () => {
    const head = "name: mine\ntasks:\n";
    for (const [yaml, place] of [
      [
        `${head}  - {name: a, kind: choices, file: q.jsonl}\n  - {name: b, kind: guess, file: q.jsonl}\n`,
        /s\.yaml, line 4/,
      ],
      [
        `${head}  - name: a\n    kind: generation\n    file: q.jsonl\n    prompt: x\n    pattern: "("\n`,
        /s\.yaml, line 7/,
      ],
      [`${head}  - {name: a, kind: choices, file: q.jsonl, prompt: "{town}"}\n`, /q\.jsonl, line 1: town/],
      [`${head}  - {name: a, kind: text, file: q.jsonl}\n  - {name: a, kind: text, file: q.jsonl}\n`, /two tasks/],
    ] as const)
      await assert.rejects(read(yaml), (error: Error) => error instanceof DataFormatError && place.test(error.message));
  });
});

describe("--suite", () => {
  it("names what there is", async () => {
    const data = new DataSources();
    assert.equal((await chooseTasks(["qa:mmlu"], data)).length, 57);
    assert.equal((await chooseTasks(["qa:mmlu", "qa:mmlu_anatomy"], data)).length, 57);
    await assert.rejects(chooseTasks(["qa:nothing"], data), UsageError);
    await assert.rejects(chooseTasks(["nothing"], data), /one of .*qa/);
  });

  it("takes the samples that ship where there is nothing else, and says so", async () => {
    process.env.HF_HUB_OFFLINE = "1";
    const notes: string[] = [];
    const data = new DataSources();
    for (const name of ["mmlu_world_religions", "mmlu_abstract_algebra", "truthfulqa_mc1", "truthfulqa_mc2", "gsm8k"]) {
      const [task] = await chooseTasks([`qa:${name}`], data);
      let count = 0;
      for await (const _ of task!.load(data, { seed: 0, onNote: (note) => notes.push(note) })) count += 1;
      assert.ok(count >= 4, `${name} has ${count} questions`);
    }
    assert.equal(notes.length, 3);
    for (const note of notes) assert.match(note, /sample that ships/);
    const [piqa] = await chooseTasks(["qa:piqa"], data);
    await assert.rejects(collect(piqa!.load(data, { seed: 0 }) as AsyncIterable<Question>), /give --data DIR/);
  });
});

describe("valora eval", () => {
  it("makes the evaluation folder, and finds it up to date", async () => {
    await withFolder(async (folder) => {
      const model = join(folder, "model");
      mkdirSync(model);
      writeTinyModel(model);
      writeFileSync(
        join(folder, "pairs.jsonl"),
        lines(
          { id: "1", prompt: "a", chosen: "b", rejected: "c" },
          { id: "2", prompt: "b", chosen: "c", rejected: "a" },
        ),
      );
      const output = join(folder, "out");
      const args = ["eval", "--model", model, "--suite", `preferences:file=${join(folder, "pairs.jsonl")}`];
      const env = { VALORA_CACHE: join(folder, "cache"), HF_HUB_OFFLINE: "1" };
      const first = await run([...args, "--output", output], { env });
      assert.equal(first.status, 0, first.stderr);
      assert.deepEqual(readdirSync(output).sort(), [
        "examples.jsonl",
        "items.jsonl",
        "manifest.json",
        "summary.csv",
        "summary.json",
      ]);
      const items = readLines(join(output, "items.jsonl"));
      assert.equal(items.length, 10);
      assert.deepEqual(
        [...new Set(items.map(({ suite, task, adapter }) => `${adapter} ${suite}:${task}`))],
        ["base preferences:pairs"],
      );
      const [header] = readFileSync(join(output, "summary.csv"), "utf8").split("\n");
      assert.equal(header, "suite,task,metric,adapter,value,stderr,ci_low,ci_high,n,grader");
      const second = await run([...args, "--output", output], { env });
      assert.match(second.stderr, /up to date/);
      const elsewhere = await run([...args, "--output", join(folder, "again")], { env });
      assert.match(elsewhere.stderr, /1 tasks are known already/);
      assert.equal(
        readFileSync(join(folder, "again/items.jsonl"), "utf8"),
        readFileSync(join(output, "items.jsonl"), "utf8"),
      );
    });
  });

  it("is refused in one sentence", async () => {
    assertRefused(await run(["eval", "--suite", "qa"]), 2, "--model");
    assertRefused(await run(["eval", "--model", "m", "--suite", "qa"]), 2, "--output");
    assertRefused(await run(["eval", "--model", "m", "--output", "/nowhere/x", "--suite", "zzz"]), 2, "zzz");
  });
});
