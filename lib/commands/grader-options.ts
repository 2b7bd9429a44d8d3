/** From options to open graders, for the commands that grade. */
import type { Grader } from "../evaluation/graders/grader.js";
import type { API_OPTIONS } from "./api-options.js";
import { apiOptions } from "./api-options.js";
import type { CommonValues, OptionValues } from "./command.js";
import type { CommandContext } from "./context.js";
import { openFromOptions } from "./model-options.js";

/** Opens graders by name, each once, and disposes of all of them. */
export interface GraderOpener {
  open(name: string): Promise<Grader>;
  dispose(): Promise<void>;
}

/**
 * @param model for graders that end in -judge; undefined where none is given
 * @param keyNames variables of the environment that may hold the key for graders that end in -api
 */
export function graderOpener(
  options: OptionValues<typeof API_OPTIONS> & CommonValues,
  model: string | undefined,
  context: CommandContext,
  keyNames?: readonly string[],
): GraderOpener {
  const api = apiOptions(options);
  const opened = new Map<string, Grader>();
  return {
    async open(name) {
      const known = opened.get(name);
      if (known !== undefined) return known;
      const { openGrader } = await import("../evaluation/graders/open.js");
      const grader = await openGrader(name, {
        openModel: model === undefined ? null : () => openFromOptions({ ...options, model }, context),
        ...api,
        apiKeyNames: keyNames,
        onNote: (message) => context.note(message),
      });
      opened.set(name, grader);
      return grader;
    },
    async dispose() {
      for (const grader of opened.values()) await grader.dispose?.();
    },
  };
}
