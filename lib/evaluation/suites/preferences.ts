/**
 * Preference pairs that were held out: what an adapter does to log p(response that expresses a value) − log p(the other).
 * One task a value: `<value>.held-out.jsonl` of a curated folder, or its `<value>.jsonl` where nothing was held out. Of
 * whole responses, end of turn included, in nats:
 *
 *     logprob_matching      log p(chosen), the side with the value        logprob_not_matching   log p(rejected)
 *     log_margin            their difference                             accuracy               1 where it is above 0
 *     log_margin_per_token  log p(chosen) / its tokens − log p(rejected) / its tokens
 */

import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type PreferencePair, readPairs } from "../../data/pairs.js";
import type { ScoreRequest } from "../../engine/score.js";
import { describeFileError, FileError } from "../../errors.js";
import { sha256Json } from "../../files/hash.js";
import type { DataSources, SourceName } from "../sources.js";
import type { LikelihoodQuestion, Suite, Task } from "../task.js";
import { takeFirst } from "./qa/records.js";

/** Persona statements as pairs; the demo trains on others of them. */
const SAMPLE = fileURLToPath(new URL("../../../data/persona/", import.meta.url));

const HELD_OUT = /\.held-out\.jsonl(\.gz)?$/;
const PAIRS = /\.jsonl(\.gz)?$/;

export const suite: Suite = {
  name: "preferences",
  about: "held-out preference pairs, one task a value",
  tasks: tasksOf,
  async open(path) {
    const found = await stat(path).catch((error: unknown) => {
      throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
    });
    if (!found.isDirectory()) return [pairTask("preferences", nameOf(path), path)];
    const tasks = chooseFiles(await readdir(path)).map((file) =>
      pairTask("preferences", nameOf(file), join(path, file)),
    );
    if (tasks.length > 0) return tasks;
    throw new FileError(`${path} holds no .jsonl files of preference pairs; give a folder that valora curate made`);
  },
};

/** Of `--data`: files of held-out pairs at its top or in its folder "preferences"; a curated folder; else the sample. */
async function tasksOf(data: DataSources): Promise<readonly Task[]> {
  const files = await data.list();
  const below = (folder: string): string[] =>
    files.filter((file) => file.startsWith(folder) && !file.slice(folder.length).includes("/"));
  const own = [
    ...chooseFiles(below("preferences/")),
    ...(files.includes("counts.csv") ? chooseFiles(below("")) : below("").filter((file) => HELD_OUT.test(file))),
  ];
  if (own.length > 0)
    return own.map((file) => pairTask("preferences", nameOf(file), join(data.folder as string, file)));
  const sample = (await readdir(SAMPLE)).filter((file) => HELD_OUT.test(file)).sort();
  return sample.map((file) => pairTask("preferences", nameOf(file), join(SAMPLE, file), "persona"));
}

/** What measures, where some is held out; all pairs otherwise. */
function chooseFiles(files: readonly string[]): string[] {
  const heldOut = files.filter((file) => HELD_OUT.test(file));
  return (heldOut.length > 0 ? heldOut : files.filter((file) => PAIRS.test(file))).sort();
}

/** The value of a file of a curated folder, whose name has it percent-encoded. */
function nameOf(path: string): string {
  const name = basename(path).replace(HELD_OUT, "").replace(PAIRS, "");
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

export function pairTask(suite: string, name: string, path: string, source: SourceName = "own"): Task {
  return {
    suite,
    name,
    about: source === "own" ? path : `pairs of persona statements, ${name}`,
    source,
    version: "1",
    async *load(_, { limit }): AsyncGenerator<LikelihoodQuestion> {
      const alone = await haveOnePrompt(path);
      for await (const pair of takeFirst(readPairs(path), limit)) {
        // Where all pairs have one prompt, it tells nothing of which belong together.
        yield pairQuestion(pair, alone ? pair.id : hashPrompt(pair));
      }
    },
  };
}

async function haveOnePrompt(path: string): Promise<boolean> {
  let first: string | undefined;
  for await (const pair of readPairs(path)) {
    first ??= hashPrompt(pair);
    if (hashPrompt(pair) !== first) return false;
  }
  return true;
}

/** Cluster of a pair: those of one prompt are not independent. */
export function hashPrompt({ prompt, prompt_tokens }: PreferencePair): string {
  return sha256Json(prompt ?? prompt_tokens).slice(0, 16);
}

function pairQuestion(pair: PreferencePair, cluster: string): LikelihoodQuestion {
  return {
    kind: "likelihood",
    id: pair.id,
    cluster,
    requests: [requestOf(pair)],
    wholeTurns: true,
    read([results]) {
      const [chosen, rejected] = results!;
      const margin = chosen!.logprob - rejected!.logprob;
      return {
        logprob_matching: chosen!.logprob,
        logprob_not_matching: rejected!.logprob,
        log_margin: margin,
        log_margin_per_token: chosen!.logprob / chosen!.tokens - rejected!.logprob / rejected!.tokens,
        accuracy: margin > 0 ? 1 : 0,
      };
    },
  };
}

function requestOf(pair: PreferencePair): Omit<ScoreRequest, "id"> {
  const { prompt, chosen, rejected, prompt_tokens, chosen_tokens, rejected_tokens } = pair;
  if (prompt_tokens !== undefined && chosen_tokens !== undefined && rejected_tokens !== undefined)
    return { context_tokens: prompt_tokens, completions_tokens: [chosen_tokens, rejected_tokens] };
  return { context: prompt ?? "", completions: [chosen ?? "", rejected ?? ""] };
}
