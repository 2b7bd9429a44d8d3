/** Numbers as people read them; the page's script uses the same functions. */

/** What a number counts. "share" is shown in per cent, differences of shares in points. */
export type Unit = "nats" | "nats/token" | "share" | "ratio" | "";

/** A true minus, and no sign at zero. */
function withSign(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  return `${Number(text) === 0 ? "" : value < 0 ? "−" : "+"}${text}`;
}

/** As many decimals as tell numbers of this size apart at a glance. */
function decimals(size: number, unit: Unit): number {
  if (unit === "share") return 1;
  if (unit === "ratio") return 2;
  if (size >= 100) return 0;
  if (size >= 1) return 1;
  return unit === "nats/token" && size < 0.1 ? 3 : 2;
}

const scaled = (value: number, unit: Unit): number => (unit === "share" ? 100 * value : value);

/** A difference with its sign, without its unit: "+38.1", "−0.42". */
export function formatDelta(value: number | null, unit: Unit): string {
  if (value === null || !Number.isFinite(value)) return "–";
  const shown = scaled(value, unit);
  return withSign(shown, decimals(Math.abs(shown), unit));
}

/** A level: "62.5 %", "−14.2". */
export function formatLevel(value: number | null, unit: Unit): string {
  if (value === null || !Number.isFinite(value)) return "–";
  if (unit === "share") return `${(100 * value).toFixed(1)}\u00a0%`;
  const text = Math.abs(value).toFixed(decimals(Math.abs(value), unit));
  return `${value < 0 && Number(text) !== 0 ? "−" : ""}${text}`;
}

/** "+35.0 … +46.9". */
export function formatInterval(low: number | null, high: number | null, unit: Unit): string {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return "no interval";
  return `${formatDelta(low, unit)} … ${formatDelta(high, unit)}`;
}

/** What stands behind a difference: "points", "nats". */
export function unitName(unit: Unit): string {
  if (unit === "share") return "points";
  return unit === "ratio" ? "per unit of on-target shift" : unit;
}

/** "0.013", "< 0.001". */
export function formatP(p: number): string {
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

/** "a, b and c". */
export function joinWords(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** "1 seed", "5 seeds"; thousands are set apart. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en-GB")} ${n === 1 ? one : many}`;
}
