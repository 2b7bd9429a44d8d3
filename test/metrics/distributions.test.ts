/** Student's t and the gamma family against scipy. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  digamma,
  logGamma,
  studentQuantile,
  studentTwoSided,
  studentUpper,
  trigamma,
  trigammaInverse,
} from "#lib/metrics/distributions.js";
import { normalQuantile } from "#lib/metrics/normal.js";
import { assertClose, GOLDEN } from "./support/golden.js";

describe("distributions", () => {
  it("have scipy's upper tail of t, from 1 to 1e7 degrees of freedom, far tails included", () => {
    for (const [x, df, p] of GOLDEN.t.upper) assertClose(studentUpper(x, df), p, 1e-10, `P(T_${df} > ${x})`);
  });

  it("have scipy's quantile of t", () => {
    for (const [p, df, x] of GOLDEN.t.quantile) {
      const made = studentQuantile(p, df);
      if (p === 0.5) assert.ok(!(Math.abs(made) > 1e-12), `median of T_${df}: ${made}`);
      else assertClose(made, x, 1e-10, `quantile ${p} of T_${df}`);
    }
  });

  it("pass into the normal distribution", () => {
    assert.equal(studentQuantile(0.975, Number.POSITIVE_INFINITY), normalQuantile(0.975));
    assertClose(studentQuantile(0.975, 1e13), normalQuantile(0.975), 1e-12, "t of 1e13 degrees of freedom");
    for (const t of [0.2, 1, 5, 30])
      assertClose(studentUpper(t, 1e5), studentUpper(t, 1e5 + 1e-7), 1e-10, `either side of 1e5, t ${t}`);
    assertClose(studentTwoSided(-1.959963984540054, Number.POSITIVE_INFINITY), 0.05, 1e-12, "two-sided");
    assert.equal(studentTwoSided(0, 3), 1);
  });

  it("have scipy's digamma, trigamma and log gamma", () => {
    for (const [x, y] of GOLDEN.special.digamma) assertClose(digamma(x), y, 1e-10, `ψ(${x})`);
    for (const [x, y] of GOLDEN.special.trigamma) assertClose(trigamma(x), y, 1e-10, `ψ'(${x})`);
    for (const [x, y] of GOLDEN.special.logGamma)
      assert.ok(!(Math.abs(logGamma(x) - y) > 1e-10 * Math.max(1, Math.abs(y))), `log Γ(${x})`);
  });

  it("invert the trigamma function over 16 powers of ten", () => {
    for (let power = -8; power <= 8; power++)
      for (const y of [1, 3.3].map((factor) => factor * 10 ** power))
        assertClose(trigamma(trigammaInverse(y)), y, 1e-6, `ψ'(ψ'⁻¹(${y}))`);
    for (const y of [0.01, 0.3, 1.64493, 5]) assertClose(trigamma(trigammaInverse(y)), y, 1e-11, `ψ'(ψ'⁻¹(${y}))`);
    assert.throws(() => trigammaInverse(0), RangeError);
  });
});
