/**
 * Contexts that begin alike - the examples in front of every question of a benchmark - computed once: consecutive
 * contexts become one tree, head → rest of each context → completions. What a target is worth does not depend on it, to
 * the bit (promise 2), so this is a matter of speed alone.
 */
import { commonPrefix } from "./boundary.js";
import { contextTree, type Tree } from "./forest.js";

export interface ContextGroup {
  /** Tokens, at least one. */
  context: readonly number[];
  /** What follows it, each at least one token. */
  continuations: readonly (readonly number[])[];
}

/** Groups that share a tree. */
export interface HeadGroup<G extends ContextGroup> {
  /** Tokens that all contexts begin with, the last one of none of them among them; 0 where a group stands alone. */
  head: number;
  members: G[];
}

/** A shorter head is not worth a span of its own. */
const LEAST_HEAD = 32;
/** A group joins only where it leaves so much of the head to those that are there. */
const LEAST_KEPT = 0.75;

/** Tokens of `context` that need not be computed again after `before`. */
export function sharedTokens(before: readonly number[] | undefined, context: readonly number[]): number {
  if (before === undefined) return 0;
  // The last token of a context predicts, so it has a row of its own.
  const shared = Math.min(commonPrefix(before, context), before.length - 1, context.length - 1);
  return shared >= LEAST_HEAD ? shared : 0;
}

/** Consecutive groups with a head in common, as trees of at most `budget` rows; a larger group stands alone. */
export function shareHeads<G extends ContextGroup>(groups: readonly G[], budget: number): HeadGroup<G>[] {
  const shared: (HeadGroup<G> & { longest: number; rows: number })[] = [];
  for (const group of groups) {
    const last = shared.at(-1);
    const own = group.context.length + continuationRows(group);
    if (last !== undefined) {
      const before = last.members[0] as G;
      const alone = last.members.length === 1;
      const reach = sharedTokens(before.context, group.context);
      const head = alone ? reach : Math.min(reach, last.head);
      // A head that shrinks by s tokens costs s more rows for every member but one.
      const rows = last.rows + own - head + (alone ? 0 : (last.head - head) * (last.members.length - 1));
      if (head > 0 && head >= LEAST_KEPT * (alone ? head : last.longest) && rows <= budget) {
        last.members.push(group);
        last.head = head;
        last.longest = Math.max(last.longest, head);
        last.rows = rows;
        continue;
      }
    }
    shared.push({ head: 0, members: [group], longest: 0, rows: own });
  }
  return shared.map(({ head, members }) => ({ head, members }));
}

function continuationRows({ continuations }: ContextGroup): number {
  return continuations.reduce((rows, { length }) => rows + Math.max(0, length - 1), 0);
}

/** Its tree; targets come member by member, within one continuation by continuation. */
export function headTree({ head, members }: HeadGroup<ContextGroup>, adapter: number): Tree {
  const [first] = members as [ContextGroup];
  if (members.length === 1) return contextTree(first.context, [...first.continuations], adapter);
  const tree: Tree = { adapter, spans: [{ parent: -1, tokens: first.context.slice(0, head) }], targets: [] };
  for (const { context, continuations } of members) {
    const own = contextTree(context.slice(head), [...continuations], adapter);
    const begin = tree.spans.length;
    for (const { parent, tokens } of own.spans) tree.spans.push({ parent: parent < 0 ? 0 : begin + parent, tokens });
    for (const { span, offset, token } of own.targets) tree.targets.push({ span: begin + span, offset, token });
  }
  return tree;
}
