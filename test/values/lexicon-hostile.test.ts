/**
 * Responses made to keep the lexicon busy: half a million characters of marks and phrases each, which a search anew from every one of
 * them would take many minutes for. `run` kills what has not ended after two.
 *
 * Seen failing: with the end of a quotation looked for from every mark.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lines, results, run } from "../cli/program.js";

const CHARACTERS = 500_000;

test("the lexicon's time grows with a response, whatever is in it", async () => {
  const pieces = [
    ...[
      '"a ',
      "“a ",
      "„a ",
      "«a ",
      "‘a ",
      "'a ",
      "'a' ",
      "`a` ",
      "` \n\n",
      '"a" ',
      "``` ",
      "a > ",
      "  >",
      "\t".repeat(90),
    ],
    // An honest "fair share" and the "fair amount" that is no fairness.
    "fair amount of fair share, ",
    "not not not not honest ",
    "! ",
  ];
  const pairs = pieces.map((piece, index) => ({
    id: `${index}`,
    prompt: "p",
    chosen: `${piece.repeat(CHARACTERS / piece.length)}. I am sorry to hear that you lost your job.`,
    rejected: "No.",
  }));
  const labelled = results(
    await run(["label", "--input", "-", "--extractor", "lexicon", "--output", "-"], { input: lines(...pairs) }),
  );
  assert.equal(labelled.length, pieces.length);
  // What stands behind marks that nothing closes is the speaker's, and is read.
  assert.deepEqual((labelled[0] as { values: { chosen: string[] } }).values.chosen, ["empathy"]);
});
