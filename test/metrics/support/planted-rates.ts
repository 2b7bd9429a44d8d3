/** How often a planted study's cells are recovered. */
import { crosstalkStudy } from "#lib/metrics/crosstalk-study.js";
import { type PlantedStudy, plantedItems } from "./planted.js";

export interface PlantedRates {
  /** Share of intervals that hold the truth: of all cells, plain and moderated, on target, and of ratios to the target. */
  coverage: Record<string, number>;
  nullFoundUnadjusted: number;
  /** Mean over studies of the false share of what is found after adjustment. */
  falseDiscoveryRate: number;
  studiesWithFalseFindings: number;
  movedFound: number;
  /** Number of cells found with the wrong sign. */
  wrongSign: number;
  nullCalledEquivalent: number;
  methods: string[];
  /** Mean width of off-diagonal intervals. */
  width: { plain: number; moderated: number };
}

export async function plantedRates(study: PlantedStudy, studies: number, seed: number): Promise<PlantedRates> {
  const counts = new Map<string, [hits: number, of: number]>();
  const count = (name: string, hit: boolean): void => {
    const [hits, of] = counts.get(name) ?? [0, 0];
    counts.set(name, [hits + Number(hit), of + 1]);
  };
  const methods = new Set<string>();
  const width = { plain: 0, moderated: 0 };
  let falseShares = 0;
  let wrongSign = 0;
  for (let number = 0; number < studies; number++) {
    const [made] = await crosstalkStudy(plantedItems(study, seed + number), {
      control: (study.nullRuns ?? 0) > 0 ? "random" : undefined,
      margins: { margin: 0.5 },
      seed: number,
    });
    methods.add(made!.correction.method);
    let [found, wrong] = [0, 0];
    for (const cell of made!.cells) {
      const [i, j] = [study.values.indexOf(cell.induced), study.values.indexOf(cell.measured)];
      const truth = study.matrix[i]![j]!;
      const holds = ({ low, high }: { low: number | null; high: number | null }): boolean =>
        low! <= truth && truth <= high!;
      count("plain", holds(cell.delta));
      const best = cell.moderated ?? cell.delta;
      count("moderated", holds(best));
      if (cell.onTarget) {
        count("on target", holds(best));
        continue;
      }
      width.plain += cell.delta.high! - cell.delta.low!;
      width.moderated += best.high! - best.low!;
      const ratio = truth / study.matrix[i]![i]!;
      if (cell.perUnit.kind === "ratio") count("per unit", cell.perUnit.low <= ratio && ratio <= cell.perUnit.high);
      const isFound = cell.adjustedP! < 0.05;
      found += Number(isFound);
      if (truth === 0) {
        wrong += Number(isFound);
        count("null found unadjusted", cell.p! < 0.05);
        count("null equivalent", cell.verdict === "equivalent");
      } else {
        count("moved found", isFound);
        wrongSign += Number(isFound && Math.sign(cell.delta.estimate) !== Math.sign(truth));
      }
    }
    falseShares += found === 0 ? 0 : wrong / found;
    count("false finding", wrong > 0);
  }
  const share = (name: string): number => {
    const [hits, of] = counts.get(name) ?? [0, 0];
    return hits / of;
  };
  const offTarget = studies * study.values.length * (study.values.length - 1);
  return {
    coverage: Object.fromEntries(["plain", "moderated", "on target", "per unit"].map((name) => [name, share(name)])),
    nullFoundUnadjusted: share("null found unadjusted"),
    falseDiscoveryRate: falseShares / studies,
    studiesWithFalseFindings: share("false finding"),
    movedFound: share("moved found"),
    wrongSign,
    nullCalledEquivalent: share("null equivalent"),
    methods: [...methods],
    width: { plain: width.plain / offTarget, moderated: width.moderated / offTarget },
  };
}
