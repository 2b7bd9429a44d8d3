/** Random numbers for simulations: fast, seeded, and not the product's own. */

export interface Random {
  /** In (0, 1). */
  uniform(): number;
  normal(): number;
  /** Mean 0, variance 1, skewness 2: an exponential minus its mean. */
  skewed(): number;
  /** χ² with `df` degrees of freedom, a whole number. */
  chiSquare(df: number): number;
}

/** xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47, 2021). */
export function random(seed: number): Random {
  // Filled by a multiplicative hash, so that neighbouring seeds have states far apart.
  const state = Uint32Array.from([1, 2, 3, 4], (index) => {
    let x = Math.imul(seed + index * 0x9e3779b9, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return x ^ (x >>> 16);
  });
  const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));
  const next = (): number => {
    const result = Math.imul(rotate(Math.imul(state[1]!, 5), 7), 9) >>> 0;
    const shifted = state[1]! << 9;
    state[2]! ^= state[0]!;
    state[3]! ^= state[1]!;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= shifted;
    state[3] = rotate(state[3]!, 11);
    return result;
  };
  for (let warm = 0; warm < 16; warm++) next();
  const uniform = (): number => (next() + 0.5) / 2 ** 32;
  let spare = Number.NaN;
  const normal = (): number => {
    if (!Number.isNaN(spare)) {
      const value = spare;
      spare = Number.NaN;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  const chiSquare = (df: number): number => {
    let sum = 0;
    for (let i = 0; i < df; i++) sum += normal() ** 2;
    return sum;
  };
  return { uniform, normal, skewed: () => -Math.log(uniform()) - 1, chiSquare };
}

/** A share of trials with its own standard error, at the share that was asked for. */
export function shareOf(hits: number, trials: number): { share: number; error: number } {
  const share = hits / trials;
  return { share, error: Math.sqrt((share * (1 - share)) / trials) };
}
