/**
 * Pairs per value of the study that this reproduces: Arora, Schluter, Metcalf and ter Hoeve, "How Value Induction Reshapes
 * LLM Behaviour", Findings of ACL 2026, pp. 26131–26152 (arXiv 2605.07925). It gives them for these nine of its
 * fifteen values.
 */
import type { ValueCount } from "./select.js";

export const PAPER_COUNTS: readonly ValueCount[] = [
  { value: "empathy", chosen: 31_157, rejected: 35_352 },
  { value: "honesty", chosen: 14_286, rejected: 17_197 },
  { value: "creativity", chosen: 15_570, rejected: 15_209 },
  { value: "curiosity", chosen: 7_306, rejected: 8_452 },
  { value: "fairness", chosen: 6_286, rejected: 6_132 },
  { value: "privacy", chosen: 3_173, rejected: 3_252 },
  { value: "humor", chosen: 2_410, rejected: 2_801 },
  { value: "deception", chosen: 685, rejected: 1_095 },
  { value: "violence", chosen: 230, rejected: 407 },
];
