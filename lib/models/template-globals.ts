/**
 * What chat templates may call besides Jinja itself, as transformers gives it: raise_exception, strftime_now, and a
 * range with a limit. The library's own globals can't be used: its range makes a list of any length at once, and its
 * strftime_now names months in the system's language.
 */
import { Environment } from "@huggingface/jinja";

const MAX_RANGE = 100_000;

function range(first: number, second?: number | null, step = 1): number[] {
  const [start, stop] = second === undefined || second === null ? [0, first] : [first, second];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= MAX_RANGE)) throw new Error(`range would give more than ${MAX_RANGE} numbers`);
  return Array.from({ length: count }, (_, index) => start + index * step);
}

function raiseException(message: string): never {
  throw new Error(message);
}

/** The local time, by the codes of C's strftime that templates use. */
function strftimeNow(format: string): string {
  const now = new Date();
  const two = (value: number) => String(value).padStart(2, "0");
  const month = (style: "short" | "long") => new Intl.DateTimeFormat("en-US", { month: style }).format(now);
  const values: Record<string, string> = {
    Y: String(now.getFullYear()),
    m: two(now.getMonth() + 1),
    d: two(now.getDate()),
    b: month("short"),
    B: month("long"),
    H: two(now.getHours()),
    M: two(now.getMinutes()),
    S: two(now.getSeconds()),
    "%": "%",
  };
  return format.replace(/%([YmdbBHMS%])/g, (_, code: string) => values[code] as string);
}

/** An environment with these globals and `variables`. */
export function templateEnvironment(variables: Record<string, unknown>): Environment {
  const environment = new Environment();
  const constants = { true: true, True: true, false: false, False: false, none: null, None: null };
  const functions = { range, raise_exception: raiseException, strftime_now: strftimeNow };
  for (const [name, value] of Object.entries({ ...constants, ...functions, ...variables })) {
    environment.set(name, value);
  }
  return environment;
}
