/** Graders by name, each opened once, for whoever grades several parts or files with them. */
import type { Grader } from "./grader.js";
import type { OpenGraderOptions } from "./open.js";

export interface GraderOpener {
  open(name: string): Promise<Grader>;
  /** Of all that were opened. */
  dispose(): Promise<void>;
}

export function graderOpener(options: OpenGraderOptions): GraderOpener {
  const opened = new Map<string, Grader>();
  return {
    async open(name) {
      const known = opened.get(name);
      if (known !== undefined) return known;
      const { openGrader } = await import("./open.js");
      const grader = await openGrader(name, options);
      opened.set(name, grader);
      return grader;
    },
    async dispose() {
      for (const grader of opened.values()) await grader.dispose?.();
    },
  };
}
