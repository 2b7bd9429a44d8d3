/**
 * What curation remembers of every pair between its two passes: numbers, no text, none of them on the JavaScript heap.
 */
import { KeyColumn, NumberColumn } from "./columns.js";
import type { Sides } from "./labels.js";
import type { Key } from "./text.js";

/** Names as numbers, in order of first appearance. */
export class Names {
  readonly list: string[] = [];
  private readonly numbers = new Map<string, number>();

  number(name: string): number {
    let number = this.numbers.get(name);
    if (number === undefined) {
      number = this.list.length;
      this.list.push(name);
      this.numbers.set(name, number);
    }
    return number;
  }

  find(name: string): number | undefined {
    return this.numbers.get(name);
  }
}

export interface PairRow {
  /** Which pair of the input it is, from 0. */
  position: number;
  /** Of prompt and responses. */
  key: Key;
  /** Number of its prompt. */
  prompt: number;
  source: string;
  /** Words of each response. */
  chosenWords: number;
  rejectedWords: number;
  values: Iterable<readonly [value: string, sides: Sides]>;
}

/** Rows are the pairs that are labelled and not exact duplicates, in input order. */
export class PairTable {
  readonly values = new Names();
  readonly sources = new Names();
  private readonly position = new NumberColumn();
  private readonly key = new KeyColumn();
  private readonly prompt = new NumberColumn();
  private readonly source = new NumberColumn();
  private readonly chosen = new NumberColumn();
  private readonly rejected = new NumberColumn();
  /** Value number × 4 + sides; those of row r begin at `labelBegin` r. */
  private readonly labels = new NumberColumn();
  private readonly labelBegin = new NumberColumn();

  get length(): number {
    return this.position.length;
  }

  push(row: PairRow): void {
    this.position.push(row.position);
    this.key.push(row.key);
    this.prompt.push(row.prompt);
    this.source.push(this.sources.number(row.source));
    this.chosen.push(row.chosenWords);
    this.rejected.push(row.rejectedWords);
    this.labelBegin.push(this.labels.length);
    for (const [value, sides] of row.values) this.labels.push(this.values.number(value) * 4 + sides);
  }

  positionOf(row: number): number {
    return this.position.at(row);
  }

  keyOf(row: number): Key {
    return this.key.at(row);
  }

  promptOf(row: number): number {
    return this.prompt.at(row);
  }

  sourceOf(row: number): number {
    return this.source.at(row);
  }

  chosenWords(row: number): number {
    return this.chosen.at(row);
  }

  rejectedWords(row: number): number {
    return this.rejected.at(row);
  }

  /** Words of chosen minus words of rejected, as the data has them. */
  lengthDifference(row: number): number {
    return this.chosen.at(row) - this.rejected.at(row);
  }

  /** The values of a row with their sides. */
  *labelsOf(row: number): Generator<readonly [value: number, sides: Sides]> {
    const end = row + 1 < this.length ? this.labelBegin.at(row + 1) : this.labels.length;
    for (let at = this.labelBegin.at(row); at < end; at++) {
      const label = this.labels.at(at);
      yield [label >>> 2, (label & 3) as Sides];
    }
  }

  /** On which sides of a row a value is; 0 where it is on none. */
  sidesOf(row: number, value: number): Sides | 0 {
    for (const [label, sides] of this.labelsOf(row)) if (label === value) return sides;
    return 0;
  }
}
