/** What became of the records of one input, in numbers and as a sentence. */

export interface ReadReport {
  /** As it was given. */
  input: string;
  /** Layouts that its files were read as. */
  formats: string[];
  /** Records that were read, bad ones left out. */
  records: number;
  pairs: number;
  /** Comparisons that made no pair, by reason. */
  dropped: Record<string, number>;
  /** Bad records that were left out. */
  skipped: number;
}

export function createReadReport(input: string): ReadReport {
  return { input, formats: [], records: 0, pairs: 0, dropped: {}, skipped: 0 };
}

/** "hh.jsonl.gz (hh-rlhf): kept 1,934 of 2,000: 41 with equal ratings, 25 with an empty answer". */
export function describeReadReport({ input, formats, pairs, dropped, skipped }: ReadReport): string {
  const count = (value: number): string => value.toLocaleString("en-US");
  const reasons = Object.entries(dropped).sort(([, a], [, b]) => b - a);
  const left = [...reasons, ...(skipped > 0 ? ([["that cannot be read", skipped]] as const) : [])];
  const total = left.reduce((sum, [, times]) => sum + times, pairs);
  const name = `${input === "-" ? "standard input" : input}${formats.length > 0 ? ` (${formats.join(", ")})` : ""}`;
  if (left.length === 0) return `${name}: kept all ${count(pairs)}`;
  return `${name}: kept ${count(pairs)} of ${count(total)}: ${left.map(([reason, times]) => `${count(times)} ${reason}`).join(", ")}`;
}
