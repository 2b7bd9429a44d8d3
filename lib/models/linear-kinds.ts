/** The seven matrices of a layer that LoRA can be put on, in the order of their use. */
export const LINEAR_KINDS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;

export type LinearKind = (typeof LINEAR_KINDS)[number];

/** Layer by layer, in the order of use: one order everywhere, so that optimiser state fits after a reload. */
export function sortModules<Module extends { layer: number; kind: LinearKind }>(modules: readonly Module[]): Module[] {
  return [...modules].sort((a, b) => a.layer - b.layer || LINEAR_KINDS.indexOf(a.kind) - LINEAR_KINDS.indexOf(b.kind));
}

export function isLinearKind(name: string): name is LinearKind {
  return (LINEAR_KINDS as readonly string[]).includes(name);
}
