/** The manifest of work done with a model: adds what every one of them says. */
import type { Manifest } from "../files/manifest.js";
import { VERSION } from "../files/version.js";
import type { Model } from "./model.js";

export type Work = Pick<Manifest, "command" | "options" | "sha256"> & { seed?: number };

/** `work.sha256` beside that of the model, whether it is open here or behind an endpoint. */
export async function manifestOf(model: Pick<Model, "hash"> & { device: object }, work: Work): Promise<Manifest> {
  return {
    ...work,
    versions: { valora: VERSION, node: process.versions.node },
    device: { ...model.device },
    sha256: { model: await model.hash(), ...work.sha256 },
  };
}
