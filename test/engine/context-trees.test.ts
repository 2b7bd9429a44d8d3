/** Contexts in trees: whatever they share, every completion follows its own context. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ContextTree, RequestChunk } from "#lib/engine/context-trees.js";
import { type Tree, treeRows } from "#lib/engine/forest.js";
import { philox } from "#lib/engine/random.js";
import type { PreparedRequest } from "#lib/engine/score.js";

const request = (id: string, context: number[], ...lengths: number[]): PreparedRequest => ({
  id,
  context,
  completions: lengths.map((length) => ({ tokens: new Array(length).fill(9), bytes: null })),
});
const header = Array.from({ length: 20 }, (_, index) => index);

function chunkOf(largest: number, requests: PreparedRequest[]): RequestChunk {
  const chunk = new RequestChunk(largest);
  for (const each of requests) chunk.add(each);
  return chunk;
}

const slotsOf = (chunk: RequestChunk) =>
  chunk.trees.map(({ slots }) => slots.map(({ request, completion }) => `${request}.${completion}`));

/** The tokens of the rows that span `index` sees, its own included. */
function pathOf(tree: Tree, index: number): number[] {
  const { parent, tokens } = tree.spans[index]!;
  return [...(parent < 0 ? [] : pathOf(tree, parent)), ...Array.from(tokens)];
}

/** For every target in order, what it follows and what it is. */
function readTargets(tree: Tree): { seen: number[]; token: number }[] {
  return tree.targets.map(({ span, offset, token }) => {
    const path = pathOf(tree, span);
    return { seen: path.slice(0, path.length - tree.spans[span]!.tokens.length + offset + 1), token };
  });
}

describe("a chunk of requests", () => {
  it("computes a common header and a context asked twice once", () => {
    const chunk = chunkOf(100, [
      request("a", [...header, 50, 51], 1, 3),
      request("b", [...header, 60], 1),
      request("c", [...header, 60], 2),
    ]);
    assert.deepEqual(slotsOf(chunk), [["0.0", "0.1", "1.0", "2.0"]]);
    const tree = chunk.trees[0]!.build(7);
    assert.equal(tree.adapter, 7);
    assert.deepEqual(
      tree.spans.map(({ parent, tokens }) => [parent, tokens.length]),
      [
        [-1, 20],
        [0, 2],
        [1, 2],
        [0, 1],
        [3, 1],
      ],
    );
    assert.equal(chunk.rows, treeRows(tree));
  });

  it("keeps contexts apart that have little in common", () => {
    const chunk = chunkOf(100, [request("a", [1, 2, 3], 1), request("b", [1, 2, 4], 1), request("c", [1, 2], 1)]);
    assert.deepEqual(slotsOf(chunk), [["0.0"], ["1.0", "2.0"]]); // all of c is in b
  });

  it("cuts a request of many completions into trees of the largest size", () => {
    const chunk = chunkOf(10, [request("a", [1, 2], 5, 5, 5), request("b", [], 0)]);
    assert.deepEqual(slotsOf(chunk), [["0.0", "0.1"], ["0.2"]]);
  });

  it("says whether the tree that is growing takes a whole request", () => {
    const chunk = chunkOf(30, [request("a", [...header, 50], 1)]);
    assert.equal(chunk.continues(request("b", [...header, 60, 61], 3, 3)), true); // 21 + 2 + 2 + 2
    assert.equal(chunk.continues(request("b", [...header, 60, 61], 5, 5)), false); // 21 + 2 + 4 + 4
    assert.equal(chunk.continues(request("b", [60, 61], 1)), false);
    assert.equal(new RequestChunk(30).continues(request("b", header, 1)), false);
  });
});

it("every target of a tree sees its own context and completion, whatever the tree shares, and no row is there twice", () => {
  let drawn = 0;
  const below = (limit: number) => philox([drawn++, 0, 0, 0], [5, 0])[0]! % limit;
  for (let round = 0; round < 200; round++) {
    const tree = new ContextTree();
    const wanted: { seen: number[]; token: number }[] = [];
    const prefixes = new Set<string>();
    let leaves = 0;
    for (let index = below(8); index >= 0; index--) {
      const context = Array.from({ length: 1 + below(6) }, () => below(2));
      const completion = Array.from({ length: 1 + below(3) }, () => below(2));
      const before = tree.rows;
      const cost = tree.cost(context, completion);
      tree.add({ request: index, completion: 0 }, context, completion);
      assert.equal(tree.rows, before + cost);
      completion.forEach((token, at) => {
        wanted.push({ seen: [...context, ...completion.slice(0, at)], token });
      });
      context.forEach((_, at) => {
        prefixes.add(context.slice(0, at + 1).join());
      });
      leaves += completion.length - 1;
    }
    const built = tree.build(0);
    assert.deepEqual(readTargets(built), wanted);
    assert.equal(treeRows(built), prefixes.size + leaves);
    assert.equal(tree.rows, treeRows(built));
    built.spans.forEach(({ parent, tokens }, index) => {
      assert.ok(parent < index && tokens.length > 0);
    });
  }
});
