/**
 * Whether two contenders answered alike. A ratio of speeds is only worth printing where they did the same work.
 */

/**
 * What rounding explains, by the precision of the less precise of the two.
 *   logprob   nats a token, on the sum of a completion
 *   absolute  nats on top, once
 *   gap       between the two largest logits, below which either token is a fair greedy choice
 *   loss      of a DPO step
 * float32: what torch's own float32 was measured to be off by (test/golden/README.md); a greedy gap and a loss after a
 * few steps of AdamW follow from it. A cache of keys and values in float16, 11 bits, was seen to cost 4e-5 nats a token.
 * bf16 keeps 8 bits of every number, int8 as many of each block of activations:
 * logits near 20 are off by a few hundredths at the end of 30 layers.
 */
export const PRECISIONS = {
  float32: { logprob: 3e-5, absolute: 3e-4, gap: 1e-3, loss: 1e-4 },
  "float16 cache": { logprob: 3e-4, absolute: 3e-3, gap: 0.02 },
  bf16: { logprob: 0.03, absolute: 0.3, gap: 0.5, loss: 0.05 },
  int8: { logprob: 0.03, absolute: 0.3, gap: 0.5 },
};

/**
 * @param kind what the answers are: "logprobs", "losses" or "tokens"
 * @param ours the result that counts as right, with `answer_tokens` for log-probabilities
 * @param theirs a result whose answers may be the first of ours alone
 * @returns null where they agree, else what differs
 */
export function disagreement(kind, ours, theirs, precision) {
  const count = theirs.answers.length;
  if (count === 0 || count > ours.answers.length) return `${count} answers, not ${ours.answers.length}`;
  const tolerance = PRECISIONS[precision];
  for (let at = 0; at < count; at++) {
    const what = kind === "tokens" ? differentTokens : differentNumber;
    const message = what(kind, ours, theirs, at, tolerance);
    if (message !== null) return `answer ${at + 1}: ${message}`;
  }
  return null;
}

function differentNumber(kind, ours, theirs, at, { logprob, absolute, loss }) {
  const limit = kind === "losses" ? loss : logprob * ours.answer_tokens[at] + absolute;
  const difference = Math.abs(theirs.answers[at] - ours.answers[at]);
  // Written so that NaN is a disagreement.
  if (difference <= limit) return null;
  return `${theirs.answers[at]} is ${difference.toPrecision(2)} from ${ours.answers[at]}, more than ${limit.toPrecision(2)}`;
}

/** Up to the first difference: beyond it the two continue different texts. */
function differentTokens(_kind, ours, theirs, at, { gap }) {
  const [own, other] = [ours.answers[at], theirs.answers[at]];
  if (own.length !== other.length) return `${other.length} tokens, not ${own.length}`;
  const place = own.findIndex((token, index) => token !== other[index]);
  if (place < 0) return null;
  const gaps = theirs.gaps ?? ours.gaps;
  if (gaps !== undefined && gaps[at][place] <= gap) return null;
  return `token ${place + 1} is ${other[place]}, not ${own[place]}, and the gap of its logits ${gaps?.[at][place]}`;
}
