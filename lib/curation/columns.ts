/** Columns of numbers that grow: what is kept of each of millions of pairs, outside the JavaScript heap. */

import type { Key } from "./text.js";

const FIRST_CAPACITY = 1024;

/** Unsigned 32-bit numbers, appended one at a time. */
export class NumberColumn {
  length = 0;
  private numbers = new Uint32Array(FIRST_CAPACITY);

  push(value: number): void {
    if (this.length === this.numbers.length) {
      const larger = new Uint32Array(2 * this.length);
      larger.set(this.numbers);
      this.numbers = larger;
    }
    this.numbers[this.length++] = value;
  }

  /** The number at `index`, which has to be below `length`. */
  at(index: number): number {
    return this.numbers[index] ?? 0;
  }
}

/** 64-bit keys, appended one at a time. */
export class KeyColumn {
  private readonly low = new NumberColumn();
  private readonly high = new NumberColumn();

  get length(): number {
    return this.low.length;
  }

  push([low, high]: Key): void {
    this.low.push(low);
    this.high.push(high);
  }

  /** The key at `index`, which has to be below `length`. */
  at(index: number): Key {
    return [this.low.at(index), this.high.at(index)];
  }
}
