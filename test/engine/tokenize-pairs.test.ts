/** From preference pairs to tokens: templates, BOS, end of turn, truncation. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PreferencePair } from "#lib/data/pairs.js";
import { encodePrompt, encodeResponse, endOfTurn, stopTokens, type TextModel } from "#lib/engine/encode.js";
import { hashPairs, tokenizePairs, truncatePair } from "#lib/engine/tokenize-pairs.js";

const SPECIAL = ["<bos>", "<|im_start|>", "<|im_end|>", "<eos>"];
/** Special tokens are 0–3, every other character is its code. */
const tokenizer = (addBos: boolean, eosIds = [2]) => ({
  addBos,
  bosId: 0,
  eosIds,
  encode(text: string): number[] {
    return text
      .split(/(<bos>|<\|im_start\|>|<\|im_end\|>|<eos>)/)
      .flatMap((part) => (SPECIAL.includes(part) ? [SPECIAL.indexOf(part)] : Array.from(part, (c) => c.charCodeAt(0))));
  },
  decode: (ids: number[]) => ids.map((id) => SPECIAL[id] ?? String.fromCharCode(id)).join(""),
});
type Turn = { role: string; content: string };
const chatml = {
  render: (messages: Turn[], { addGenerationPrompt }: { addGenerationPrompt: boolean }) =>
    messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`).join("") +
    (addGenerationPrompt ? "<|im_start|>assistant\n" : ""),
};
const model = (addBos = false): TextModel => ({ tokenizer: tokenizer(addBos), chatTemplate: chatml });
const text = (m: TextModel, ids: number[]) => m.tokenizer!.decode(ids);

describe("encodePrompt", () => {
  it("takes text as it stands and messages through the template with the generation prompt", () => {
    assert.equal(text(model(), encodePrompt(model(), "Hi")), "Hi");
    assert.equal(
      text(model(), encodePrompt(model(), [{ role: "user", content: "Hi" }])),
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  it("puts BOS in front where the tokenizer adds it, and never twice", () => {
    assert.equal(text(model(true), encodePrompt(model(true), "Hi")), "<bos>Hi");
    assert.equal(text(model(true), encodePrompt(model(true), "<bos>Hi")), "<bos>Hi");
  });

  it("names the option where messages have no template", () => {
    const bare = { ...model(), chatTemplate: null };
    assert.throws(() => encodePrompt(bare, [{ role: "user", content: "" }]), {
      name: "UsageError",
      message: /--chat-template/,
    });
    assert.throws(() => encodePrompt({ ...bare, tokenizer: null }, "x"), {
      name: "UsageError",
      message: /no tokenizer/,
    });
  });
});

describe("endOfTurn", () => {
  it("is the special token that the template writes after an answer", () => {
    assert.equal(endOfTurn(model()), 2);
    const other: TextModel = { tokenizer: tokenizer(false, [3]), chatTemplate: chatml };
    assert.equal(endOfTurn(other), 2);
    assert.deepEqual(stopTokens(other), [3, 2]);
  });

  it("is the first end token where there is no template, or it writes none", () => {
    assert.equal(endOfTurn({ tokenizer: tokenizer(false, [3]), chatTemplate: null }), 3);
    const plain = { render: (messages: Turn[]) => messages.map(({ content }) => content).join("\n\nHuman: ") };
    assert.equal(endOfTurn({ tokenizer: tokenizer(false, [3]), chatTemplate: plain }), 3);
    assert.equal(endOfTurn({ tokenizer: null, chatTemplate: null }), null);
  });
});

describe("encodeResponse", () => {
  it("ends with the end-of-turn token once and nothing after", () => {
    const m = model();
    for (const given of ["Yes.", "Yes.<|im_end|>", "Yes.<|im_end|>\n", "Yes.<|im_end|><|im_end|> \n"]) {
      assert.equal(text(m, encodeResponse(m, given, 2)), "Yes.<|im_end|>", given);
    }
    assert.equal(text(m, encodeResponse(m, "Yes. ", 2)), "Yes. <|im_end|>");
    assert.deepEqual(encodeResponse(m, "", 2), [2]);
  });
});

describe("tokenizePairs", () => {
  const pair = (id: string, more: Partial<PreferencePair> = {}): PreferencePair => ({
    id,
    prompt: "abcdef",
    chosen: "xy",
    rejected: "z",
    ...more,
  });
  const run = (pairs: PreferencePair[], maxLength: number, addBos = false) =>
    tokenizePairs(model(addBos), pairs, maxLength, 200);

  it("cuts prompts from the left, leaves out what cannot fit, and counts both", async () => {
    const { pairs, report } = await run(
      [pair("fits"), pair("long", { prompt: "0123456789" }), pair("never", { chosen: "x".repeat(9) })],
      9,
    );
    assert.deepEqual(
      pairs.map((p) => text(model(), p.prompt)),
      ["abcdef", "456789"],
    );
    assert.deepEqual(report, { pairs: 3, used: 2, truncated: 1, leftOut: ["never"], tokens: 2 * (6 + 3 + 2) });
  });

  it("never cuts a response", () => {
    const tokens = { id: "", prompt: [1, 2, 3], chosen: [4, 5, 6], rejected: [7] };
    assert.equal(truncatePair(tokens, 3, false), null);
    assert.deepEqual(truncatePair(tokens, 4, false), { ...tokens, prompt: [3] });
  });

  it("keeps the BOS that the tokenizer put in front", async () => {
    const { pairs } = await run([pair("long", { prompt: "0123456789" })], 9, true);
    assert.equal(text(model(), pairs[0]!.prompt), "<bos>56789");
  });

  it("uses tokens as they are", async () => {
    const { pairs } = await run(
      [pair("t", { prompt_tokens: [5], chosen_tokens: [6], rejected_tokens: [7, 8] })],
      9,
      true,
    );
    assert.deepEqual(pairs, [{ id: "t", prompt: [5], chosen: [6], rejected: [7, 8] }]);
  });

  it("names the pair of a token outside the vocabulary, and a data set that is empty or does not fit", async () => {
    await assert.rejects(run([pair("t", { prompt_tokens: [500] })], 9), {
      name: "DataFormatError",
      message: /pair "t": token 500/,
    });
    await assert.rejects(run([], 9), { name: "DataFormatError", message: /no pairs/ });
    await assert.rejects(run([pair("a")], 3), { name: "DataFormatError", message: /none of the 1 pairs fits into 3/ });
    await assert.rejects(run([{ id: "b" } as PreferencePair], 3), { name: "DataFormatError", message: /pair 1/ });
  });

  it("hashes what is trained on, not what it is called", async () => {
    const hash = async (pairs: PreferencePair[]) => hashPairs((await run(pairs, 99)).pairs);
    assert.equal(await hash([pair("a")]), await hash([pair("b")]));
    assert.notEqual(await hash([pair("a")]), await hash([pair("a", { chosen: "z", rejected: "xy" })]));
  });
});
