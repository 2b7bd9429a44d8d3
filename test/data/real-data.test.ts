/**
 * The real preference data, read whole. What is expected is counted here anew, in the plainest way, from the files; no
 * prompt may be missing from pairs and drops together.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { type Reading, readAll, SHARED_DATA } from "./support.js";

const DATA = SHARED_DATA ?? "";
const options = { skip: SHARED_DATA === null && "needs the real data sets (set VALORA_SHARED)" };

const json = (path: string) => JSON.parse(readFileSync(join(DATA, path), "utf8"));
const jsonLines = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

const droppedIn = ({ reports }: Reading): number =>
  reports.flatMap(({ dropped }) => Object.values(dropped)).reduce((sum, count) => sum + count, 0);

/** The contents of the users' messages, or the text. */
const lastOf = (prompt: unknown): string =>
  typeof prompt === "string" ? prompt : (prompt as { content: string }[]).at(-1)!.content;

describe("real preference data", options, () => {
  test("HH-RLHF: each of 2,000 records is a pair or has a reason, and pairs can be put together again", async () => {
    const path = join(DATA, "hh_rlhf/harmless-base/test.jsonl.gz");
    const rows: { chosen: string; rejected: string }[] = jsonLines(gunzipSync(readFileSync(path)).toString("utf8"));
    assert.equal(rows.length, 2000);
    const reading = await readAll(path);
    assert.deepEqual(reading.formats, ["hh-rlhf"]);
    assert.equal(reading.pairs.length + droppedIn(reading), rows.length);
    const seen = new Set<number>();
    const squeeze = (text: string): string => text.replace(/\s+/g, " ").trim();
    for (const { id, prompt, chosen, rejected } of reading.pairs) {
      const index = Number(id.slice("hh:".length));
      seen.add(index);
      const dialogue = (prompt as { role: string; content: string }[])
        .map(({ role, content }) => `\n\n${role === "user" ? "Human" : "Assistant"}: ${content}`)
        .join("");
      assert.equal(squeeze(`${dialogue}\n\nAssistant: ${chosen}`), squeeze(rows[index]!.chosen), id);
      assert.equal(squeeze(`${dialogue}\n\nAssistant: ${rejected}`), squeeze(rows[index]!.rejected), id);
    }
    for (const { where } of reading.odd) seen.add(Number(/line (\d+)$/.exec(where)![1]) - 1);
    assert.equal(seen.size, rows.length, "every line is accounted for once");
    const empty = rows.filter(
      ({ chosen, rejected }) => /Assistant:\s*$/.test(chosen) || /Assistant:\s*$/.test(rejected),
    );
    assert.equal(reading.reports[0]?.dropped["with an empty answer"], empty.length);
    // Two turns of one speaker after each other: markers that no marker of the other kind parts.
    const doubled = rows.filter((row) =>
      [row.chosen, row.rejected].some((text) => {
        const speakers = (text.match(/\n\n(Human|Assistant):/g) ?? []).map((marker) => marker[2]).join("");
        return !/^(HA)+$/.test(speakers);
      }),
    );
    assert.equal(reading.reports[0]?.dropped["whose turns do not alternate"], doubled.length);
  });

  test("UltraFeedback's binarized slice: ties, equal and empty answers are what is dropped", async () => {
    const rows = ["eval_clean.jsonl", "train_clean.jsonl"].flatMap((name) =>
      jsonLines(readFileSync(join(DATA, "ultrafeedback_binarized_slice", name), "utf8")),
    );
    assert.equal(rows.length, 1200);
    const reading = await readAll(join(DATA, "ultrafeedback_binarized_slice"));
    assert.deepEqual(reading.formats, ["ultrafeedback", "ultrafeedback"]);
    const kept = rows.filter(
      ({ prompt, chosen, rejected, metadata }) =>
        metadata.score_chosen !== metadata.score_rejected &&
        chosen !== rejected &&
        [prompt, chosen, rejected].every((text) => text.trim() !== ""),
    );
    assert.deepEqual(
      reading.pairs.map(({ prompt, chosen, rejected }) => [lastOf(prompt), chosen, rejected]),
      kept.map(({ prompt, chosen, rejected }) => [prompt, chosen, rejected]),
    );
    assert.equal(reading.pairs.length + droppedIn(reading), rows.length);
    assert.equal(new Set(reading.pairs.map(({ id }) => id)).size, reading.pairs.length);
  });

  test("PKU-SafeRLHF as LLaMA-Factory has it: 5,135 pairs, 930 prompts, all of them", async () => {
    const path = "pku_saferlhf_pairs/pku_seferlhf_realign_dpo_5k.json";
    const rows: { prompt: string; response: [string, string] }[] = json(path);
    const { pairs, formats } = await readAll(join(DATA, path), { source: "pku-saferlhf" });
    assert.deepEqual(formats, ["llama-factory"]);
    assert.equal(pairs.length, 5135);
    assert.equal(new Set(pairs.map(({ prompt }) => lastOf(prompt))).size, 930);
    assert.deepEqual(
      pairs.map(({ prompt, chosen, rejected, source }) => [lastOf(prompt), chosen, rejected, source]),
      rows.map(({ prompt, response: [safer, other] }) => [prompt, safer, other, "pku-saferlhf"]),
    );
  });

  test("qa_feedback: 3,000 comparisons, less those without a preference", async () => {
    const rows: Record<string, unknown>[] = json("qa_feedback/dev_feedback.json");
    const reading = await readAll(join(DATA, "qa_feedback"));
    assert.deepEqual(reading.formats, ["qa-feedback"]);
    const expected: [string, string, string][] = [];
    for (const row of rows) {
      let at = 0;
      for (let a = 1; a <= 4; a++)
        for (let b = a + 1; b <= 4; b++) {
          const preferred = (row.preference as number[])[at++];
          const [first, second] = [row[`prediction ${a}`] as string, row[`prediction ${b}`] as string];
          if (preferred === 1) expected.push([row.question as string, first, second]);
          if (preferred === 2) expected.push([row.question as string, second, first]);
        }
    }
    assert.deepEqual(
      reading.pairs.map(({ prompt, chosen, rejected }) => [lastOf(prompt).split("\n\n")[0], chosen, rejected]),
      expected,
    );
    assert.equal(expected.length + droppedIn(reading), 3000);
  });

  test("LLaMA-Factory's demo and Stack Exchange: every record is a pair", async () => {
    const demo = json("llamafactory_demo/dpo_en_demo.json");
    const { pairs, formats } = await readAll(join(DATA, "llamafactory_demo/dpo_en_demo.json"));
    assert.deepEqual(formats, ["llama-factory"]);
    assert.deepEqual(
      pairs.map(({ prompt, chosen, rejected }) => [(prompt as []).length, lastOf(prompt), chosen, rejected]),
      demo.map((row: Record<string, never>) => {
        const { conversations, chosen, rejected } = row as Record<string, { value: string }[] & { value: string }>;
        return [conversations!.length, conversations!.at(-1)!.value, chosen!.value, rejected!.value];
      }),
    );
    const stack = await readAll(join(DATA, "stack_exchange_paired_tiny"));
    assert.deepEqual(
      stack.pairs.map(({ prompt, chosen, rejected }) => ({
        question: lastOf(prompt),
        response_j: chosen,
        response_k: rejected,
      })),
      json("stack_exchange_paired_tiny/stack_exchange_paired_tiny.json"),
    );
  });

  test("ids of several inputs in one call are all different", async () => {
    const inputs = [
      "hh_rlhf",
      "ultrafeedback_binarized_slice",
      "pku_saferlhf_pairs",
      "llamafactory_demo/dpo_en_demo.json",
    ];
    const { pairs } = await readAll(inputs.map((name) => join(DATA, name)));
    assert.equal(new Set(pairs.map(({ id }) => id)).size, pairs.length);
    assert.ok(pairs.length > 8000);
  });
});
