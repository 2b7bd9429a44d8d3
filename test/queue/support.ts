/** A Redis server of the test's own, workers on it, and a network between them that can be cut. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type Running, start, until } from "../cli/program.js";

/** Why tests of the queue are left out; false where they run. */
export const withoutRedis: string | false =
  spawnSync("redis-server", ["--version"]).status === 0 ? false : "redis-server is not installed";

export function announceSkips(count: number): void {
  if (withoutRedis !== false) console.error(`valora: SKIPPED: ${count} tests of the queue: ${withoutRedis}.`);
}

export interface RedisServer {
  port: number;
  url: string;
  /** kill -9. */
  kill(): Promise<void>;
  /** Starts it again, with what it had written down. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** @param more words of redis-server's command line */
export async function startRedis(folder: string, ...more: string[]): Promise<RedisServer> {
  const port = await freePort();
  const home = join(folder, "redis");
  mkdirSync(home, { recursive: true });
  let child: ChildProcess;
  const launch = async (): Promise<void> => {
    const words = ["--port", String(port), "--bind", "127.0.0.1", "--dir", home, "--save", "", "--appendonly", "yes"];
    child = spawn("redis-server", [...words, ...more], { stdio: "ignore" });
    let open = false;
    const knock = (): void => {
      const socket = connect(port, "127.0.0.1", () => {
        open = true;
        socket.destroy();
      });
      socket.on("error", () => setTimeout(knock, 20));
    };
    knock();
    await until("redis-server listens", () => open);
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  };
  await launch();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    kill: () => end("SIGKILL"),
    restart: launch,
    stop: () => end("SIGKILL"),
  };
}

export interface Cable {
  url: string;
  /** Closes every connection, and lets no new one through until `mend`. */
  cut(): void;
  mend(): void;
  close(): void;
}

/** A way to the server that can be cut. */
export async function layCable(port: number): Promise<Cable> {
  const open = new Set<Socket>();
  let whole = true;
  const server = createServer((near) => {
    if (!whole) return near.destroy();
    const far = connect(port, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.pipe(other);
      one
        .on("error", () => {})
        .on("close", () => {
          open.delete(one);
          other.destroy();
        });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    whole = false;
    for (const socket of open) socket.destroy();
  };
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    mend: () => {
      whole = true;
    },
    close: () => {
      cut();
      server.close();
    },
  };
}

/** The lab of a test: a folder that all share, with a server's address. */
export interface Lab {
  folder: string;
  url: string;
  /** Seconds after which a worker counts as lost. */
  lock: number;
}

export const labEnvironment = ({ folder, lock }: Lab): Record<string, string> => ({
  VALORA_CACHE: join(folder, "cache"),
  VALORA_QUEUE_LOCK: String(lock),
});

export function startWorker(lab: Lab, ...more: string[]): Running {
  const words = ["worker", "--queue", lab.url, "--shared", lab.folder, "--threads", "1", ...more];
  return start(words, { env: labEnvironment(lab) });
}

export function startStudy(lab: Lab, output: string, ...more: string[]): Running {
  return start(studyWords(lab, output, "--queue", lab.url, "--shared", lab.folder, ...more), {
    env: labEnvironment(lab),
  });
}

export function studyWords({ folder }: Pick<Lab, "folder">, output: string, ...more: string[]): string[] {
  return ["study", join(folder, "study.yaml"), "--output", output, "--threads", "1", ...more];
}

export async function endAll(running: readonly Running[]): Promise<void> {
  for (const { child } of running) child.kill("SIGKILL");
  await Promise.all(running.map(({ ended }) => ended));
}

/** Jobs that a worker has said it has done. */
export function doneBy(workers: readonly Running[]): number {
  return workers.reduce((sum, worker) => sum + worker.stderr().split(": done in ").length - 1, 0);
}

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
