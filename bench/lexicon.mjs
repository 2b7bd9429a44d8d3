/**
 * How fast the lexicon extractor reads responses: all fifteen values, one core, in responses a second of processor time.
 *
 *     node bench/lexicon.mjs PAIRS.jsonl [SECONDS]        after `npm run build`
 */
import { readPairs } from "../dist/data/pairs.js";
import { openLexicon } from "../dist/values/lexicon/extractor.js";
import { chooseValues, loadTaxonomy } from "../dist/values/taxonomy.js";

const [path, seconds = "5"] = process.argv.slice(2);
if (path === undefined) throw new Error("give a file of preference pairs");
const values = chooseValues(await loadTaxonomy(), []);
const opening = performance.now();
const lexicon = await openLexicon(values);
const opened = performance.now() - opening;
const batches = [];
for await (const { prompt, chosen, rejected } of readPairs(path)) {
  if (batches.length === 0 || batches.at(-1).length >= lexicon.batchSize) batches.push([]);
  batches.at(-1).push({ prompt, response: chosen }, { prompt, response: rejected });
}
const count = batches.reduce((sum, batch) => sum + batch.length, 0);
const characters = batches.flat().reduce((sum, { response }) => sum + response.length, 0);

/** Processor seconds of one pass over all responses. */
async function pass() {
  const before = process.cpuUsage();
  for (const batch of batches) await lexicon.score(batch, values, {});
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const first = await pass();
const times = [];
for (let spent = 0; spent < Number(seconds); spent += times.at(-1)) times.push(await pass());
times.sort((a, b) => a - b);
const rate = (time) => Math.round(count / time).toLocaleString("en");
console.log(
  `${count} responses, ${Math.round(characters / count)} characters each; opened in ${Math.round(opened)} ms`,
);
console.log(`first pass ${rate(first)}/s (the automaton grows), then ${rate(times[times.length >> 1])}/s`);
console.log(`median of ${times.length} passes; ${rate(times.at(-1))} to ${rate(times[0])}`);
