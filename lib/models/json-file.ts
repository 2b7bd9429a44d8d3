/** Reads the small JSON files beside a model's weights. */
import { ModelFormatError } from "../errors.js";
import { readOptionalText } from "../files/optional-text.js";

/**
 * The object that a JSON file holds; null where there is no such file.
 *
 * @throws FileError
 * @throws ModelFormatError where it is not a JSON object
 */
export async function readOptionalJson(path: string): Promise<Record<string, unknown> | null> {
  const text = await readOptionalText(path);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ModelFormatError(`${path} is not valid JSON; fetch it again`, { cause: error });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ModelFormatError(`${path} does not hold a JSON object; fetch it again`);
}
