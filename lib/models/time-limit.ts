/** Runs what a file brought (a template, a pattern) for a limited time, so that a hostile one is refused, not waited for. */
import { createContext, Script } from "node:vm";

/** Milliseconds; templates and patterns in use take less than one. */
const LIMIT = 2000;

export class TimeLimitError extends Error {}

const script = new Script("run()");

/**
 * What `run` returns. It may not await anything.
 *
 * @throws TimeLimitError where it takes longer than two seconds; else what it throws
 */
export function withTimeLimit<T>(run: () => T): T {
  try {
    return script.runInContext(createContext({ run }), { timeout: LIMIT }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    throw new TimeLimitError(`takes longer than ${LIMIT / 1000} s`, { cause: error });
  }
}
