/**
 * Where results go: standard output, or a file that appears, with its manifest, when it is complete. A file whose
 * manifest says that the same was done already is left as it is.
 */
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
const WITHOUT_EFFECT = new Set([
  "config",
  "quiet",
  "json-logs",
  "debug",
  "threads",
  "memory",
  "output",
  "api-concurrency",
  "api-timeout",
  "api-rpm",
  "api-price-in",
  "api-price-out",
]);

/** Runs `work` with a place to write results to; where it fails, nothing is left behind. */
export async function withResultSink(
  output: string | undefined,
  context: CommandContext,
  origin: Origin | null,
  work: (sink: ResultSink) => Promise<void>,
): Promise<void> {
  const plan = origin === null ? null : () => planManifest(context.command, origin);
  await withPlannedSink(output, context, plan, work);
}

/** The same with a manifest of the caller's; one without a hash of `data` is never taken for up to date. */
export async function withPlannedSink(
  output: string | undefined,
  context: CommandContext,
  plan: (() => Promise<Manifest>) | null,
  work: (sink: ResultSink) => Promise<void>,
): Promise<void> {
  if (output === undefined || output === "-") {
    await work({ write: (text) => context.print(text) });
    return;
  }
  const { isUpToDate, manifestPath, writeArtefact } = await import("../files/artefact.js");
  const planned = plan === null ? null : await plan();
  // What came through a pipe is gone.
  if (planned?.sha256.data !== undefined && (await isUpToDate(output, planned))) {
    context.note(`${output} is up to date: ${manifestPath(output)} says that it was made from the same`);
    return;
  }
  await writeArtefact(output, planned, (write) => work({ write }));
}

async function planManifest(command: string, { options, model, adapters }: Origin): Promise<Manifest> {
  const [{ sha256File }, { manifestOf }] = await Promise.all([
    import("../files/hash.js"),
    import("../engine/manifest-of.js"),
  ]);
  const sha256: Record<string, string> = {};
  if (options.input !== "-") sha256.data = await sha256File(options.input);
  for (const [name, adapter] of Object.entries(adapters))
    if (adapter !== null) sha256[`adapter ${name}`] = await adapter.hash();
  return manifestOf(model, { command, options: effectiveOptions(options), seed: options.seed, sha256 });
}

/** Of a result that is made from options and files; `replaced` says some of the options in another way. */
export async function manifestOfOptions(
  command: string,
  options: CommonValues,
  sha256: Record<string, string>,
  replaced: Record<string, unknown> = {},
): Promise<Manifest> {
  const { VERSION } = await import("../files/version.js");
  return {
    command,
    options: { ...effectiveOptions(options), ...replaced },
    seed: options.seed,
    versions: { valora: VERSION, node: process.versions.node },
    sha256,
  };
}

/** Those that have a say in the results. */
export function effectiveOptions(options: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).filter(([name, value]) => !WITHOUT_EFFECT.has(name) && value !== undefined),
  );
}
