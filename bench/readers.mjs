/**
 * A million synthetic preference pairs through the readers: pairs a second, by the clock and by the CPU, and how much memory it takes. Written to a
 * temporary folder (about 1 GB) and read from there, file by file in a process of its own.
 *
 *     node bench/readers.mjs [--pairs 1000000] [--heap MIB]
 */
import { spawnSync } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createGzip } from "node:zlib";

const { values: given } = parseArgs({
  options: {
    pairs: { type: "string", default: "1000000" },
    /** The records of 50,000 pairs alone would not fit into as much. */
    heap: { type: "string", default: "32" },
    /** A file to read and report on, in a process of its own. */
    read: { type: "string" },
  },
});
const PAIRS = Number(given.pairs);

const WORDS = "we could look at what people said before and then ask them again about it in other words".split(" ");

/** Some 40 words, another text for every number. */
function text(seed) {
  const words = [];
  for (let i = 0, state = seed + 1; i < 40; i++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    words.push(WORDS[(state >> 8) % WORDS.length]);
  }
  return `${words.join(" ")} ${seed}`;
}

const dialogue = (n) => `\n\nHuman: ${text(n)}\n\nAssistant: ${text(n + 1)}\n\nHuman: ${text(n + 2)}\n\nAssistant: `;
const hh = (n) => ({ chosen: dialogue(n) + text(n + 3), rejected: dialogue(n) + text(n + 4) });
const own = (n) => ({ id: `own:${n}`, prompt: text(n), chosen: text(n + 1), rejected: text(n + 2) });
const cell = (value) => `"${value.replaceAll('"', '""')}"`;

/** Lines of a file, some thousand at once. */
function* lines(make, head = "", tail = "") {
  let block = head;
  for (let n = 0; n < PAIRS; n++) {
    block += make(n);
    if (block.length > 1 << 18) {
      yield block;
      block = "";
    }
  }
  yield block + tail;
}

const FILES = {
  "pairs.jsonl": () => lines((n) => `${JSON.stringify(own(n))}\n`),
  "hh.jsonl": () => lines((n) => `${JSON.stringify(hh(n))}\n`),
  "hh.jsonl.gz": () => lines((n) => `${JSON.stringify(hh(n))}\n`),
  "hh.json": () => lines((n) => `${n === 0 ? "" : ",\n"}${JSON.stringify(hh(n))}`, "[", "]"),
  "trl.csv": () =>
    lines((n) => `${[own(n).prompt, own(n).chosen, own(n).rejected].map(cell)}\n`, "prompt,chosen,rejected\n"),
};

async function readOne(path) {
  const { readPreferenceData } = await import("../dist/data/preference-data.js");
  const started = performance.now();
  let pairs = 0;
  for await (const _ of readPreferenceData([path])) pairs++;
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage();
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(JSON.stringify({ pairs, seconds, cpuSeconds: (user + system) / 1e6, peakMiB }));
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), "valora-readers-"));
  try {
    for (const [name, make] of Object.entries(FILES)) {
      const path = join(folder, name);
      const stages = name.endsWith(".gz") ? [createGzip({ level: 1 })] : [];
      await pipeline([Readable.from(make()), ...stages, createWriteStream(path)]);
      const words = [`--max-old-space-size=${given.heap}`, fileURLToPath(import.meta.url), "--read", path];
      const child = spawnSync(process.execPath, words, { encoding: "utf8" });
      if (child.status !== 0) throw new Error(`${name}: ${child.stderr}`);
      const { pairs, seconds, cpuSeconds, peakMiB } = JSON.parse(child.stdout);
      if (pairs !== PAIRS) throw new Error(`${name}: ${pairs} of ${PAIRS} pairs`);
      const megabytes = Math.round(statSync(path).size / 1e6);
      // A machine that does other work as well tells little by the clock.
      const rates = `${Math.round(pairs / seconds)} pairs/s, ${Math.round(pairs / cpuSeconds)} pairs per CPU second`;
      console.log(`${name.padEnd(12)} ${pairs} pairs (${megabytes} MB): ${rates}, at most ${peakMiB} MiB`);
      rmSync(path);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (given.read === undefined) await main();
else await readOne(given.read);
