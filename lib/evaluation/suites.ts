/** The suites that there are, and what `--suite` asks of them. */
import { UsageError } from "../errors.js";
import type { DataSources } from "./sources.js";
import { suite as anthropomorphism } from "./suites/anthropomorphism.js";
import { degeneracy, values } from "./suites/everyday.js";
import { suite as perplexity } from "./suites/perplexity.js";
import { suite as persona } from "./suites/persona.js";
import { suite as preferences } from "./suites/preferences.js";
import { suite as qa } from "./suites/qa.js";
import { suite as safety } from "./suites/safety.js";
import { suite as sycophancy } from "./suites/sycophancy.js";
import type { Suite, Task } from "./task.js";

export const SUITES: readonly Suite[] = [
  qa,
  perplexity,
  preferences,
  persona,
  safety,
  sycophancy,
  anthropomorphism,
  values,
  degeneracy,
];

/** Behind the suite's name, in front of a path. */
const FILE = "file=";

/**
 * The tasks of every "NAME", "NAME:TASK", "NAME:GROUP", "NAME:file=PATH" and suite file "FILE.yaml", each once, in the
 * order in which they are asked for. A suite by its name alone leaves out groups that end in "_0shot", which ask the same
 * questions again, and tasks that need something more.
 *
 * @throws UsageError for what there is not, naming what there is
 * @throws FileError, DataFormatError from a user's files
 */
export async function chooseTasks(wanted: readonly string[], data: DataSources): Promise<Task[]> {
  const chosen = new Map<string, Task>();
  for (const word of wanted) {
    for (const task of await tasksFor(word, data)) {
      const key = `${task.suite}:${task.name}`;
      const other = chosen.get(key);
      if (other !== undefined && other.about !== task.about)
        throw new UsageError(`--suite ${word}: ${key} is asked for already, of other data; rename the file`);
      chosen.set(key, task);
    }
  }
  return [...chosen.values()];
}

async function tasksFor(word: string, data: DataSources): Promise<readonly Task[]> {
  if (/\.ya?ml$/i.test(word)) return (await import("./suite-file.js")).readSuiteFile(word);
  const at = word.indexOf(":");
  const name = at < 0 ? word : word.slice(0, at);
  const suite = SUITES.find((known) => known.name === name);
  if (suite === undefined)
    throw new UsageError(
      `--suite ${word}: there is no suite "${name}"; give one of ${SUITES.map((known) => known.name).join(", ")}, or a .yaml file`,
    );
  const rest = at < 0 ? null : word.slice(at + 1);
  if (rest?.startsWith(FILE)) {
    if (suite.open === undefined) throw new UsageError(`--suite ${word}: ${name} takes no files`);
    return suite.open(rest.slice(FILE.length));
  }
  const tasks = await tasksOf(suite, data);
  if (rest === null) return tasks.filter(({ group, onDemand }) => !group?.endsWith("_0shot") && !onDemand);
  const found = tasks.filter((task) => task.name === rest || task.group === rest);
  if (found.length > 0) return found;
  const names = [...new Set(tasks.map((task) => task.group ?? task.name))].join(", ");
  throw new UsageError(
    `--suite ${word}: ${name} has no task "${rest}"; give one of ${names}${suite.open === undefined ? "" : ", or file=PATH"}`,
  );
}

export async function tasksOf(suite: Suite, data: DataSources): Promise<readonly Task[]> {
  return typeof suite.tasks === "function" ? suite.tasks(data) : suite.tasks;
}
