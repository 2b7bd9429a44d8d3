/** A small file that need not be there. */
import { readFile } from "node:fs/promises";
import { describeFileError, FileError } from "../errors.js";

/** The text of a file; null where there is none. @throws FileError */
export async function readOptionalText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
}
