/**
 * Where results go: standard output, or a file that appears, with `FILE.manifest.json` beside it, when it is complete. A
 * file whose manifest says that the same was done already is left as it is.
 */
import { readFileSync } from "node:fs";
import type { Adapter } from "../engine/adapter.js";
import type { Model } from "../engine/model.js";
import type { Manifest } from "../files/manifest.js";
import type { CommonValues } from "./command.js";
import type { CommandContext } from "./context.js";

export interface ResultSink {
  write(text: string): Promise<void>;
}

/** What a result file is made from. */
export interface Origin {
  /** As the command line gave them. */
  options: CommonValues & { input: string; output?: string | undefined };
  model: Model;
  adapters: Record<string, Adapter | null>;
}

/** Options that change nothing in the results. */
const WITHOUT_EFFECT = new Set(["config", "quiet", "json-logs", "debug", "threads", "memory", "output"]);

/** Runs `work` with a place to write results to; where it fails, nothing is left behind. */
export async function withResultSink(
  output: string | undefined,
  context: CommandContext,
  origin: Origin | null,
  work: (sink: ResultSink) => Promise<void>,
): Promise<void> {
  if (output === undefined || output === "-") {
    await work({ write: (text) => context.print(text) });
    return;
  }
  const [{ createAtomicWriter }, { readManifest, writeManifest }, { sha256File }] = await Promise.all([
    import("../files/atomic.js"),
    import("../files/manifest.js"),
    import("../files/hash.js"),
  ]);
  const path = `${output}.manifest.json`;
  const planned = origin === null ? null : await planManifest(context.command, origin);
  if (planned?.sha256.data !== undefined) {
    const saved = await readManifest(path).catch(() => null);
    if (
      saved !== null &&
      sameOrigin(saved, planned) &&
      (await sha256File(output).catch(() => "")) === saved.sha256.output
    ) {
      context.note(`${output} is up to date: ${path} says that it was made from the same`);
      return;
    }
  }
  const writer = await createAtomicWriter(output);
  try {
    await work({ write: (text) => writer.write(text) });
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  if (planned !== null)
    await writeManifest(path, { ...planned, sha256: { ...planned.sha256, output: await sha256File(output) } });
}

async function planManifest(command: string, { options, model, adapters }: Origin): Promise<Manifest> {
  const { sha256File } = await import("../files/hash.js");
  const sha256: Record<string, string> = { model: await model.hash() };
  // What came through a pipe is gone: such a result is never taken for up to date.
  if (options.input !== "-") sha256.data = await sha256File(options.input);
  for (const [name, adapter] of Object.entries(adapters))
    if (adapter !== null) sha256[`adapter ${name}`] = await adapter.hash();
  return {
    command,
    options: Object.fromEntries(
      Object.entries(options).filter(([name, value]) => !WITHOUT_EFFECT.has(name) && value !== undefined),
    ),
    seed: options.seed,
    versions: { valora: packageVersion(), node: process.version },
    device: { ...model.device },
    sha256,
  };
}

function sameOrigin(saved: Manifest, planned: Manifest): boolean {
  const { output: _, ...made } = saved.sha256;
  const essence = ({ command, options, seed, versions, device }: Manifest, sha256: Record<string, string>): string =>
    JSON.stringify([command, options, seed, versions.valora, device?.kind, sha256]);
  return essence(saved, made) === essence(planned, planned.sha256);
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string })
    .version;
}
