/** Which device a model runs on, and why: nothing falls back in silence (design promise 6). */
import { availableParallelism } from "node:os";
import { UnsupportedError, UsageError } from "../errors.js";
import type { Compute, Isa, NativeCuda, NativeInfo } from "../native.js";

/** "cuda" is the first CUDA device, "cuda:1" the second. */
export type DeviceChoice = "auto" | "cpu" | "cuda" | `cuda:${number}` | "reference";
export type { Isa };

export interface Device {
  kind: "cpu" | "reference" | "cuda";
  /** Which CUDA device, from 0; of kind cuda only. */
  cudaDevice?: number;
  isa: string;
  compute: Compute;
  threads: number;
  memoryBytes: number;
  /** One sentence: which device was taken and why. */
  reason: string;
}

export interface ChosenDevice {
  backend: "cpu" | "reference" | "cuda";
  /** Which CUDA device; of the backend cuda only. */
  cudaDevice?: number;
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
  if (chosen.backend === "cuda") {
    const how =
      compute === "bf16" ? "bf16 by tensor cores" : "float32 without tensor cores, slower than --compute bf16";
    return { ...chosen, reason: `${chosen.reason}; ${how}` };
  }
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
      return {
        backend: "reference",
        isa: undefined,
        reason: "reference (plain loops, slow), as asked for",
      };
    case "auto":
      return { backend: "cpu", isa, reason: `cpu (${running}): ${whyNotCuda(info.cuda)}` };
    default: {
      const number = /^cuda(?::(\d{1,4}))?$/.exec(choice);
      if (number === null) {
        throw new UsageError(`device "${String(choice)}": choose auto, cpu, cuda, cuda:1 (the second), or reference`);
      }
      return cudaDevice(Number(number[1] ?? 0), info.cuda);
    }
  }
}

/** Until its kernels have been verified on GPUs, that device is taken only where it is asked for. */
function whyNotCuda(cuda: NativeCuda | null): string {
  if (cuda === null) return "this build has no CUDA backend";
  const [first] = cuda.devices;
  return first === undefined ? cuda.problem : `cuda:0 (${first.name}) is taken where it is asked for by --device cuda`;
}

function cudaDevice(number: number, cuda: NativeCuda | null): ChosenDevice {
  const name = `cuda:${number}`;
  if (cuda === null) {
    throw new UnsupportedError(
      `device ${name}: this build has no CUDA backend; use --device cpu, or build where a CUDA compiler is found`,
    );
  }
  if (cuda.devices.length === 0) {
    throw new UnsupportedError(`device ${name}: ${cuda.problem}; use --device cpu`);
  }
  const device = cuda.devices[number];
  if (device === undefined) {
    const there = cuda.devices.map(({ name }, i) => `cuda:${i} (${name})`).join(", ");
    throw new UnsupportedError(`device ${name}: there is none of this number; choose ${there}`);
  }
  const reason = `${name} (${device.name}, compute capability ${device.capability}), as asked for`;
  return { backend: "cuda", isa: undefined, cudaDevice: number, reason };
}

/** @throws UsageError */
export function checkThreads(threads: number | undefined): number {
  const chosen = threads ?? availableParallelism();
  if (!Number.isInteger(chosen) || chosen < 1 || chosen > 1024) {
    throw new UsageError(`threads ${chosen}: give a whole number from 1 to 1024`);
  }
  return chosen;
}
