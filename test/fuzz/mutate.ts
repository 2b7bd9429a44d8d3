/** Seeded damage: to bytes as a bad disk or a hostile author would do it, and to JSON values without breaking the JSON. */

/** Random numbers of one case; equal seeds give equal cases on every machine. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** Uniform in [0, 1): mulberry32 (Tommy Ettinger, public domain). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [0, count). */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

/** Counts and sizes that parsers trip over. */
const INTERESTING = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 32n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
];

/** One to four pieces of damage. The result is never longer than twice the input and a little. */
export function mutateBytes(input: Uint8Array, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let rounds = 1 + random.below(4); rounds > 0; --rounds) bytes = damage(bytes, random);
  return bytes;
}

function damage(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length + 1);
  const length = Math.min(bytes.length - at, 1 + random.below(random.chance(0.2) ? bytes.length + 1 : 16));
  switch (random.below(8)) {
    case 0: // cut off
      return bytes.subarray(0, at);
    case 1: // one bit
      if (at < bytes.length) bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 2: // one byte
      if (at < bytes.length) bytes[at] = random.pick([0, 1, 0x0a, 0x22, 0x7b, 0x7f, 0x80, 0xff]);
      return bytes;
    case 3: // a 64-bit number
      if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(random.pick(INTERESTING), at);
      return bytes;
    case 4: // a 32-bit number
      if (at + 4 <= bytes.length) bytes.writeUInt32LE(Number(random.pick(INTERESTING) & 0xffffffffn), at);
      return bytes;
    case 5: // lost
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 6: // twice
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    default: // noise
      for (let i = at; i < at + length; ++i) bytes[i] = random.below(256);
      return bytes;
  }
}

const DEEP = "[".repeat(2000) + "]".repeat(2000);

/** A value that a reader does not expect where it stands. */
function oddValue(random: Random): unknown {
  const values: (() => unknown)[] = [
    () => null,
    () => true,
    () =>
      random.pick([0, -1, 1, 0.5, -0, 3, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, 1e18, 1e308, -1e308, 1e-320]),
    () =>
      random.pick([
        "",
        "x",
        "0",
        "1e9",
        "\u0000",
        "\ud800",
        "../../etc/passwd",
        "/",
        "F32",
        "a".repeat(5000),
        "ä€🙂",
        "([a-z_.0-9]+)+!",
      ]),
    () => [],
    () => ({}),
    () => [random.below(1000), null, "x"],
    () => ({ "": null, constructor: 1 }),
    () => JSON.parse(DEEP),
    () => Array.from({ length: random.below(2000) }, (_, i) => i),
  ];
  return random.pick(values)();
}

/** One to three changes somewhere in a JSON value; the input is left as it is. */
export function mutateJson(input: unknown, random: Random): unknown {
  const root = { value: structuredClone(input) };
  for (let rounds = 1 + random.below(3); rounds > 0; --rounds) {
    const places = placesOf(root);
    if (places.length === 0) break; // all of it is gone
    const { holder, key } = random.pick(places);
    change(holder, key, random);
  }
  return root.value;
}

interface Place {
  holder: Record<string, unknown>;
  key: string;
}

/** Every place that a value can be replaced at; parents come before children, so that small values are not rare. */
function placesOf(root: Record<string, unknown>): Place[] {
  const places: Place[] = [];
  const visit = (holder: Record<string, unknown>, depth: number): void => {
    for (const key of Object.keys(holder).slice(0, 200)) {
      places.push({ holder, key });
      const value = holder[key];
      if (value !== null && typeof value === "object" && depth < 8) visit(value as Record<string, unknown>, depth + 1);
    }
  };
  visit(root, 0);
  return places;
}

function change(holder: Record<string, unknown>, key: string, random: Random): void {
  const value = holder[key];
  switch (random.below(6)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      return;
    case 1:
      if (typeof value === "number")
        holder[key] = random.pick([value * 2, value + 1, value - 1, -value, value / 3, value * 1e12]);
      else holder[key] = oddValue(random);
      return;
    case 2:
      if (Array.isArray(value)) value.push(...value.slice(0, 3), oddValue(random));
      else if (!Array.isArray(holder)) holder[`${key}x`] = value;
      return;
    case 3: {
      // Another value of the same document: types stay plausible.
      const other = random.pick(Object.keys(holder));
      holder[key] = structuredClone(holder[other]);
      return;
    }
    default:
      holder[key] = oddValue(random);
  }
}

/** JSON text of a mutated value, now and then damaged as text, or with what JSON.stringify never writes. */
export function mutateJsonText(input: unknown, random: Random): Buffer {
  const text = JSON.stringify(mutateJson(input, random), null, random.pick([0, 0, 2])) ?? "";
  switch (random.below(12)) {
    case 0:
      return mutateBytes(Buffer.from(text), random);
    case 1:
      return Buffer.from(`\ufeff${text}`);
    case 2:
      return Buffer.from(
        text.replace(/\d+/, random.pick(["1e999", "-1e999", "NaN", "0x10", "99999999999999999999999"])),
      );
    case 3:
      return Buffer.from(DEEP.slice(0, random.below(DEEP.length)));
    default:
      return Buffer.from(text);
  }
}
