/** Whether probabilities mean what they say: Brier score, expected calibration error, reliability table. */

export interface Forecast {
  /** Of being true, in [0, 1]. */
  probability: number;
  truth: boolean;
}

/**
 * Mean squared error of the probabilities, Σ (p − y)² / n (Brier, "Verification of forecasts expressed in terms of
 * probability", Monthly Weather Review 78, 1950, for two classes, so halved): 0 is perfect, always saying ½ is ¼.
 */
export function brierScore(forecasts: readonly Forecast[]): number {
  let sum = 0;
  for (const { probability, truth } of checked(forecasts)) sum += (probability - Number(truth)) ** 2;
  return sum / forecasts.length;
}

export interface ReliabilityBin {
  /** Probabilities in [low, high); the last bin has 1 too. */
  low: number;
  high: number;
  n: number;
  /** NaN in an empty bin. */
  meanProbability: number;
  shareTrue: number;
}

/** Forecasts in `bins` bins of equal width, mean probability beside the share that was true. */
export function reliability(forecasts: readonly Forecast[], bins = 10): ReliabilityBin[] {
  const sums = Array.from({ length: bins }, () => ({ n: 0, probability: 0, truth: 0 }));
  for (const { probability, truth } of checked(forecasts)) {
    const bin = sums[Math.min(bins - 1, Math.floor(probability * bins))]!;
    bin.n++;
    bin.probability += probability;
    bin.truth += Number(truth);
  }
  return sums.map(({ n, probability, truth }, index) => ({
    low: index / bins,
    high: (index + 1) / bins,
    n,
    meanProbability: probability / n,
    shareTrue: truth / n,
  }));
}

/**
 * Expected calibration error, Σ_b n_b/n |mean probability − share true| (Naeini, Cooper and Hauskrecht, "Obtaining well
 * calibrated probabilities using Bayesian binning", AAAI 2015). It depends on the bins, and is biased upwards on few items.
 */
export function expectedCalibrationError(forecasts: readonly Forecast[], bins = 10): number {
  let sum = 0;
  for (const { n, meanProbability, shareTrue } of reliability(forecasts, bins))
    if (n > 0) sum += (n / forecasts.length) * Math.abs(meanProbability - shareTrue);
  return forecasts.length === 0 ? Number.NaN : sum;
}

/** @throws RangeError for a probability outside [0, 1], NaN too */
function checked(forecasts: readonly Forecast[]): readonly Forecast[] {
  const bad = forecasts.findIndex(({ probability }) => !(probability >= 0 && probability <= 1));
  if (bad >= 0) throw new RangeError(`forecast ${bad} is ${forecasts[bad]!.probability}, no probability`);
  return forecasts;
}
