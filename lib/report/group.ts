/** Lists by key, in order of first appearance. */

export function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

export function pushTo<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

export function groupBy<T>(values: readonly T[], keyOf: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) pushTo(groups, keyOf(value), value);
  return groups;
}
