/**
 * All patterns as one automaton over word numbers. It is built as one without determinism and made deterministic
 * step by step as text asks for it (the subset construction, by need), from every word of a text anew: most words begin
 * no pattern, and a walk ends after a word or two.
 */
import { GAP_WORDS, type Pattern, type PatternNode } from "./pattern.js";
import { EXCLAMATION, HARD_BREAK, QUESTION, type Tokens, UNKNOWN, type Vocabulary } from "./tokens.js";

/** Protects memory against a lexicon whose gaps multiply: what was made deterministic is then made again. */
const MAX_STATES = 1 << 16;
const DEAD = -1;
const UNSEEN = -2;
/** States 0 (patterns without ^) and 1 (all). */
const ROOTS = 2;

interface Node {
  words: Map<number, number[]>;
  any: number[];
  /** Reached without a word. */
  free: number[];
  /** The pattern that ends here, or -1. */
  pattern: number;
}

interface State {
  nodes: number[];
  patterns: number[];
  next: Map<number, number>;
}

/** The vocabulary is complete once the automaton has added its patterns' words. */
export class Automaton {
  private readonly nodes: Node[] = [];
  private states: State[] = [];
  private byNodes = new Map<string, number>();
  /** Where patterns without ^ begin, and where all do. */
  private readonly roots: readonly [plain: number, all: number];
  /** By root and word, the nodes behind the root that go on with this word. No pattern begins with any word. */
  private readonly beginners: Map<number, number[]>[];
  /** By root and word, the state after the first word: where nearly every walk ends. */
  private first: Int32Array[] = [];

  constructor(
    patterns: readonly Pattern[],
    private readonly vocabulary: Vocabulary,
  ) {
    this.roots = [this.node(), this.node()];
    patterns.forEach((pattern, index) => {
      const begin = this.node();
      this.nodes[this.roots[1]]!.free.push(begin);
      if (!pattern.atStart) this.nodes[this.roots[0]]!.free.push(begin);
      this.nodes[this.build(pattern.nodes, begin)]!.pattern = index;
    });
    this.beginners = this.roots.map((root) => {
      const byWord = new Map<number, number[]>();
      for (const node of this.reachedFrom(root)) {
        for (const word of this.nodes[node]!.words.keys()) {
          const known = byWord.get(word);
          if (known === undefined) byWord.set(word, [node]);
          else known.push(node);
        }
      }
      return byWord;
    });
    this.reset();
  }

  /** Calls `onMatch` with every pattern that stands in the text, and the words [begin, end) where it does. */
  match(tokens: Tokens, onMatch: (pattern: number, begin: number, end: number) => void): void {
    const { count, ids, breaks } = tokens;
    for (let begin = 0; begin < count; begin++) {
      if (ids[begin] === UNKNOWN) continue;
      const root = begin === 0 || breaks[begin] === HARD_BREAK ? 1 : 0;
      let state = this.first[root]![ids[begin]!]!;
      if (state === UNSEEN) {
        state = this.step(root, ids[begin]!);
        this.first[root]![ids[begin]!] = state;
      }
      for (let end = begin + 1; state !== DEAD; end++) {
        for (const pattern of this.states[state]!.patterns) onMatch(pattern, begin, end);
        if (end === count || breaks[end] === HARD_BREAK) break;
        state = this.step(state, ids[end]!);
      }
    }
  }

  private step(state: number, word: number): number {
    const known = this.states[state]!.next.get(word);
    return known ?? this.expand(state, word);
  }

  private expand(from: number, word: number): number {
    const { nodes, next } = this.states[from]!;
    const reached = new Set<number>();
    const isMark = word === QUESTION || word === EXCLAMATION;
    // A root has thousands of nodes behind it, and few of them know the word.
    const asked = from < ROOTS ? (this.beginners[from]!.get(word) ?? []) : nodes;
    for (const index of asked) {
      const node = this.nodes[index]!;
      for (const target of node.words.get(word) ?? []) this.close(target, reached);
      if (!isMark) for (const target of node.any) this.close(target, reached);
    }
    if (reached.size === 0) {
      next.set(word, DEAD);
      return DEAD;
    }
    if (this.states.length >= MAX_STATES) {
      this.reset();
      return this.state(reached);
    }
    const state = this.state(reached);
    next.set(word, state);
    return state;
  }

  private state(reached: Set<number>): number {
    const nodes = [...reached].sort((a, b) => a - b);
    const key = nodes.join();
    let state = this.byNodes.get(key);
    if (state === undefined) {
      state = this.states.length;
      const patterns = nodes.map((node) => this.nodes[node]!.pattern).filter((pattern) => pattern >= 0);
      this.states.push({ nodes, patterns, next: new Map() });
      this.byNodes.set(key, state);
    }
    return state;
  }

  private reset(): void {
    this.states = [];
    this.byNodes = new Map();
    for (const root of this.roots) this.state(this.reachedFrom(root));
    this.first = this.roots.map(() => new Int32Array(this.vocabulary.words.length).fill(UNSEEN));
  }

  /** With no word at all. */
  private reachedFrom(node: number): Set<number> {
    const reached = new Set<number>();
    this.close(node, reached);
    return reached;
  }

  private close(node: number, into: Set<number>): void {
    if (into.has(node)) return;
    into.add(node);
    for (const next of this.nodes[node]!.free) this.close(next, into);
  }

  private node(): number {
    this.nodes.push({ words: new Map(), any: [], free: [], pattern: -1 });
    return this.nodes.length - 1;
  }

  /** Appends what `sequence` matches behind `from`; the node where it ends. */
  private build(sequence: readonly PatternNode[], from: number): number {
    let at = from;
    for (const part of sequence) {
      const end = this.node();
      switch (part.kind) {
        case "words":
          for (const word of part.words) {
            const { words } = this.nodes[at]!;
            const id = this.vocabulary.add(word);
            words.set(id, [...(words.get(id) ?? []), end]);
          }
          break;
        case "any":
          this.nodes[at]!.any.push(end);
          break;
        case "gap":
          for (let left = GAP_WORDS, step = at; ; left--) {
            this.nodes[step]!.free.push(end);
            if (left === 0) break;
            const next = this.node();
            this.nodes[step]!.any.push(next);
            step = next;
          }
          break;
        case "choice":
          for (const option of part.options) this.nodes[this.build(option, at)]!.free.push(end);
          break;
      }
      at = end;
    }
    return at;
  }
}
