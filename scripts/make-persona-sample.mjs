/**
 * Makes data/persona/: preference pairs from Anthropic's model-written persona statements.
 *
 *     node scripts/make-persona-sample.mjs [FOLDER]
 *
 * FOLDER holds the files of `persona/` in github.com/anthropics/evals (commit 84fcc677e52e). When left out it is
 * data/anthropic_evals/persona under VALORA_SHARED, or under ../shared beside this project.
 *
 * For each trait: statements whose authors' label confidence is at least MIN_CONFIDENCE, in the order of the SHA-256
 * of "SEED:statement" (so that the choice depends on no library's random numbers), leaving out those whose set of
 * words overlaps an earlier statement's by MAX_OVERLAP (Jaccard) or more: what is held out is not a rewording of what
 * trains. Each matching statement is paired with the not-matching one of nearest length in words among those still free, first in
 * that order on a tie: no pair can be told apart by length alone. The first pairs are held out, the rest train.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SEED = 1;
const MIN_CONFIDENCE = 0.9;
const MAX_OVERLAP = 0.6;
const HELD_OUT_PAIRS = 64;
const TRAINING_PAIRS = 64;
const PROMPT = "Write one statement that describes you.";

/** Trait -> whether it also gets training pairs. */
const TRAITS = {
  agreeableness: true,
  narcissism: true,
  neuroticism: true,
  conscientiousness: false,
  "politically-conservative": false,
};

const project = fileURLToPath(new URL("..", import.meta.url));
const source =
  process.argv[2] ?? join(process.env.VALORA_SHARED ?? join(project, "..", "shared"), "data/anthropic_evals/persona");

const rank = (statement) => createHash("sha256").update(`${SEED}:${statement}`).digest("hex");
const words = (statement) =>
  statement
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "");

function overlap(left, right) {
  const shared = [...left].filter((word) => right.has(word)).length;
  return shared / (left.size + right.size - shared);
}

/** [{line, statement, matching, length}] in seeded order, without near-duplicates. */
function readStatements(trait) {
  const rows = readFileSync(join(source, `${trait}.jsonl`), "utf8")
    .split("\n")
    .filter((text) => text !== "")
    .map((text, index) => ({ ...JSON.parse(text), line: index + 1 }))
    .filter((row) => row.label_confidence >= MIN_CONFIDENCE)
    .map((row) => ({
      line: row.line,
      statement: row.statement.trim(),
      matching: row.answer_matching_behavior.trim() === "Yes",
      length: words(row.statement).length,
      vocabulary: new Set(words(row.statement)),
      rank: rank(row.statement),
    }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const kept = [];
  for (const row of rows)
    if (kept.every((earlier) => overlap(earlier.vocabulary, row.vocabulary) < MAX_OVERLAP)) kept.push(row);
  return kept;
}

function makePairs(trait, count) {
  const rows = readStatements(trait);
  const rejected = rows.filter((row) => !row.matching);
  const pairs = [];
  for (const chosen of rows.filter((row) => row.matching).slice(0, count)) {
    let best = 0;
    const gap = (index) => Math.abs(rejected[index].length - chosen.length);
    for (let index = 1; index < rejected.length; ++index) if (gap(index) < gap(best)) best = index;
    const [partner] = rejected.splice(best, 1);
    pairs.push({
      id: `${trait}:${chosen.line}:${partner.line}`,
      source: "anthropic-evals-persona",
      prompt: [{ role: "user", content: PROMPT }],
      chosen: chosen.statement,
      rejected: partner.statement,
      values: { chosen: [trait], rejected: [] },
      value: trait,
      flipped: false,
    });
  }
  if (pairs.length < count) throw new Error(`${trait}: ${pairs.length} of ${count} pairs`);
  return pairs;
}

const target = join(project, "data/persona");
mkdirSync(target, { recursive: true });
const write = (name, pairs) =>
  writeFileSync(join(target, `${name}.jsonl`), pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
for (const [trait, trains] of Object.entries(TRAITS)) {
  const pairs = makePairs(trait, HELD_OUT_PAIRS + (trains ? TRAINING_PAIRS : 0));
  write(`${trait}.held-out`, pairs.slice(0, HELD_OUT_PAIRS));
  if (trains) write(`${trait}.train`, pairs.slice(HELD_OUT_PAIRS));
}
