/**
 * Python's `random.Random(seed).sample`, number for number: where lm-evaluation-harness draws examples, the same ones have
 * to be drawn here. Mersenne Twister MT19937 (Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8, 1998) with
 * init_by_array, and the rejection and pool rules of CPython's Lib/random.py.
 */

const N = 624;
const M = 397;

export class PythonRandom {
  private readonly state = new Uint32Array(N);
  private next = N;

  /** @param seed a whole number from 0 to 2³² − 1 */
  constructor(seed: number) {
    const { state } = this;
    state[0] = 19650218;
    for (let i = 1; i < N; i++) {
      const before = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = Math.imul(1812433253, before) + i;
    }
    // init_by_array with the one word of the seed.
    let i = 1;
    for (let k = 0; k < N; k++) {
      const before = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = (state[i]! ^ Math.imul(before, 1664525)) + seed;
      if (++i >= N) {
        state[0] = state[N - 1]!;
        i = 1;
      }
    }
    for (let k = 0; k < N - 1; k++) {
      const before = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = (state[i]! ^ Math.imul(before, 1566083941)) - i;
      if (++i >= N) {
        state[0] = state[N - 1]!;
        i = 1;
      }
    }
    state[0] = 0x80000000;
  }

  /** 32 random bits. */
  private word(): number {
    if (this.next >= N) this.twist();
    let y = this.state[this.next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  private twist(): void {
    const { state } = this;
    for (let k = 0; k < N; k++) {
      const y = (state[k]! & 0x80000000) | (state[(k + 1) % N]! & 0x7fffffff);
      state[k] = state[(k + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  /** A whole number from 0 to n − 1; n from 1 to 2³² − 1. */
  below(n: number): number {
    const shift = Math.clz32(n);
    for (;;) {
      const drawn = this.word() >>> shift;
      if (drawn < n) return drawn;
    }
  }

  /** Indices of `count` of `n` things, without repeating one, in the order drawn. */
  sample(n: number, count: number): number[] {
    const small = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0);
    const drawn: number[] = [];
    if (n <= small) {
      const pool = Array.from({ length: n }, (_, index) => index);
      for (let i = 0; i < count; i++) {
        const at = this.below(n - i);
        drawn.push(pool[at]!);
        pool[at] = pool[n - i - 1]!;
      }
      return drawn;
    }
    while (drawn.length < count) {
      const at = this.below(n);
      if (!drawn.includes(at)) drawn.push(at);
    }
    return drawn;
  }
}
