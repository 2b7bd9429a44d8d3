/** From options to an open model and its adapters, for the commands that run one. */
import type { Adapter } from "../engine/adapter.js";
import type { Model } from "../engine/model.js";
import { UsageError } from "../errors.js";
import type { CommonValues } from "./command.js";
import type { CommandContext } from "./context.js";

/** Opens the model and says on which device. */
export async function openFromOptions(
  options: CommonValues & { model: string; "chat-template"?: string | undefined },
  context: CommandContext,
): Promise<Model> {
  const { openModel } = await import("../engine/open.js");
  const model = await openModel(options.model, {
    device: options.device,
    compute: options.compute,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.memory === undefined ? {} : { memoryBytes: options.memory }),
    ...(options["chat-template"] === undefined ? {} : { chatTemplate: options["chat-template"] }),
  });
  context.note(`device: ${model.device.reason}`, { device: model.device });
  for (const note of model.files.notes) context.note(`${options.model}: ${note}`);
  return model;
}

export interface AdapterChoice {
  name: string;
  /** null = the model alone. */
  dir: string | null;
}

/**
 * Reads `NAME=DIR` and `base`; the model alone where none is given.
 * @throws UsageError for a missing folder, a name given twice, or a folder for `base`
 */
export function parseAdapters(values: readonly string[]): AdapterChoice[] {
  if (values.length === 0) return [{ name: "base", dir: null }];
  const names = new Set<string>();
  return values.map((value) => {
    const at = value.indexOf("=");
    const name = at < 0 ? value : value.slice(0, at);
    if (name === "" || (at >= 0 && value.length === at + 1) || (at < 0 && name !== "base"))
      throw new UsageError(`--adapter has to be NAME=DIR or base, not "${value}"`);
    if (at >= 0 && name === "base")
      throw new UsageError(
        `--adapter: the name base is the model without an adapter; call ${value.slice(5)} something else`,
      );
    if (names.has(name)) throw new UsageError(`--adapter: the name ${name} is given twice`);
    names.add(name);
    return { name, dir: at < 0 ? null : value.slice(at + 1) };
  });
}

/** Loads one and says what of it is passed over. */
export async function loadAdapter(model: Model, dir: string, context: CommandContext): Promise<Adapter> {
  const adapter = await model.loadAdapter(dir);
  for (const warning of adapter.warnings) context.note(`${dir}: ${warning}`);
  return adapter;
}

/** Loads them into the model, in the order given. */
export async function loadAdapters(
  model: Model,
  choices: readonly AdapterChoice[],
  context: CommandContext,
): Promise<Record<string, Adapter | null>> {
  const adapters: Record<string, Adapter | null> = {};
  for (const { name, dir } of choices) adapters[name] = dir === null ? null : await loadAdapter(model, dir, context);
  return adapters;
}
