/**
 * How much memory a model may use: free memory of the machine, and what the process's control group
 * (version 2 or 1, and every group above it) leaves. Page cache that the kernel would give back counts as free.
 */
import { readFileSync } from "node:fs";
import { freemem } from "node:os";

/** Reads a small system file; null where there is none. */
export type ReadSystemFile = (path: string) => string | null;

const readSystemFile: ReadSystemFile = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
};

/** The share of free memory that a model takes when nothing is said: leaves room for the system and for JavaScript. */
const DEFAULT_SHARE = 0.8;

export function defaultMemoryBytes(read: ReadSystemFile = readSystemFile): number {
  return Math.floor(freeMemoryBytes(read) * DEFAULT_SHARE);
}

export function freeMemoryBytes(read: ReadSystemFile = readSystemFile, machineFree: () => number = freemem): number {
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(read("/proc/meminfo") ?? "")?.[1];
  const machine = available === undefined ? machineFree() : Number(available) * 1024;
  return Math.max(0, Math.min(machine, ...controlGroupRoom(read)));
}

/** What each control group that holds this process leaves, in bytes. */
function controlGroupRoom(read: ReadSystemFile): number[] {
  const rooms: number[] = [];
  for (const line of (read("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    if (controllers === "") {
      rooms.push(...walkUp("/sys/fs/cgroup", path, "memory.max", "memory.current", /^inactive_file (\d+)/m, read));
    } else if (controllers!.split(",").includes("memory")) {
      rooms.push(
        ...walkUp(
          "/sys/fs/cgroup/memory",
          path,
          "memory.limit_in_bytes",
          "memory.usage_in_bytes",
          /^total_inactive_file (\d+)/m,
          read,
        ),
      );
    }
  }
  return rooms;
}

function walkUp(
  mount: string,
  path: string,
  limitFile: string,
  usageFile: string,
  reclaimable: RegExp,
  read: ReadSystemFile,
): number[] {
  const rooms: number[] = [];
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  for (let depth = parts.length; depth >= 0; depth--) {
    const folder = [mount, ...parts.slice(0, depth)].join("/");
    const limit = Number.parseInt(read(`${folder}/${limitFile}`) ?? "", 10); // "max" is NaN: no limit
    const usage = Number.parseInt(read(`${folder}/${usageFile}`) ?? "", 10);
    if (!Number.isFinite(limit) || !Number.isFinite(usage)) continue;
    const cache = Number(reclaimable.exec(read(`${folder}/memory.stat`) ?? "")?.[1] ?? 0);
    rooms.push(limit - (usage - Math.min(cache, usage)));
  }
  return rooms;
}
