/**
 * Negation: whether what stands at a word is denied by words before it in the same clause. docs/values.md has the rule.
 */
import { NO_BREAK, type Tokens } from "./tokens.js";

/** Denies what follows. */
const NEGATES = 1;
/** "not only kind": takes a denial directly before it back. */
const UNDOES = 2;
/** Begins another clause: what stands before it denies nothing behind. */
const ENDS = 3;

/** Words back from the beginning of what is denied: "not a very honest answer" has three between. */
const SCOPE_WORDS = 4;

const ROLES: readonly [role: number, words: string][] = [
  [
    NEGATES,
    "not no never neither nor none nobody nothing without cannot cant dont doesnt didnt isnt arent wasnt werent wont " +
      "wouldnt shouldnt couldnt can't don't doesn't didn't isn't aren't wasn't weren't won't wouldn't shouldn't " +
      "couldn't hasn't haven't hadn't ain't needn't mustn't hardly barely scarcely rarely seldom lack lacks lacking " +
      "lacked fail fails failed failing refuse refuses refused refusing avoid avoids avoided avoiding stop stops " +
      "stopped stopping unable instead rather",
  ],
  [UNDOES, "only just merely simply doubt matter wonder mention"],
  [ENDS, "but however although though because since so while when if which who that and then"],
];

/** By word. */
export const NEGATORS: ReadonlyMap<string, number> = new Map(
  ROLES.flatMap(([role, words]) => words.split(" ").map((word): [string, number] => [word, role])),
);

/**
 * Whether an odd number of denials stands before word `begin`: "isn't funny", "never been honest", but not "not only
 * funny" or "not without humor".
 *
 * @param roles by word number, as in `NEGATORS`; 0 for every other word
 */
export function isNegated(tokens: Tokens, begin: number, roles: Int32Array): boolean {
  const { ids, breaks } = tokens;
  let denials = 0;
  let undone = false;
  for (let at = begin; at > 0 && at > begin - SCOPE_WORDS; at--) {
    if (breaks[at] !== NO_BREAK) break;
    const role = roles[ids[at - 1]!];
    if (role === ENDS) break;
    if (role === NEGATES && !undone) denials += 1;
    undone = role === UNDOES;
  }
  return denials % 2 === 1;
}
