/** Layouts of preference data: what each becomes, what is dropped and why. Fixtures are hand-written in the originals' layouts. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { describeReadReport } from "#lib/data/read-report.js";
import { failsWith, withFolder } from "../formats/format-support.js";
import { FIXTURES, readAll } from "./support.js";

const fixture = (name: string): string => join(FIXTURES, `hand-written-${name}.jsonl`);
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const texts = (pairs: readonly { chosen?: string | undefined; rejected?: string | undefined }[]) =>
  pairs.map(({ chosen, rejected }) => [chosen, rejected]);

describe("HH-RLHF", () => {
  test("shares a dialogue as messages, and every odd record has its reason", async () => {
    const { pairs, odd, formats, reports } = await readAll(fixture("hh-rlhf"));
    assert.deepEqual(formats, ["hh-rlhf"]);
    assert.deepEqual(pairs, [
      {
        id: "hh:0",
        source: "hh-rlhf",
        prompt: [user("Is rain wet?"), assistant("Yes."), user("Why?")],
        chosen: "It is water.",
        rejected: "Because.",
      },
      {
        id: "hh:7",
        source: "hh-rlhf",
        prompt: [user('Say "Assistant: hi"')],
        chosen: "Assistant: hi\nHuman: ho",
        rejected: "no",
      },
    ]);
    assert.deepEqual(
      odd.map(({ reason, where }) => [where.slice(where.indexOf(", ") + 2), reason]),
      [
        ["line 2", "whose dialogues differ before the last answer"],
        ["line 3", "with an empty answer"],
        ["line 4", "whose answers are the same"],
        ["line 5", "whose dialogue does not begin with the human"],
        ["line 6", "whose dialogue does not end with the assistant"],
        ["line 7", "whose turns do not alternate"],
      ],
    );
    const [report] = reports;
    assert.equal(report?.records, 8);
    assert.match(
      describeReadReport(report!),
      /\(hh-rlhf\): kept 2 of 8: 1 whose dialogues differ before the last answer, /,
    );
  });
});

describe("PKU-SafeRLHF", () => {
  test("takes the better response as chosen, or the safer one, and keeps the safety labels", async () => {
    const better = await readAll(fixture("pku-saferlhf"));
    assert.deepEqual(better.formats, ["pku-saferlhf"]);
    assert.deepEqual(texts(better.pairs), [
      ["Use a pick and a wrench.", "Call a locksmith."],
      ["Mix, wait, bake.", "Buy it."],
    ]);
    assert.deepEqual(better.pairs[0]?.prompt, [user("How do I pick a lock?")]);
    assert.deepEqual(better.pairs[0]?.origin, { chosen: { safe: false }, rejected: { safe: true } });
    assert.deepEqual(better.pairs[1]?.origin, {
      chosen: { safe: true, harm_category: { Violence: false }, severity_level: 0 },
      rejected: { safe: true, harm_category: { Violence: false }, severity_level: 0 },
    });
    assert.deepEqual(better.reports[0]?.dropped, { "whose answers are the same": 1 });
    const safer = await readAll(fixture("pku-saferlhf"), { pkuChosen: "safer" });
    assert.deepEqual(texts(safer.pairs)[0], ["Call a locksmith.", "Use a pick and a wrench."]);
    assert.deepEqual(safer.pairs[0]?.origin, { chosen: { safe: true }, rejected: { safe: false } });
  });
});

describe("UltraFeedback", () => {
  test("sets the best completion against the worst by the mean of its ratings, which are texts", async () => {
    const { pairs, reports, formats } = await readAll(fixture("ultrafeedback"));
    assert.deepEqual(formats, ["ultrafeedback"]);
    assert.deepEqual(pairs, [
      {
        id: "ultrafeedback:0",
        source: "ultrafeedback",
        prompt: [user("Name a colour.")],
        chosen: "Blue.",
        rejected: "A colour.",
        origin: { chosen: { rating: 5, model: "m3" }, rejected: { rating: 3, model: "m2" } },
      },
    ]);
    assert.deepEqual(reports[0]?.dropped, { "with equal ratings": 1, "with fewer than two rated answers": 1 });
  });

  test("ranks by another rating where told so, without the completions that lack it", async () => {
    const overall = await readAll(fixture("ultrafeedback"), { ultrafeedbackRating: "overall_score" });
    assert.deepEqual(texts(overall.pairs), [
      ["A colour.", "Red."],
      ["answer 3", "answer 0"],
    ]);
    // The fourth completion's honesty is "N/A"; the others' are equal.
    const honesty = await readAll(fixture("ultrafeedback"), { ultrafeedbackRating: "honesty" });
    assert.deepEqual(honesty.pairs, []);
    const truth = await readAll(fixture("ultrafeedback"), { ultrafeedbackRating: "truthfulness" });
    assert.deepEqual(texts(truth.pairs), [["A colour.", "Red."]]);
  });

  test("is read binarized too, with ratings in either of their names, and ties are dropped", async () => {
    const { pairs, reports, formats } = await readAll([
      fixture("ultrafeedback-binarized"),
      fixture("ultrafeedback-argilla"),
    ]);
    assert.deepEqual(formats, ["ultrafeedback", "ultrafeedback"]);
    assert.deepEqual(
      pairs.map(({ id, prompt, chosen, rejected }) => ({ id, prompt, chosen, rejected })),
      [0, 2].map((index) => ({
        id: `ultrafeedback:${index}`,
        prompt: [user("Name a colour.")],
        chosen: "Red.",
        rejected: "No.",
      })),
    );
    assert.deepEqual(pairs[1]?.origin, { chosen: { rating: 4.75 }, rejected: { rating: 2 } });
    assert.deepEqual(
      reports.map(({ dropped }) => dropped),
      [{ "with equal ratings": 1 }, {}],
    );
  });
});

describe("HelpSteer2", () => {
  test("makes a pair of two rows that share a prompt, whose turns become messages", async () => {
    const { pairs, reports, formats } = await readAll(fixture("helpsteer2"));
    assert.deepEqual(formats, ["helpsteer2"]);
    assert.deepEqual(
      pairs.map(({ id, prompt, chosen, rejected }) => ({ id, prompt, chosen, rejected })),
      [
        { id: "helpsteer2:0", prompt: [user("c#")], chosen: "C# is a language.", rejected: "A note in music." },
        {
          id: "helpsteer2:5",
          prompt: [user("What is 2+2?"), assistant("4."), user("And 3+3?")],
          chosen: "6.",
          rejected: "7.",
        },
      ],
    );
    assert.deepEqual(reports[0]?.dropped, { "with equal ratings": 1, "whose prompt has one response only": 1 });
    assert.equal(reports[0]?.records, 7);
  });

  test("ranks by another of its ratings where told so", async () => {
    const { pairs, reports } = await readAll(fixture("helpsteer2"), { helpsteerRating: "verbosity" });
    assert.deepEqual(texts(pairs), [["A note in music.", "C# is a language."]]);
    assert.equal(reports[0]?.dropped["with equal ratings"], 2);
  });
});

test("SHP prefers the comment that its label says", async () => {
  const { pairs, formats } = await readAll(fixture("shp"));
  assert.deepEqual(formats, ["shp"]);
  assert.deepEqual(texts(pairs), [
    ["Yeast makes gas.", "Magic."],
    ["Yeast makes gas.", "Dunno."],
  ]);
  assert.deepEqual(pairs[0]?.origin, { domain: "askculinary_train", score_ratio: 2.048 });
});

describe("TRL's formats", () => {
  test("in texts are raw text, with the prompt given or in front of both answers", async () => {
    const given = await readAll(fixture("trl-standard"));
    assert.deepEqual(given.formats, ["trl"]);
    assert.deepEqual(given.pairs, [
      { id: "trl:0", source: "trl", prompt: "The sky is", chosen: " blue.", rejected: " green." },
    ]);
    const implicit = await readAll(fixture("trl-standard-implicit"));
    assert.deepEqual(implicit.pairs, [
      { id: "trl:0", source: "trl", prompt: "The sky is", chosen: " blue.", rejected: " green." },
      // Not between the two halves of a character.
      { id: "trl:1", source: "trl", prompt: "I say", chosen: " \u{1f600}", rejected: " \u{1f601}" },
    ]);
    assert.deepEqual(implicit.reports[0]?.dropped, { "without a prompt": 1 });
  });

  test("in messages are the same whether the prompt is given or in front of both answers", async () => {
    const expected = {
      id: "trl:0",
      source: "trl",
      prompt: [user("What color is the sky?")],
      chosen: "It is blue.",
      rejected: "It is green.",
    };
    assert.deepEqual((await readAll(fixture("trl-conversational"))).pairs, [expected]);
    const { pairs, reports } = await readAll(fixture("trl-conversational-implicit"));
    assert.deepEqual(pairs, [expected]);
    assert.deepEqual(reports[0]?.dropped, {
      "whose dialogues differ before the last answer": 1,
      "whose dialogue does not end with the assistant": 1,
    });
  });
});

describe("LLaMA-Factory's layouts", () => {
  test("of instructions put system and history in front, and the input behind", async () => {
    const { pairs, formats } = await readAll(fixture("llama-factory-alpaca"));
    assert.deepEqual(formats, ["llama-factory"]);
    assert.deepEqual(pairs[0]?.prompt, [
      { role: "system", content: "You know French." },
      user("Hi"),
      assistant("Hello"),
      user("Translate.\nchat"),
    ]);
    assert.deepEqual(pairs[1]?.prompt, [user("Translate.")]);
    assert.deepEqual(texts(pairs), [
      ["cat", "conversation"],
      ["cat", "dog"],
    ]);
  });

  test("of dialogues are read in either wording; those with tools are dropped", async () => {
    const { pairs, reports } = await readAll(fixture("llama-factory-tools"));
    assert.deepEqual(reports[0]?.dropped, { "with tools": 1 });
    assert.deepEqual(pairs[0]?.prompt, [{ role: "system", content: "Be short." }, user("Hi")]);
  });
});

describe("valora's own pairs", () => {
  const own = {
    id: "x",
    source: "somewhere",
    prompt: [user("Hi")],
    chosen: "a",
    rejected: "",
    values: { chosen: ["kind"], rejected: [] },
    more: { kept: [1] },
  };

  test("pass as they are, with their ids and every field", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "own.jsonl");
      writeFileSync(path, `${JSON.stringify(own)}\n${JSON.stringify({ ...own, id: "y" })}\n`);
      const { pairs, formats } = await readAll(path);
      assert.deepEqual(formats, ["pairs"]);
      assert.deepEqual(pairs, [own, { ...own, id: "y" }]);
      const renamed = await readAll(path, { source: "elsewhere" });
      assert.deepEqual(renamed.pairs[0], { ...own, source: "elsewhere" });
    });
  });
});

describe("a layout that is told", () => {
  test("is what every fixture is recognised as", async () => {
    // The names of the files begin with those of the layouts.
    for (const name of ["hh-rlhf", "pku-saferlhf", "ultrafeedback", "helpsteer2", "shp"] as const) {
      const auto = await readAll(fixture(name));
      const told = await readAll(fixture(name), { format: name });
      assert.deepEqual(told, auto);
      assert.ok(told.pairs.length > 0);
    }
  });

  test("that a record is not in is an error with line and field, or counted", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "mixed.jsonl");
      const [good] = readFileSync(fixture("pku-saferlhf"), "utf8").split("\n");
      const bad = [`{"prompt": 3}`, `{"prompt": "x", "response_0": 1}`, "[1]", "not JSON"];
      writeFileSync(path, `${bad.join("\n")}\n${good}\n`);
      await assert.rejects(readAll(path), failsWith("ERR_DATA_FORMAT", /mixed\.jsonl, line 3: this is no object/));
      writeFileSync(path, `${bad.slice(0, 2).join("\n")}\n${good}\n`);
      await assert.rejects(readAll(path), failsWith("ERR_DATA_FORMAT", /mixed\.jsonl, line 1: prompt: /));
      writeFileSync(path, `${bad.join("\n")}\n${good}\n`);
      const { pairs, reports, skipped } = await readAll(path, { onError: "skip" });
      // The number in the id counts the records that could be read, in whatever layout.
      assert.deepEqual(
        pairs.map(({ id }) => id),
        ["pku:2"],
      );
      assert.equal(reports[0]?.skipped, 4);
      assert.deepEqual(
        skipped.map((message) => /line \d: \w+/.exec(message)?.[0]),
        ["line 3: this", "line 4: this", "line 1: prompt", "line 2: response_0"],
      );
      assert.match(describeReadReport(reports[0]!), /kept 1 of 5: 4 that cannot be read$/);
    });
  });

  test("cannot be told is an error that lists what was looked for and names --format", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "kto.jsonl");
      writeFileSync(path, `{"prompt": "x", "completion": "y", "label": true}\n`);
      await assert.rejects(
        readAll(path),
        failsWith("ERR_DATA_FORMAT", /fields prompt, completion, label; looked for pairs, hh-rlhf, .*trl.*--format/),
      );
      writeFileSync(path, "");
      assert.deepEqual((await readAll(path)).pairs, []);
    });
  });
});
