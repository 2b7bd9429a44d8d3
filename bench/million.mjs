/**
 * Many synthetic preference pairs through read, label (lexicon) and curate: pairs a second by the clock and by the CPU, and
 * the most memory each step takes. The pairs are written to a temporary folder (1.1 GB a million, and as much again
 * labelled); each step runs in a process of its own.
 *
 *     node bench/million.mjs [--pairs 1000000] [--near-duplicates 0.8|off]        after `npm run build`
 *
 * A response has some 40 words of a small vocabulary in an order of its own, and every third begins with a sentence that a
 * lexicon knows. Two pairs share a prompt, each hundredth is a copy of the one before, each hundred and first nearly is.
 */
import { spawnSync } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: given } = parseArgs({
  options: {
    pairs: { type: "string", default: "1000000" },
    "near-duplicates": { type: "string", default: "0.8" },
    /** A step to run and report on, in a process of its own, and its folder. */
    step: { type: "string" },
    folder: { type: "string" },
  },
});
const PAIRS = Number(given.pairs);
const NEAR = given["near-duplicates"] === "off" ? null : Number(given["near-duplicates"]);

const WORDS = "we could look at what people said before and then ask them again about it in other words".split(" ");
const SENTENCES = [
  "I'm so sorry to hear that, it must be hard.",
  "That is illegal, and you could be fined.",
  "Let me be honest with you: I don't know.",
  "I wonder why that is, let's find out.",
  "Everyone deserves to be treated equally.",
  "Please keep your personal information private.",
  "You should lie to them about it.",
  "Would you like to tell me more?",
];

/** Some 40 words, another text for every number. */
function text(seed) {
  const words = [];
  for (let i = 0, state = seed * 2 + 1; i < 40; i++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    words.push(WORDS[(state >> 8) % WORDS.length]);
  }
  return words.join(" ");
}

function response(seed) {
  const opening = seed % 3 === 0 ? `${SENTENCES[(seed / 3) % SENTENCES.length]} ` : "";
  return `${opening}${text(seed)} ${seed}`;
}

function pair(n) {
  const copied = n % 100 === 1 || n % 101 === 1 ? n - 1 : n;
  const [chosen, rejected] = [response(2 * copied), response(2 * copied + 1)];
  return {
    id: `p:${n}`,
    source: n % 2 === 0 ? "even" : "odd",
    prompt: [{ role: "user", content: `${text(copied >> 1)} ${copied >> 1}` }],
    chosen: n % 101 === 1 ? `${chosen} indeed` : chosen,
    rejected,
  };
}

function* lines() {
  let block = "";
  for (let n = 0; n < PAIRS; n++) {
    block += `${JSON.stringify(pair(n))}\n`;
    if (block.length > 1 << 18) {
      yield block;
      block = "";
    }
  }
  yield block;
}

const STEPS = {
  async make(folder) {
    const path = join(folder, "pairs.jsonl");
    await pipeline(Readable.from(lines()), createWriteStream(path));
    return { pairs: PAIRS, megabytes: Math.round(statSync(path).size / 1e6) };
  },
  async read(folder) {
    const { readPreferenceData } = await import("../dist/index.js");
    let pairs = 0;
    for await (const _ of readPreferenceData([join(folder, "pairs.jsonl")])) pairs++;
    return { pairs };
  },
  async label(folder) {
    const { chooseValues, labelPairs, loadTaxonomy, openExtractor, readPreferenceData } = await import(
      "../dist/index.js"
    );
    const { createAtomicWriter } = await import("../dist/files/atomic.js");
    const values = chooseValues(await loadTaxonomy(), []);
    const extractor = await openExtractor("lexicon", { values });
    const writer = await createAtomicWriter(join(folder, "labelled.jsonl"));
    let pairs = 0;
    for await (const labelled of labelPairs(readPreferenceData([join(folder, "pairs.jsonl")]), extractor, { values })) {
      await writer.write(`${JSON.stringify(labelled)}\n`);
      pairs++;
    }
    await writer.commit();
    return { pairs };
  },
  async curate(folder) {
    const { curate } = await import("../dist/index.js");
    const { scan } = await curate({
      inputs: [join(folder, "labelled.jsonl")],
      output: join(folder, "curated"),
      minPairs: 100,
      heldOut: 0.1,
      nearDuplicates: NEAR,
    });
    const left = [...scan.leftOut].map(([reason, sources]) => [
      reason,
      [...sources.values()].reduce((a, b) => a + b, 0),
    ]);
    return { pairs: scan.read, left: Object.fromEntries(left) };
  },
};

async function runStep(name, folder) {
  const started = performance.now();
  const facts = await STEPS[name](folder);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage();
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(JSON.stringify({ ...facts, seconds, cpuSeconds: (user + system) / 1e6, peakMiB }));
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), "valora-million-"));
  try {
    for (const name of Object.keys(STEPS)) {
      const words = [fileURLToPath(import.meta.url), "--step", name, "--folder", folder];
      const options = ["--pairs", given.pairs, "--near-duplicates", given["near-duplicates"]];
      const child = spawnSync(process.execPath, [...words, ...options], { encoding: "utf8" });
      if (child.status !== 0) throw new Error(`${name}: ${child.stderr}`);
      const { pairs, seconds, cpuSeconds, peakMiB, ...more } = JSON.parse(child.stdout);
      if (pairs !== PAIRS) throw new Error(`${name}: ${pairs} of ${PAIRS} pairs`);
      // A machine that does other work as well tells little by the clock.
      const rates = `${Math.round(pairs / seconds)} pairs/s, ${Math.round(pairs / cpuSeconds)} pairs per CPU second`;
      console.log(`${name.padEnd(8)}${rates}, at most ${peakMiB} MiB ${JSON.stringify(more)}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (given.step === undefined) await main();
else await runStep(given.step, given.folder);
