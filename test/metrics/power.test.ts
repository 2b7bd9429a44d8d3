/** Power: the noncentral t against quadrature, and predictions against simulated studies. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crossedMean } from "#lib/metrics/crossed.js";
import {
  expectedError,
  noncentralUpper,
  powerOf,
  smallestDetectableShift,
  varianceComponents,
} from "#lib/metrics/power.js";
import { assertClose, GOLDEN } from "./support/golden.js";
import { random } from "./support/random.js";
import { detectionRate, simulateArray } from "./support/simulate.js";

describe("noncentralUpper", () => {
  it("is the integral that adaptive quadrature finds, down to one degree of freedom", () => {
    for (const [t, df, ncp, p] of GOLDEN.noncentralT)
      assert.ok(!(Math.abs(noncentralUpper(t, df, ncp) - p) > 1e-9), `t ${t}, df ${df}, ncp ${ncp}`);
  });
});

describe("power", () => {
  const components = { run: 0.04, prompt: 1, rest: 0.5 };

  it("is at most the level at no shift, and grows to 1", () => {
    const design = { runs: 5, prompts: 200, components };
    assert.ok(powerOf(0, design) <= 0.05 && powerOf(0, design) > 0.03, `at 0: ${powerOf(0, design)}`);
    const sure = { runs: 2000, prompts: 2000, components };
    assertClose(powerOf(0, sure), 0.05, 1e-2, "at 0, with so many runs and prompts that both are sure");
    assert.ok(powerOf(0.3, design) < powerOf(0.4, design));
    assert.ok(powerOf(5, design) > 0.999999);
    assert.throws(() => powerOf(1, { ...design, runs: 1 }), RangeError);
  });

  it("inverts to the smallest detectable shift, which falls with runs and prompts", () => {
    const of = (runs: number, prompts: number, alpha = 0.05) =>
      smallestDetectableShift({ runs, prompts, components, alpha });
    assertClose(powerOf(of(3, 200), { runs: 3, prompts: 200, components }), 0.8, 1e-8, "power there");
    assert.ok(of(5, 200) < of(3, 200) && of(5, 400) < of(5, 200) && of(5, 200, 0.05 / 20) > of(5, 200));
    assert.throws(() => smallestDetectableShift({ runs: 3, prompts: 9, components }, 1), RangeError);
  });

  it("is the share of simulated studies that find such a shift", () => {
    for (const runs of [3, 5]) {
      const mean = smallestDetectableShift({ runs, prompts: 200, components });
      const world = { runs, clusters: 200, mean, run: 0.2, prompt: 1, rest: Math.sqrt(0.5) };
      const rate = detectionRate(world, 2000, 50 + runs);
      // The error of a rate of 0.8 is 0.009; the rest is Satterthwaite's approximation, worst with 3 runs.
      assert.ok(!(Math.abs(rate - 0.8) > 0.05), `${runs} runs: ${rate}`);
    }
  });
});

describe("varianceComponents", () => {
  it("finds the components that data were made with", () => {
    const draw = random(3);
    const world = { runs: 40, clusters: 300, run: 0.5, prompt: 1, rest: 0.7 };
    const found = varianceComponents(crossedMean(simulateArray(world, draw)))!;
    // Relative errors: √(2/39) = 0.23, √(2/299) = 0.08 and 0.01; two of them are allowed for.
    assertClose(found.run, 0.25, 0.46, "run");
    assertClose(found.prompt, 1, 0.16, "prompt");
    assertClose(found.rest, 0.49, 0.03, "rest");
  });

  it("gives back the analysis of variance, and null where a part cannot be told", () => {
    const { y, run, prompt, rest } = GOLDEN.anova[1]!;
    const clusters = y[0]!.map((_, k) => `c${k}`);
    const array = { group: "runs", runs: y.length, clusters, counts: clusters.map(() => 1), sums: y.flat() };
    const found = varianceComponents(crossedMean(array))!;
    const [S, K] = [y.length, clusters.length];
    assertClose(found.rest, rest * S * K, 1e-10, "rest");
    assertClose(found.run, Math.max(0, (run - rest) * S), 1e-10, "run");
    assertClose(found.prompt, Math.max(0, (prompt - rest) * K), 1e-10, "prompt");
    const { standardError } = expectedError({ runs: S, prompts: K, components: found });
    assertClose(standardError ** 2, run + prompt - rest, 1e-9, "expected error");
    assert.equal(varianceComponents(crossedMean({ ...array, runs: 1, sums: y[0]! })), null);
  });
});
