/**
 * `--config FILE`: a YAML or JSON mapping from option names to values. Names are written as on the command line, with
 * or without their dashes in front, or in camelCase; `no-shuffle: true` and `shuffle: false` mean the same.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { UsageError } from "../errors.js";
import type { Option, OptionTable } from "./command.js";

/**
 * The file's options under their command-line names, for the parser to put beneath those of the command line.
 * @throws UsageError where the file is unreadable, is no mapping, or has a name that the command does not know.
 */
export function readConfigFile(path: string, table: OptionTable, command: string): Record<string, unknown> {
  const entries = parseMapping(path);
  const result: Record<string, unknown> = {};
  for (const [written, value] of Object.entries(entries)) {
    const kebab = written.replace(/^--/, "").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const positive = kebab.replace(/^no-/, "");
    const negated = table[kebab] === undefined && positive !== kebab && table[positive]?.type === "boolean";
    const name = negated ? positive : kebab;
    const option = table[name];
    if (option === undefined || name === "config")
      throw new UsageError(`config file ${path}: "${written}" is not an option of valora ${command}`);
    if (name in result) throw new UsageError(`config file ${path}: --${name} is set twice`);
    result[name] = plain(path, written, option, negated && typeof value === "boolean" ? !value : value);
  }
  return result;
}

function parseMapping(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(
      `--config: ${path} cannot be read (${(error as NodeJS.ErrnoException).code}); give a YAML or JSON file`,
    );
  }
  // Loaded here rather than above: `yaml` costs 30 ms, and most runs have no config file.
  const yaml = createRequire(import.meta.url)("yaml") as typeof import("yaml");
  let value: unknown;
  try {
    value = yaml.parse(text);
  } catch (error) {
    throw new UsageError(`config file ${path} is not YAML or JSON: ${(error as Error).message.split("\n")[0]}`);
  }
  if (value === null || value === undefined) return {};
  if (typeof value !== "object" || Array.isArray(value))
    throw new UsageError(`config file ${path} has to be a mapping from option names to values`);
  return value as Record<string, unknown>;
}

/** Values as the command line would carry them: text, true/false, or a list of texts. */
function plain(path: string, written: string, option: Option, value: unknown): unknown {
  const scalar = (item: unknown): boolean => ["string", "number", "boolean"].includes(typeof item);
  if (option.type === "boolean" && typeof value !== "boolean")
    throw new UsageError(`config file ${path}: "${written}" has to be true or false`);
  if (option.type === "strings" && Array.isArray(value) && value.every(scalar)) return value.map(String);
  if (option.type === "string" && option.choices === undefined && Array.isArray(value) && value.every(scalar))
    return value.join(",");
  if (!scalar(value))
    throw new UsageError(
      `config file ${path}: "${written}" has to be ${option.type === "strings" ? "a value or a list" : "one value"}`,
    );
  return option.type === "boolean" ? value : option.type === "strings" ? [String(value)] : String(value);
}
