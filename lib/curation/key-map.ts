/**
 * A hash table from 64-bit keys to numbers, outside the JavaScript heap: 12 bytes an entry over its load, where a Map of
 * millions takes some 70 and keeps the garbage collector busy. Keys are hashes already, so their low bits choose the place.
 */
import type { Key } from "./text.js";

const FIRST_CAPACITY = 1024;
/** Linear probing stays short up to here. */
const MAX_LOAD = 0.7;

export class KeyMap {
  size = 0;
  private low = new Uint32Array(FIRST_CAPACITY);
  private high = new Uint32Array(FIRST_CAPACITY);
  /** Value + 1; 0 is an empty place. */
  private values = new Uint32Array(FIRST_CAPACITY);

  get(key: Key): number | undefined {
    const value = this.values[this.placeOf(key)]!;
    return value === 0 ? undefined : value - 1;
  }

  /** @param value a whole number from 0 to 2^32 − 2 */
  set(key: Key, value: number): void {
    const place = this.placeOf(key);
    if (this.values[place] === 0) {
      if (this.size + 1 > MAX_LOAD * this.values.length) {
        this.grow();
        this.set(key, value);
        return;
      }
      this.size++;
      [this.low[place], this.high[place]] = key;
    }
    this.values[place] = value + 1;
  }

  /** Forgets all keys, and gives their memory back. */
  clear(): void {
    this.size = 0;
    this.low = new Uint32Array(FIRST_CAPACITY);
    this.high = new Uint32Array(FIRST_CAPACITY);
    this.values = new Uint32Array(FIRST_CAPACITY);
  }

  /** Where the key is, or would go. */
  private placeOf([low, high]: Key): number {
    const mask = this.values.length - 1;
    let place = low & mask;
    while (this.values[place] !== 0 && (this.low[place] !== low || this.high[place] !== high))
      place = (place + 1) & mask;
    return place;
  }

  private grow(): void {
    const { low, high, values } = this;
    const capacity = 2 * values.length;
    this.size = 0;
    this.low = new Uint32Array(capacity);
    this.high = new Uint32Array(capacity);
    this.values = new Uint32Array(capacity);
    for (let place = 0; place < values.length; place++)
      if (values[place] !== 0) this.set([low[place]!, high[place]!], values[place]! - 1);
  }
}
