/**
 * Preference pairs in tokens, cut to length. The prompt goes through the chat template with the
 * generation prompt, prompt and response are encoded separately, a response ends with its end-of-turn
 * token. A pair over the length loses tokens from the left of its prompt, never of a response; one whose
 * response leaves no room for a single prompt token is left out. Both are counted.
 */
import { createHash } from "node:crypto";
import { type PreferencePair, parsePair } from "../data/pairs.js";
import { DataFormatError } from "../errors.js";
import { encodePrompt, encodeResponse, endOfTurn, startToken, type TextModel } from "./encode.js";
import { checkTokens } from "./requests.js";

export interface TokenizedPair {
  id: string;
  prompt: number[];
  chosen: number[];
  rejected: number[];
}

export interface PairReport {
  /** Pairs read. */
  pairs: number;
  /** Pairs trained on. */
  used: number;
  /** Of these, pairs whose prompt lost tokens. */
  truncated: number;
  /** Ids of pairs that cannot fit. */
  leftOut: string[];
  /** Tokens of one epoch: prompt once, chosen, rejected. */
  tokens: number;
}

/** Prompt cut from the left so that prompt and longer response fit; null where they cannot. */
export function truncatePair(pair: TokenizedPair, maxLength: number, keepFirst: boolean): TokenizedPair | null {
  const room = maxLength - Math.max(pair.chosen.length, pair.rejected.length);
  if (room < 1) return null;
  if (pair.prompt.length <= room) return pair;
  // A BOS that the tokenizer put in front stays there.
  const prompt = keepFirst && room > 1 ? [pair.prompt[0]!, ...pair.prompt.slice(1 - room)] : pair.prompt.slice(-room);
  return { ...pair, prompt };
}

function tokenizePair(model: TextModel, pair: PreferencePair, end: number | null): TokenizedPair {
  const prompt = pair.prompt_tokens ?? encodePrompt(model, pair.prompt ?? "");
  return {
    id: pair.id,
    prompt: prompt.length > 0 ? prompt : [startToken(model)],
    chosen: pair.chosen_tokens ?? encodeResponse(model, pair.chosen ?? "", end),
    rejected: pair.rejected_tokens ?? encodeResponse(model, pair.rejected ?? "", end),
  };
}

/**
 * @param maxLength tokens of prompt and response together
 * @param vocabulary tokens outside are an error that names the pair
 * @throws DataFormatError where no pair is left
 */
export async function tokenizePairs(
  model: TextModel,
  pairs: Iterable<PreferencePair> | AsyncIterable<PreferencePair>,
  maxLength: number,
  vocabulary: number,
): Promise<{ pairs: TokenizedPair[]; report: PairReport }> {
  const end = endOfTurn(model);
  const used: TokenizedPair[] = [];
  const report: PairReport = { pairs: 0, used: 0, truncated: 0, leftOut: [], tokens: 0 };
  for await (const value of pairs) {
    report.pairs++;
    const pair = tokenizePair(model, parsePair(value, `pair ${report.pairs}`), end);
    for (const tokens of [pair.prompt, pair.chosen, pair.rejected])
      checkTokens(tokens, vocabulary, `pair "${pair.id}"`);
    const { tokenizer } = model;
    const keepFirst = tokenizer?.addBos === true && pair.prompt[0] === tokenizer.bosId;
    const fitting = truncatePair(pair, maxLength, keepFirst);
    if (fitting === null) {
      report.leftOut.push(pair.id);
      continue;
    }
    if (fitting !== pair) report.truncated++;
    report.tokens += fitting.prompt.length + fitting.chosen.length + fitting.rejected.length;
    used.push(fitting);
  }
  report.used = used.length;
  if (used.length === 0) {
    throw new DataFormatError(
      report.pairs === 0
        ? "there are no pairs to train on"
        : `none of the ${report.pairs} pairs fits into ${maxLength} tokens; raise --max-length`,
    );
  }
  return { pairs: used, report };
}

/** SHA-256 of the tokens of all pairs, in order. */
export function hashPairs(pairs: readonly TokenizedPair[]): string {
  const hash = createHash("sha256");
  for (const { prompt, chosen, rejected } of pairs) {
    hash.update(Int32Array.of(prompt.length, chosen.length, rejected.length));
    for (const tokens of [prompt, chosen, rejected]) hash.update(Int32Array.from(tokens));
  }
  return hash.digest("hex");
}
