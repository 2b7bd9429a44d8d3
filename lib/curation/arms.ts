/** The arms of a study: what is trained on for each value, and what it is compared with. */
import { type Matching, matchRandomly, poolOf } from "./match.js";
import type { Scan } from "./scan.js";
import { type Member, memberOf, PARTS, type Part, rowOf, type Subset } from "./select.js";

/**
 * - `induce`: the value's subset, flipped where only the rejected response has the value.
 * - `unflipped`: the same pairs, each as it was.
 * - `random`: random pairs that match those in number, source and lengths, each as it was.
 * - `flipped-random`: the same random pairs, the same share of them flipped.
 */
export const ARMS = ["induce", "unflipped", "random", "flipped-random"] as const;
export type Arm = (typeof ARMS)[number];

export interface ArmSubset extends Subset {
  /** How well the random pairs match; null in the arms that have none. */
  matching: Record<Part, Matching> | null;
}

const asTheyWere = (members: readonly Member[]): Member[] => members.map((member) => memberOf(rowOf(member), false));

/** The pairs of `arm` for a value's subset. */
export function armOf(arm: Arm, scan: Scan, parts: readonly Part[], subset: Subset, seed: number): ArmSubset {
  const perPart = <T>(make: (part: Part) => T): Record<Part, T> =>
    Object.fromEntries(PARTS.map((part) => [part, make(part)])) as Record<Part, T>;
  if (arm === "induce") return { ...subset, matching: null };
  if (arm === "unflipped")
    return { ...subset, members: perPart((part) => asTheyWere(subset.members[part])), matching: null };
  const matching = perPart((part) =>
    matchRandomly(scan.table, subset.members[part], poolOf(scan, parts, part, subset), { value: subset.value, seed }),
  );
  const members = perPart((part) => {
    const drawn = matching[part].members;
    return arm === "random" ? asTheyWere(drawn) : drawn;
  });
  return { ...subset, members, matching };
}
