/**
 * The `lexicon` extractor: reads data/lexicon/VALUE.yaml for each value, or the value's own `lexicon` of a user's file.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { UsageError } from "../../errors.js";
import { parseYaml } from "../../files/yaml-file.js";
import type { Extractor } from "../extractor.js";
import type { Value } from "../taxonomy.js";
import { LEXICON_THRESHOLD, Lexicon, type NamedLexicon } from "./lexicon.js";
import { type LexiconSource, lexiconSourceSchema } from "./source.js";

const FOLDER = fileURLToPath(new URL("../../../data/lexicon/", import.meta.url));

/** Grows when the same patterns give other scores; patterns themselves are in `settings`. */
const NAME = "lexicon@1";

/** Responses between two looks at the signal; a batch takes some ten milliseconds. */
const BATCH = 256;

/**
 * @throws UsageError for a value that has no lexicon
 * @throws DataFormatError, FileError for a lexicon that cannot be read
 */
export async function openLexicon(values: readonly Value[]): Promise<Extractor> {
  const families = await readFamilies();
  const lexicons = await Promise.all(values.map(readLexicon));
  const lexicon = new Lexicon(lexicons, families);
  return {
    name: NAME,
    settings: { families, lexicons: lexicons.map(({ value, source }) => ({ value, source })) },
    values: lexicon.values,
    threshold: LEXICON_THRESHOLD,
    cached: false,
    batchSize: BATCH,
    concurrency: 1,
    async score(batch, asked) {
      const all = batch.map(({ response }) => lexicon.score(response));
      if (asked.length === lexicon.values.length) return all;
      const names = new Set(asked.map(({ name }) => name));
      return all.map((scores) => Object.fromEntries(Object.entries(scores).filter(([name]) => names.has(name))));
    },
    async dispose() {},
  };
}

async function readLexicon({ name, lexicon }: Value): Promise<NamedLexicon> {
  if (lexicon !== undefined) return { value: name, source: lexicon, where: `lexicon of "${name}"` };
  const path = `${FOLDER}${name}.yaml`;
  if (!existsSync(path))
    throw new UsageError(
      `--extractor lexicon has no lexicon for "${name}"; give it one under "lexicon" in --values FILE, or leave it out with --value`,
    );
  const source: LexiconSource = parseYaml(await readFile(path, "utf8"), path, lexiconSourceSchema);
  return { value: name, source, where: path };
}

/** Word families that every lexicon may name. */
async function readFamilies(): Promise<LexiconSource["families"]> {
  const path = `${FOLDER}families.yaml`;
  return parseYaml(await readFile(path, "utf8"), path, z.record(z.string(), z.array(z.string().min(1)).min(1)));
}
