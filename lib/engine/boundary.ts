/**
 * Where the scoring of a completion starts, when a token may span context and completion: the two rules
 * of the contract, as pure functions over an encoder.
 */

/** A context and what follows it, ready to be scored. */
export interface BoundaryResult {
  /** Tokens that every completion is scored after; empty only where nothing can be scored. */
  context: number[];
  completions: { tokens: number[]; boundary?: "spanned" | "empty" }[];
}

export interface BoundaryEncoder {
  /** Tokens of a text that begins a sequence. */
  encode(text: string): number[];
  /** BOS, else EOS: what stands in front where there is no context. */
  startToken(): number;
}

/** Tokens that `a` begins with and `b` has from `at` on. */
export function commonPrefix(a: readonly number[], b: readonly number[], at = 0): number {
  const end = Math.min(a.length, b.length - at);
  let length = 0;
  while (length < end && a[length] === b[at + length]) length++;
  return length;
}

/**
 * `--boundary longest`: scoring starts at the longest common token prefix of encode(context) and
 * encode(context + completion), over all completions of the request, so that their sums compare. Where it
 * is empty the start token stands in front; a text that itself begins with that token already has it.
 */
export function longestBoundary(
  context: string,
  completions: readonly string[],
  encoder: BoundaryEncoder,
): BoundaryResult {
  const alone = encoder.encode(context);
  const joined = completions.map((completion) => encoder.encode(context + completion));
  const start = Math.min(alone.length, ...joined.map((tokens) => commonPrefix(alone, tokens)));
  const spanned = start < alone.length ? ({ boundary: "spanned" } as const) : {};
  if (start > 0) {
    return {
      context: alone.slice(0, start),
      completions: joined.map((tokens) => ({ tokens: tokens.slice(start), ...spanned })),
    };
  }
  const first = encoder.startToken();
  return {
    context: [first],
    completions: joined.map((tokens) => ({ tokens: tokens[0] === first ? tokens.slice(1) : tokens, ...spanned })),
  };
}

// What Python's str.rstrip strips: JavaScript's trimEnd lacks U+001C–U+001F and U+0085, and takes U+FEFF.
// biome-ignore lint/suspicious/noControlCharactersInRegex: four control characters are spaces to Python
const TRAILING_SPACES = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/u;

/**
 * `--boundary harness`: lm-evaluation-harness's rule (its `_encode_pair` and `loglikelihood`). Trailing spaces of
 * the context move to the completion; the completion is what follows the first len(encode(context))
 * tokens. Where the harness raises an error - no token left of the completion, or of a context of
 * spaces only - the completion counts as empty.
 */
export function harnessBoundary(
  context: string,
  completions: readonly string[],
  encoder: BoundaryEncoder,
): BoundaryResult {
  if (context === "") {
    const first = encoder.startToken();
    return {
      context: [first],
      completions: completions.map((completion) => {
        const tokens = encoder.encode(completion);
        return markEmpty(tokens[0] === first ? tokens.slice(1) : tokens);
      }),
    };
  }
  const kept = context.replace(TRAILING_SPACES, "");
  const alone = encoder.encode(kept);
  return {
    context: alone,
    completions: completions.map((completion) =>
      markEmpty(alone.length === 0 ? [] : encoder.encode(context + completion).slice(alone.length)),
    ),
  };
}

function markEmpty(tokens: number[]): { tokens: number[]; boundary?: "empty" } {
  return tokens.length === 0 ? { tokens, boundary: "empty" } : { tokens };
}
