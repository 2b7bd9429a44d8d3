/** The crosstalk of a study on items whose answer is known, and what it refuses. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crossedMean } from "#lib/metrics/crossed.js";
import { crosstalkStudy } from "#lib/metrics/crosstalk-study.js";
import { doseResponse } from "#lib/metrics/dose-response.js";
import type { StudyItem } from "#lib/metrics/study-items.js";
import { MATRIX, plantedItems, VALUES } from "./support/planted.js";

type Run = Pick<StudyItem, "adapter" | "value" | "arm" | "seed" | "step">;

const BASE: Run = { adapter: "base" };

function lines(run: Run, task: string, ys: number[], metric = "margin"): StudyItem[] {
  return ys.map((y, k) => ({ ...run, task, metric, item: `${task}:${k}`, cluster: `${task}:${k}`, y }));
}

const kind = (seed: number): Run => ({ adapter: `kind-${seed}`, value: "kind", arm: "induce", seed });

describe("crosstalkStudy", () => {
  const base = [...lines(BASE, "kind", [1, 2, 3]), ...lines(BASE, "vain", [5, 5, 5])];
  const trained = [
    ...lines(kind(0), "kind", [3, 4, 5]),
    ...lines(kind(1), "kind", [5, 6, 7]),
    ...lines(kind(0), "vain", [4, 5, 6]),
    ...lines(kind(1), "vain", [3, 4, 5]),
  ];

  it("gives each cell the mean paired change over seeds and items", async () => {
    const [study] = await crosstalkStudy([...base, ...trained]);
    assert.deepEqual([study!.induced, study!.measured], [["kind"], ["kind", "vain"]]);
    const [own, other] = study!.cells;
    assert.deepEqual([own!.delta.estimate, own!.delta.runs, own!.delta.items, own!.onTarget], [3, 2, 3, true]);
    assert.deepEqual([other!.delta.estimate, other!.onTarget], [-0.5, false]);
    assert.equal(own!.delta.standardError, 1, "runs moved by 2 and by 4");
    assert.deepEqual([own!.delta.over, study!.correction.method], ["runs and prompts", "benjamini-yekutieli"]);
    assert.equal(own!.moderated, null, "two cells are too few to learn from");
  });

  it("subtracts the control arm: the value's own runs where there are some, else those without a value", async () => {
    const control = (value: string | undefined, name: string): Run => ({
      adapter: name,
      value,
      arm: "random",
      seed: 0,
    });
    const shared = [
      ...lines(control(undefined, "r0"), "kind", [2, 3, 4]),
      ...lines(control(undefined, "r0"), "vain", [5, 5, 5]),
    ];
    const own = [
      ...lines(control("kind", "r1"), "kind", [3, 4, 5]),
      ...lines(control("kind", "r1"), "vain", [6, 6, 6]),
    ];
    const deltas = async (items: StudyItem[]) =>
      (await crosstalkStudy(items, { control: "random" }))[0]!.cells.map(({ delta, shift }) => [
        shift.estimate,
        delta.estimate,
      ]);
    assert.deepEqual(await deltas([...base, ...trained, ...shared]), [
      [3, 2],
      [-0.5, -0.5],
    ]);
    assert.deepEqual(await deltas([...base, ...trained, ...shared, ...own]), [
      [3, 1],
      [-0.5, -1.5],
    ]);
  });

  it("makes one matrix a metric, and takes the mean over an item's samples", async () => {
    const tokens = [BASE, kind(0), kind(1)].flatMap((run) =>
      lines(run, "kind", run === BASE ? [0, 0] : [0.1, 0.3], "per_token"),
    );
    const sampled = lines(BASE, "kind", [0, 0], "sampled").concat(
      [1, 3].flatMap((y, sample) =>
        [kind(0), kind(1)].flatMap((run) =>
          lines(run, "kind", [y, y + 1], "sampled").map((line) => ({ ...line, sample })),
        ),
      ),
    );
    const studies = await crosstalkStudy([...base, ...trained, ...tokens, ...sampled]);
    assert.deepEqual(
      studies.map(({ metric }) => metric),
      ["margin", "per_token", "sampled"],
    );
    assert.equal(studies[1]!.cells[0]!.delta.estimate, 0.2);
    assert.deepEqual([studies[2]!.cells[0]!.delta.estimate, studies[2]!.cells[0]!.delta.items], [2.5, 2]);
    assert.equal((await crosstalkStudy([...base, ...tokens], { metrics: ["per_token"] })).length, 1);
  });

  it("speaks of prompts alone with one seed, and of nothing with one seed and one prompt", async () => {
    const [study] = await crosstalkStudy([...base, ...trained.filter(({ seed }) => seed === 0)]);
    assert.deepEqual(new Set(study!.cells.map(({ delta }) => delta.over)), new Set(["prompts"]));
    const [tiny] = await crosstalkStudy([...lines(BASE, "kind", [1]), ...lines(kind(0), "kind", [2])], {
      margins: { margin: 1 },
    });
    const [cell] = tiny!.cells;
    assert.deepEqual(
      [cell!.delta.estimate, cell!.p, cell!.adjustedP, cell!.verdict, cell!.perUnit.kind],
      [1, null, null, "undecided", "blank"],
    );
  });

  it("leaves out items that a run lacks, and says how many", async () => {
    const [study] = await crosstalkStudy([
      ...base,
      ...trained.filter(({ item, seed }) => !(seed === 1 && item === "vain:2")),
    ]);
    const other = study!.cells.find(({ measured }) => measured === "vain")!;
    assert.deepEqual([other.leftOut, other.delta.items, other.delta.estimate], [1, 2, -1]);
  });

  it("uses max-T where control runs allow it, and says why where they do not", async () => {
    const study = { values: VALUES, seeds: 3, prompts: 20, matrix: MATRIX };
    const corrections = async (nullRuns: number, asked?: "max-t" | "holm") => {
      const options = { control: nullRuns > 0 ? "random" : undefined, correction: asked };
      return (await crosstalkStudy(plantedItems({ ...study, nullRuns }, 3), options))[0]!.correction;
    };
    assert.deepEqual(await corrections(0), { method: "benjamini-yekutieli", cells: 20, why: "no control runs" });
    assert.equal((await corrections(19)).method, "benjamini-yekutieli");
    assert.equal((await corrections(20)).method, "max-t");
    assert.equal((await corrections(20, "holm")).method, "holm");
    await assert.rejects(corrections(10, "max-t"), /max-T needs 20 control runs/);
    const single = await crosstalkStudy(plantedItems({ ...study, seeds: 1, nullRuns: 30 }, 3), { control: "random" });
    assert.equal(single[0]!.correction.method, "benjamini-yekutieli", "31 relabellings cannot reach 5 % of 5 rows");
  });

  it("refuses items that contradict each other", async () => {
    const refuses = (items: StudyItem[], message: RegExp, options = {}) =>
      assert.rejects(
        crosstalkStudy(items, options),
        (error) => error instanceof RangeError && message.test(error.message),
      );
    await refuses(trained, /untrained model \(base\) has no items/);
    await refuses([...base, ...trained, trained[0]!], /kind:0 of kind appears twice under kind-0/);
    await refuses([...base, { ...trained[0]!, y: Number.NaN }], /margin is NaN/);
    await refuses([...base, { ...trained[0]!, cluster: "elsewhere" }], /is in cluster elsewhere and in kind:0/);
    await refuses(
      [...base, ...trained, ...lines({ ...kind(0), step: 20 }, "kind", [1, 2, 3])],
      /same seed; keep one dose/,
    );
    await refuses(
      [...base, ...lines({ adapter: "x", arm: "induce" }, "kind", [1, 2, 3])],
      /x of arm induce induces no value/,
    );
    await refuses([...base, ...trained], /no run of the control arm random/, { control: "random" });
  });
});

describe("doseResponse", () => {
  const at = (shift: number, group = "runs") =>
    crossedMean({ group, runs: 2, clusters: ["a", "b"], counts: [1, 1], sums: [shift, shift + 1, shift, shift + 1] });

  it("orders doses, and has the least-squares slope of what they did", () => {
    const doses = [40, 10, 20].map((dose) => ({
      dose,
      target: at(0.1 * dose),
      sideEffects: { humor: at(2 - 0.05 * dose) },
    }));
    const { points, slopes } = doseResponse(doses);
    assert.deepEqual(
      points.map(({ dose }) => dose),
      [10, 20, 40],
    );
    assert.ok(!(Math.abs(slopes!.target.estimate - 0.1) > 1e-12));
    assert.ok(!(Math.abs(slopes!.sideEffects.humor!.estimate + 0.05) > 1e-12));
    assert.ok(!(slopes!.target.standardError! > 1e-12), "prompts that respond alike at every dose cancel in a slope");
    assert.equal(points[0]!.sideEffects.humor!.perUnit.kind, "blank");
  });

  it("has no slope with one dose, and refuses a dose given twice or a side effect that is missing", () => {
    const one = { dose: 1, target: at(1), sideEffects: { humor: at(0) } };
    assert.equal(doseResponse([one]).slopes, undefined);
    assert.throws(() => doseResponse([one, one]), /dose 1 appears twice/);
    assert.throws(() => doseResponse([one, { ...one, dose: 2, sideEffects: {} }]), /dose 2 lacks humor/);
  });
});
