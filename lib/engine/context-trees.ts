/**
 * Gathers contexts with their completions into trees in which what contexts begin with in common - a few-shot header, a
 * system prompt, one question asked twice - is computed once (a radix tree over tokens). Results do not depend on it.
 */
import { commonPrefix } from "./boundary.js";
import type { Tree, TreeSpan, TreeTarget } from "./forest.js";
import type { PreparedRequest } from "./score.js";

/** Contexts that have fewer tokens in common stay apart: batches can be cut between trees, not within one. */
const LEAST_SHARED = 16;

/** A request's completion, both counted in the order in which they were added. */
export interface Slot {
  request: number;
  completion: number;
}

interface Node {
  tokens: readonly number[];
  /** By their first token. */
  children: Map<number, Node>;
  completions: { slot: number; tokens: readonly number[] }[];
}

/** One tree that is still growing. */
export class ContextTree {
  /** Targets of a built tree follow this order. */
  readonly slots: Slot[] = [];
  /** Of the batch, so far. */
  rows = 0;
  private readonly root: Node = newNode([]);

  /** Rows that a completion after `context` would add: its last token is predicted and never read. */
  cost(context: readonly number[], completion: readonly number[]): number {
    return context.length - this.shared(context) + completion.length - 1;
  }

  /** Whether `context` has enough in common with what is here. */
  suits(context: readonly number[]): boolean {
    const shared = this.shared(context);
    return shared === context.length || shared >= LEAST_SHARED;
  }

  add(slot: Slot, context: readonly number[], completion: readonly number[]): void {
    this.rows += this.cost(context, completion);
    this.reach(context).completions.push({ slot: this.slots.length, tokens: completion });
    this.slots.push(slot);
  }

  /** @param adapter an adapter's handle; 0 = the base model */
  build(adapter: number): Tree {
    const spans: TreeSpan[] = [];
    const targets: TreeTarget[][] = this.slots.map(() => []);
    const visit = (node: Node, parent: number): void => {
      const span = spans.push({ parent, tokens: node.tokens }) - 1;
      for (const { slot, tokens } of node.completions) {
        targets[slot] = tokens.map((token, index) =>
          index === 0
            ? { span, offset: node.tokens.length - 1, token }
            : { span: spans.length, offset: index - 1, token },
        );
        if (tokens.length > 1) spans.push({ parent: span, tokens: tokens.slice(0, -1) });
      }
      for (const child of node.children.values()) visit(child, span);
    };
    for (const child of this.root.children.values()) visit(child, -1);
    return { adapter, spans, targets: targets.flat() };
  }

  /** How many of the context's first tokens are here. */
  private shared(context: readonly number[]): number {
    let node = this.root;
    for (let at = 0; ; at += node.tokens.length) {
      const child = node.children.get(context[at]!);
      if (child === undefined) return at;
      const common = commonPrefix(child.tokens, context, at);
      if (common < child.tokens.length) return at + common;
      node = child;
    }
  }

  /** The node at which `context` ends, made where it is missing. */
  private reach(context: readonly number[]): Node {
    let node = this.root;
    for (let at = 0; at < context.length; at += node.tokens.length) {
      let child = node.children.get(context[at]!);
      if (child === undefined) {
        child = newNode(context.slice(at));
      } else {
        const common = commonPrefix(child.tokens, context, at);
        if (common < child.tokens.length) child = split(child, common);
      }
      node.children.set(context[at]!, child);
      node = child;
    }
    return node;
  }
}

function newNode(tokens: readonly number[]): Node {
  return { tokens, children: new Map(), completions: [] };
}

/** A node of the first `length` tokens, below which the rest of `node` hangs. */
function split(node: Node, length: number): Node {
  const upper = newNode(node.tokens.slice(0, length));
  const lower = { ...node, tokens: node.tokens.slice(length) };
  upper.children.set(lower.tokens[0]!, lower);
  return upper;
}

/** Requests whose trees are scored together. */
export class RequestChunk {
  readonly requests: PreparedRequest[] = [];
  readonly trees: ContextTree[] = [];

  /** @param largestTree rows of a tree at most, unless one completion alone has more */
  constructor(private readonly largestTree: number) {}

  /** Rows for one adapter. */
  get rows(): number {
    return this.trees.reduce((sum, { rows }) => sum + rows, 0);
  }

  /** Whether all of a request's completions would go into the tree that is growing. */
  continues({ context, completions }: PreparedRequest): boolean {
    const tree = this.trees.at(-1);
    if (tree === undefined || !tree.suits(context)) return false;
    const branches = completions.reduce((rows, { tokens }) => rows + Math.max(0, tokens.length - 1), 0);
    return tree.rows + tree.cost(context, [0]) + branches <= this.largestTree;
  }

  add(request: PreparedRequest): void {
    const index = this.requests.push(request) - 1;
    request.completions.forEach(({ tokens }, completion) => {
      if (tokens.length === 0) return; // has no target
      let tree = this.trees.at(-1);
      if (
        tree === undefined ||
        !tree.suits(request.context) ||
        tree.rows + tree.cost(request.context, tokens) > this.largestTree
      ) {
        tree = new ContextTree();
        this.trees.push(tree);
      }
      tree.add({ request: index, completion }, request.context, tokens);
    });
  }
}
