/** Shifts at equal KL: isotonic regression against scikit-learn, interpolation by hand, and coverage of a known curve. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isotonic } from "#lib/metrics/isotonic.js";
import { compareAtKl, interpolate, shiftAtKl, type Trajectory } from "#lib/metrics/matched-kl.js";
import { assertClose, GOLDEN } from "./support/golden.js";
import { type Random, random } from "./support/random.js";

describe("isotonic", () => {
  it("is scikit-learn's isotonic regression", () => {
    const { y, fit } = GOLDEN.isotonic;
    for (const [index, value] of isotonic(y).entries()) assertClose(value, fit[index]!, 1e-10, `value ${index}`);
  });

  it("leaves what ascends alone, and makes one mean of what descends", () => {
    assert.deepEqual([...isotonic([1, 2, 2, 5])], [1, 2, 2, 5]);
    assert.deepEqual([...isotonic([6, 3, 0])], [3, 3, 3]);
    assert.deepEqual([...isotonic([])], []);
  });
});

describe("interpolate", () => {
  it("starts at (0, 0), joins points of equal x, and goes on past the end", () => {
    assert.equal(interpolate([1, 3], [2, 4], 0.5), 1);
    assert.equal(interpolate([1, 3], [2, 4], 2), 3);
    assert.equal(interpolate([1, 3], [2, 4], 4), 5);
    assert.equal(interpolate([1, 1, 3], [2, 4, 9], 1), 3);
    assert.equal(interpolate([0, 2], [1, 4], 0), 0.5);
  });
});

/** KL grows with the square root of steps at a pace of the run's own; the shift is `slope` · KL plus noise. */
function trajectory(draw: Random, { runs, slope, pace }: { runs: number; slope: number; pace: number }): Trajectory {
  const steps = [10, 20, 40, 80];
  const C = 60;
  const [kl, shift] = [new Float64Array(runs * 4 * C), new Float64Array(runs * 4 * C)];
  const ofPrompt = Float64Array.from({ length: C }, () => 0.5 * draw.normal());
  for (let s = 0; s < runs; s++) {
    const own = pace * Math.exp(0.1 * draw.normal());
    const steep = slope + 0.1 * draw.normal();
    for (const [k, step] of steps.entries())
      for (let c = 0; c < C; c++) {
        const there = own * Math.sqrt(step / 10);
        kl[(s * 4 + k) * C + c] = there * (1 + 0.3 * draw.normal());
        shift[(s * 4 + k) * C + c] = there * (steep + ofPrompt[c]! + 0.3 * draw.normal());
      }
  }
  const ones = new Float64Array(C).fill(1);
  return { runs, steps, klCounts: ones, shiftCounts: ones, kl, shift };
}

describe("shifts at matched KL", () => {
  it("are what the curve says, whatever the pace of training", () => {
    const exact: Trajectory = {
      runs: 1,
      steps: [1, 2],
      klCounts: Float64Array.of(1, 1, 0),
      shiftCounts: Float64Array.of(0, 0, 1),
      kl: Float64Array.of(1, 3, 0, 4, 4, 0),
      shift: Float64Array.of(0, 0, 10, 0, 0, 16),
    };
    const found = shiftAtKl(
      { ...exact, klCounts: Float64Array.of(1, 1, 1), shiftCounts: Float64Array.of(1, 1, 1) },
      1,
      {
        resamples: 50,
      },
    );
    // KL 4/3 and 8/3 over three items, shift 10/3 and 16/3: at KL 1 three quarters of 10/3.
    assert.ok(found.kind === "shift");
    assertClose(found.shift.estimate, 2.5, 1e-12, "shift");
    assert.equal(found.shift.over, "prompts");
  });

  it("are blank past where a run ended, and refuse a KL of 0", () => {
    const arm = trajectory(random(1), { runs: 3, slope: 1, pace: 1 });
    const found = shiftAtKl(arm, 10);
    assert.ok(found.kind === "blank" && found.reached > 1 && found.reached < 5);
    assert.throws(() => shiftAtKl(arm, 0), RangeError);
    assert.throws(() => compareAtKl(arm, { ...arm, shiftCounts: new Float64Array(2) }, 1), RangeError);
  });

  it("tell arms apart by their slopes and not by their pace", () => {
    const draw = random(6);
    const slow = trajectory(draw, { runs: 4, slope: 1, pace: 0.7 });
    const fast = trajectory(draw, { runs: 4, slope: 1, pace: 1.4 });
    const steep = trajectory(draw, { runs: 4, slope: 3, pace: 0.7 });
    const same = compareAtKl(fast, slow, 1, { resamples: 300 });
    const other = compareAtKl(steep, slow, 1, { resamples: 300 });
    assert.ok(same.kind === "shift" && same.shift.low! < 0 && same.shift.high! > 0);
    assert.ok(other.kind === "shift" && other.shift.low! > 1 && other.shift.high! < 3);
  });

  it("hold the true shift in 93 to 97 % of studies of 4 runs", () => {
    const draw = random(17);
    const studies = 400;
    let held = 0;
    for (let study = 0; study < studies; study++) {
      const arm = trajectory(draw, { runs: 4, slope: 1, pace: 1 });
      const found = shiftAtKl(arm, 1.2, { resamples: 60, seed: study });
      assert.ok(found.kind === "shift");
      held += found.shift.low! <= 1.2 && 1.2 <= found.shift.high! ? 1 : 0;
    }
    // The error of a coverage of 0.95 over 400 studies is 0.011.
    assert.ok(held / studies >= 0.93 && held / studies <= 0.97, `${held / studies}`);
  });
});
