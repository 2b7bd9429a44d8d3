/** Columns of numbers that grow: what is kept of each of millions of pairs, outside the JavaScript heap. */

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

/** Rows of `width` bytes, appended one at a time. */
export class ByteRows {
  length = 0;
  private bytes: Uint8Array;

  constructor(readonly width: number) {
    this.bytes = new Uint8Array(width * FIRST_CAPACITY);
  }

  push(row: Uint8Array): void {
    const begin = this.length * this.width;
    if (begin === this.bytes.length) {
      const larger = new Uint8Array(2 * begin);
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.bytes.set(row, begin);
    this.length++;
  }

  /** A view of row `index`, valid until the next `push`. */
  row(index: number): Uint8Array {
    return this.bytes.subarray(index * this.width, (index + 1) * this.width);
  }

  /** Every row, one behind the other. */
  all(): Uint8Array {
    return this.bytes.subarray(0, this.length * this.width);
  }
}
