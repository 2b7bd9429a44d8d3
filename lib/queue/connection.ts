/** Connections to the queue's server. BullMQ and its client are loaded here, and only where a queue is used. */
import type { Redis } from "ioredis";
import { UnsupportedError, ValoraError } from "../errors.js";
import type { QueueAddress } from "./address.js";

/** The server cannot be reached, or refuses. */
export class QueueError extends ValoraError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("ERR_QUEUE", message, options);
  }
}

export interface Connection {
  redis: Redis;
  bullmq: typeof import("bullmq");
  address: QueueAddress;
  /** What there is to be said of the server, a sentence each. */
  notes: string[];
  close(): void;
}

const CONNECT_MS = 10_000;
/** Of waiting to connect again after the network or the server went away. */
const RETRY_MS = 2_000;
/** BullMQ needs commands of Redis 6.2; Valkey calls itself 7.2. */
const MINIMUM = [6, 2] as const;

/**
 * Connects once, or says why not; from then on a lost connection is made again for as long as it takes, and commands wait.
 *
 * @throws QueueError where the server cannot be reached or refuses the password
 * @throws UnsupportedError where it is too old, or would drop jobs when its memory is full
 */
export async function connect(address: QueueAddress): Promise<Connection> {
  const [{ Redis }, bullmq] = await Promise.all([import("ioredis"), import("bullmq")]);
  const { host, port, username, password, db } = address;
  let connected = false;
  let reason = "it does not answer";
  const redis = new Redis({
    host,
    port,
    db,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    // The name is what the certificate has to be made out to.
    ...(address.tls ? { tls: { servername: host } } : {}),
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    keepAlive: CONNECT_MS,
    maxRetriesPerRequest: null,
    retryStrategy: (attempt) => (connected ? Math.min(50 * attempt, RETRY_MS) : null),
  });
  // Without a listener an error ends the process; what comes later comes again with the next attempt.
  redis.on("error", (error: Error) => {
    reason = describe(error);
  });
  try {
    await redis.connect();
    const notes = await inspect(redis, address);
    connected = true;
    return { redis, bullmq, address, notes, close: () => redis.disconnect() };
  } catch (error) {
    redis.disconnect();
    if (error instanceof ValoraError) throw error;
    const why = error instanceof Error && !/closed/.test(error.message) ? describe(error) : reason;
    throw new QueueError(`the queue at ${address.name} cannot be used: ${why}`, { cause: error });
  }
}

/** In words, without what was sent: a refused command carries its arguments. */
function describe(error: Error): string {
  const { code, message } = error as Error & { code?: string };
  if (/WRONGPASS|invalid password/i.test(message)) return "it refuses the name or password";
  if (/NOAUTH/.test(message)) return "it wants a password; put it into VALORA_QUEUE_PASSWORD or the URL";
  if (code === "ECONNREFUSED") return "nothing listens there; start redis-server, or correct --queue";
  if (code === "ENOTFOUND") return "there is no machine of that name; correct --queue";
  if (code !== undefined && /CERT|UNABLE_TO|ALTNAME/.test(code))
    return `its certificate is not trusted here (${code}); name the authority's file in NODE_EXTRA_CA_CERTS`;
  if (code === "ETIMEDOUT") return "it does not answer";
  return code ?? message.split("\n")[0]!;
}

/** Says what a lab should know before it trusts its jobs to the server. */
async function inspect(redis: Redis, address: QueueAddress): Promise<string[]> {
  const info = await redis.info();
  const fact = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1];
  const version = fact("redis_version") ?? "0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1]))
    throw new UnsupportedError(
      `the queue at ${address.name} is Redis ${version}; Redis ${MINIMUM.join(".")} or newer is needed`,
    );
  const policy = fact("maxmemory_policy") ?? "noeviction";
  if (policy !== "noeviction" && fact("maxmemory") !== "0")
    throw new UnsupportedError(
      `the queue at ${address.name} forgets keys when its memory is full (maxmemory-policy ${policy}); set it to noeviction`,
    );
  return fact("aof_enabled") === "0"
    ? [`the queue at ${address.name} keeps no append-only file: start it with --appendonly yes to outlive a crash`]
    : [];
}
