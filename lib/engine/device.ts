/** Which device a model runs on, and why: nothing falls back in silence (design promise 6). */
import { availableParallelism } from "node:os";
import { UnsupportedError, UsageError } from "../errors.js";
import type { Compute, Isa, NativeInfo } from "../native.js";

export type DeviceChoice = "auto" | "cpu" | "cuda" | "reference";
export type { Isa };

export interface Device {
  kind: "cpu" | "reference";
  isa: string;
  compute: Compute;
  threads: number;
  memoryBytes: number;
  /** One sentence: which device was taken and why. */
  reason: string;
}

export interface ChosenDevice {
  backend: "cpu" | "reference";
  isa: Isa | undefined;
  reason: string;
}

/**
 * @throws UnsupportedError for a device or instruction set that this build or machine has not got
 */
export function chooseDevice(
  choice: DeviceChoice,
  isa: Isa | undefined,
  compute: Compute,
  info: NativeInfo,
): ChosenDevice {
  if (compute !== "float32" && compute !== "bf16") {
    throw new UsageError(`compute "${String(compute)}": choose float32 or bf16`);
  }
  const chosen = chooseBackend(choice, isa, info);
  if (compute === "float32") return chosen;
  const how =
    chosen.backend === "cpu" && info.bf16 && (chosen.isa ?? info.isas[0]) === "avx512"
      ? "bf16 by AVX512-BF16"
      : "bf16 by float32 instructions, to the same bits and slower than float32";
  return { ...chosen, reason: `${chosen.reason}; ${how}` };
}

function chooseBackend(choice: DeviceChoice, isa: Isa | undefined, info: NativeInfo): ChosenDevice {
  const best = info.isas[0] ?? "generic";
  if (isa !== undefined && !info.isas.includes(isa)) {
    throw new UnsupportedError(`isa ${isa}: this machine has ${info.isas.join(", ")}; choose one of these or none`);
  }
  const running = isa ?? best;
  switch (choice) {
    case "cpu":
      return { backend: "cpu", isa, reason: `cpu (${running}), as asked for` };
    case "reference":
      return { backend: "reference", isa: undefined, reason: "reference (plain loops, slow), as asked for" };
    case "cuda":
      throw new UnsupportedError(
        info.cuda
          ? "device cuda: the library does not drive the CUDA backend yet; use --device cpu"
          : "device cuda: this build has no CUDA backend; use --device cpu, or build where a CUDA compiler is found",
      );
    case "auto":
      return {
        backend: "cpu",
        isa,
        reason: `cpu (${running}): ${info.cuda ? "the CUDA backend cannot be driven yet" : "this build has no CUDA backend"}`,
      };
    default:
      throw new UsageError(`device "${String(choice)}": choose auto, cpu, cuda or reference`);
  }
}

/** @throws UsageError */
export function checkThreads(threads: number | undefined): number {
  const chosen = threads ?? availableParallelism();
  if (!Number.isInteger(chosen) || chosen < 1 || chosen > 1024) {
    throw new UsageError(`threads ${chosen}: give a whole number from 1 to 1024`);
  }
  return chosen;
}
