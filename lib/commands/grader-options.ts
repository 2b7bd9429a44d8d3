/** From options to graders, for the commands that grade. */
import { type GraderOpener, graderOpener } from "../evaluation/graders/opener.js";
import type { API_OPTIONS } from "./api-options.js";
import { apiOptions } from "./api-options.js";
import type { CommonValues, OptionValues } from "./command.js";
import type { CommandContext } from "./context.js";
import { openFromOptions } from "./model-options.js";

/**
 * @param model for graders that end in -judge; undefined where none is given
 * @param keyNames variables of the environment that may hold the key for graders that end in -api
 */
export function gradersFromOptions(
  options: OptionValues<typeof API_OPTIONS> & CommonValues,
  model: string | undefined,
  context: CommandContext,
  keyNames?: readonly string[],
): GraderOpener {
  return graderOpener({
    openModel: model === undefined ? null : () => openFromOptions({ ...options, model }, context),
    ...apiOptions(options),
    apiKeyNames: keyNames,
    onNote: (message) => context.note(message),
  });
}
