/**
 * Family-wise adjusted p-values from runs that learned nothing in particular (random subsets), which know how the cells
 * move together: step-down max-T (Westfall and Young, Resampling-Based Multiple Testing, 1993, algorithm 4.1; in the form
 * of Ge, Dudoit and Speed, "Resampling-based multiple testing for microarray data analysis", Test 12, 2003).
 */
import { drawBelow, keyOf, philox } from "../engine/random.js";

/**
 * Step-down max-T: with |t| descending and u_b,k = the largest of |t*_b| over cells k, k+1, …,
 *
 *     p̃_(k) = max_{i ≤ k} share of b with u_b,i ≥ |t_(i)|
 *
 * @param observed statistics of the cells
 * @param nulls statistics of the same cells under the null hypothesis, the observed ones among them where they are one of
 *   the relabellings (else no p could be honest about how few there are)
 * @returns adjusted p-values in the order given
 */
export function stepDownMaxT(observed: ArrayLike<number>, nulls: readonly ArrayLike<number>[]): number[] {
  const order = Array.from(observed, (_, cell) => cell).sort((a, b) => Math.abs(observed[b]!) - Math.abs(observed[a]!));
  const reached = new Float64Array(order.length);
  for (const null_ of nulls) {
    let largest = 0;
    for (let rank = order.length - 1; rank >= 0; rank--) {
      const cell = order[rank]!;
      largest = Math.max(largest, Math.abs(null_[cell]!));
      // Equal sums added up in another order differ by rounding; they count as reached.
      if (largest >= Math.abs(observed[cell]!) * (1 - 1e-9)) reached[rank]!++;
    }
  }
  const adjusted = new Array<number>(order.length);
  let highest = 0;
  for (const [rank, cell] of order.entries()) {
    highest = Math.max(highest, reached[rank]! / nulls.length);
    adjusted[cell] = highest;
  }
  return adjusted;
}

/** What the prompts add to the doubt about one cell's difference between induced and null runs. */
export interface PromptPart {
  clusters: readonly string[];
  /** What each cluster adds to the difference (`CrossedEstimate.byCluster`). */
  byCluster: Float64Array;
  /** V_clusters − V_interaction: what the runs do not show already. */
  variance: number;
}

export interface RelabelOptions {
  /** At most so many relabellings, drawn where there are more, and always drawn with prompts; default 10,000. */
  most?: number;
  seed?: number;
  /** By cell. Without them the prompts are these very prompts. */
  prompts?: readonly PromptPart[];
}

/** Keeps these draws apart from others under the same seed. */
const STREAM = 0x6d617874;

/**
 * Adjusted p-values of "these runs differ from the null runs", over several cells, by relabelling: were the induced runs
 * like random-subset runs, any choice of as many from all of them would have been as likely. The statistic of a cell is
 * the two-sample t with pooled variance.
 *
 * With `prompts` it speaks of other prompts too: the prompts' own part of the variance is added to the pooled one, and
 * every relabelled difference gets a draw of what other prompts would have done, Σ_c ±q_c with random signs (a multiplier
 * bootstrap, as Chernozhukov, Chetverikov and Kato have it for maxima, Annals of Statistics 41, 2013). An induction that
 * moves single prompts its own way, and none on average, is then not found for doing so.
 *
 * @param induced [runs][cells]: the mean of each run in each cell
 * @param nullRuns [runs][cells]
 */
export function relabelledMaxT(
  induced: readonly ArrayLike<number>[],
  nullRuns: readonly ArrayLike<number>[],
  options: RelabelOptions = {},
): number[] {
  const { most = 10_000, seed = 0, prompts } = options;
  const runs = new PooledRuns([...induced, ...nullRuns]);
  const size = induced.length;
  const ofPrompts = prompts === undefined ? null : new PromptDraws(prompts, seed);
  const statistics = (chosen: readonly number[], draw: number | null): Float64Array =>
    Float64Array.from({ length: runs.cells }, (_, cell) => {
      const moved = draw === null || ofPrompts === null ? 0 : ofPrompts.of(cell, draw);
      return runs.pooledT(chosen, cell, moved, prompts?.[cell]?.variance ?? 0);
    });
  const first = Array.from({ length: size }, (_, run) => run);
  const observed = statistics(first, null);
  const nulls: Float64Array[] = [];
  if (ofPrompts === null && countRelabellings(size, runs.size) <= most) {
    for (const chosen of combinations(size, runs.size)) nulls.push(statistics(chosen, null));
  } else {
    nulls.push(observed);
    let draws = 0;
    while (nulls.length < most) {
      const chosen = new Set<number>();
      while (chosen.size < size) chosen.add(drawBelow(runs.size, seed, STREAM, draws++));
      nulls.push(statistics([...chosen], nulls.length));
    }
  }
  return stepDownMaxT(observed, nulls);
}

/** Means of all runs in all cells, from which any of them are compared with the others. */
class PooledRuns {
  readonly size: number;
  readonly cells: number;
  /** [cells][runs], each cell about its mean, so that the others' sum is minus the chosen ones'. */
  readonly #centred: Float64Array[];
  readonly #squares: Float64Array;

  constructor(runs: readonly ArrayLike<number>[]) {
    this.size = runs.length;
    this.cells = runs[0]?.length ?? 0;
    this.#centred = Array.from({ length: this.cells }, (_, cell) => {
      const values = Float64Array.from(runs, (row) => row[cell]!);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return values.map((value) => value - mean);
    });
    this.#squares = Float64Array.from(this.#centred, (values) => values.reduce((sum, value) => sum + value * value, 0));
  }

  /**
   * (difference + moved) / √(pooled variance + variance) of the chosen runs against the others; 0 where nothing differs,
   * infinite where nothing but the difference is there.
   */
  pooledT(chosen: readonly number[], cell: number, moved: number, variance: number): number {
    const values = this.#centred[cell]!;
    let sum = 0;
    for (const run of chosen) sum += values[run]!;
    const inverse = 1 / chosen.length + 1 / (this.size - chosen.length);
    const difference = sum * inverse + moved;
    const within = Math.max(0, this.#squares[cell]! - sum * sum * inverse);
    return difference === 0 ? 0 : difference / Math.sqrt((within / (this.size - 2)) * inverse + variance);
  }
}

/** Σ_c ±q_c of each cell, a cluster having one sign in all cells, scaled to the variance that is the prompts' own. */
class PromptDraws {
  readonly #cells: { at: Int32Array; by: Float64Array }[];
  readonly #clusters: number;
  readonly #seed: number;
  readonly #signs: Int8Array;
  #draw = -1;

  constructor(prompts: readonly PromptPart[], seed: number) {
    const index = new Map<string, number>();
    for (const { clusters } of prompts) for (const id of clusters) if (!index.has(id)) index.set(id, index.size);
    this.#cells = prompts.map(({ clusters, byCluster, variance }) => {
      const total = byCluster.reduce((sum, value) => sum + value * value, 0);
      const scale = total === 0 ? 0 : Math.sqrt(variance / total);
      return {
        at: Int32Array.from(clusters, (id) => index.get(id)!),
        by: byCluster.map((value) => scale * value),
      };
    });
    this.#clusters = index.size;
    this.#seed = seed;
    this.#signs = new Int8Array(Math.ceil(index.size / 128) * 128);
  }

  of(cell: number, draw: number): number {
    if (draw !== this.#draw) this.#flip(draw);
    const { at, by } = this.#cells[cell]!;
    let sum = 0;
    for (let c = 0; c < at.length; c++) sum += this.#signs[at[c]!]! * by[c]!;
    return sum;
  }

  /** A bit a cluster: 128 signs of one block of random numbers. */
  #flip(draw: number): void {
    this.#draw = draw;
    for (let c = 0; c < this.#clusters; c += 128) {
      const block = philox([c, draw, 0, STREAM], keyOf(this.#seed));
      for (let bit = 0; bit < 128; bit++) this.#signs[c + bit] = (block[bit >> 5]! >>> (bit & 31)) & 1 ? 1 : -1;
    }
  }
}

/** C(total, size). */
export function countRelabellings(size: number, total: number): number {
  let count = 1;
  for (let i = 1; i <= size; i++) count = (count * (total - size + i)) / i;
  return Math.round(count);
}

/** Every choice of `size` of `total`, in lexicographic order: 0, 1, … first. */
function* combinations(size: number, total: number): Generator<number[]> {
  const chosen = Array.from({ length: size }, (_, index) => index);
  for (;;) {
    yield [...chosen];
    let at = size - 1;
    while (at >= 0 && chosen[at] === total - size + at) at--;
    if (at < 0) return;
    chosen[at]!++;
    for (let next = at + 1; next < size; next++) chosen[next] = chosen[next - 1]! + 1;
  }
}
