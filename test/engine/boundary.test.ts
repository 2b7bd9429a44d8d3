/** Where scoring starts when a token spans context and completion. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type BoundaryEncoder, harnessBoundary, longestBoundary } from "#lib/engine/boundary.js";

const START = 1;
/** Greedy longest match over a few words, single characters otherwise: enough for tokens to span. */
const WORDS = ["<s>", "an", "anti", "antidis", " is", " i", "  "];
const code = (piece: string) =>
  piece === "<s>" ? START : piece.length === 1 ? piece.charCodeAt(0) : 1000 + WORDS.indexOf(piece);
const encoder: BoundaryEncoder = {
  startToken: () => START,
  encode(text) {
    const ids: number[] = [];
    for (let at = 0; at < text.length; ) {
      const fits = WORDS.filter((word) => text.startsWith(word, at)).sort((a, b) => b.length - a.length);
      const piece = fits[0] ?? text[at]!;
      ids.push(code(piece));
      at += piece.length;
    }
    return ids;
  },
};
const ids = (...pieces: string[]) => pieces.map(code);

describe("longestBoundary", () => {
  it("starts at the end of the context where no token spans", () => {
    assert.deepEqual(longestBoundary("an", ["b", "cd"], encoder), {
      context: ids("an"),
      completions: [{ tokens: ids("b") }, { tokens: ids("c", "d") }],
    });
  });

  it("starts every completion of a request at the smallest common prefix", () => {
    // "xanti" + "dis" joins to "x", "antidis": both completions start after "x".
    assert.deepEqual(longestBoundary("xanti", ["dis", "-"], encoder), {
      context: ids("x"),
      completions: [
        { tokens: ids("antidis"), boundary: "spanned" },
        { tokens: ids("anti", "-"), boundary: "spanned" },
      ],
    });
  });

  it("puts the start token in front where nothing is common", () => {
    assert.deepEqual(longestBoundary("anti", ["dis", "x"], encoder), {
      context: [START],
      completions: [
        { tokens: ids("antidis"), boundary: "spanned" },
        { tokens: ids("anti", "x"), boundary: "spanned" },
      ],
    });
    assert.deepEqual(longestBoundary("", ["x"], encoder), { context: [START], completions: [{ tokens: ids("x") }] });
  });

  it("takes a start token that the text brings along as the context", () => {
    assert.deepEqual(longestBoundary("", ["<s>x", "y"], encoder), {
      context: [START],
      completions: [{ tokens: ids("x") }, { tokens: ids("y") }],
    });
  });

  it("leaves no token of an empty completion", () => {
    assert.deepEqual(longestBoundary("x", [""], encoder).completions, [{ tokens: [] }]);
  });
});

describe("harnessBoundary", () => {
  it("moves trailing spaces of the context to the completion", () => {
    assert.deepEqual(harnessBoundary("x ", ["is"], encoder), {
      context: ids("x"),
      completions: [{ tokens: ids(" is") }],
    });
    assert.deepEqual(harnessBoundary("x\n\u2003", ["y"], encoder), {
      context: ids("x"),
      completions: [{ tokens: ids("\n", "\u2003", "y") }],
    });
  });

  it("cuts at the number of context tokens, and calls what is left with none empty", () => {
    assert.deepEqual(harnessBoundary("xanti", ["dis", "disy"], encoder), {
      context: ids("x", "anti"),
      completions: [{ tokens: [], boundary: "empty" }, { tokens: ids("y") }],
    });
  });

  it("calls every completion of a context of spaces empty, where the harness fails", () => {
    assert.deepEqual(harnessBoundary("  ", ["x"], encoder), {
      context: [],
      completions: [{ tokens: [], boundary: "empty" }],
    });
  });

  it("scores an empty context after the start token", () => {
    assert.deepEqual(harnessBoundary("", ["x", "<s>y", ""], encoder), {
      context: [START],
      completions: [{ tokens: ids("x") }, { tokens: ids("y") }, { tokens: [], boundary: "empty" }],
    });
  });

  it("strips what Python strips, and not what JavaScript would", () => {
    assert.deepEqual(harnessBoundary("x\u001c\u0085", ["y"], encoder).context, ids("x"));
    assert.deepEqual(harnessBoundary("x\ufeff", ["y"], encoder).context, ids("x", "\ufeff"));
  });
});
