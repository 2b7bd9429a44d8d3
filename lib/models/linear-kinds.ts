/** The seven matrices of a layer that LoRA can be put on, in the order of their use. */
export const LINEAR_KINDS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;

export type LinearKind = (typeof LINEAR_KINDS)[number];

export function isLinearKind(name: string): name is LinearKind {
  return (LINEAR_KINDS as readonly string[]).includes(name);
}
