/**
 * Where the queue is: a Redis (or Valkey) server by URL. Its password stays in this process: whatever is printed, logged or
 * written calls the server by `name`, which has none.
 */
import { UsageError } from "../errors.js";

export interface QueueAddress {
  /** For people: scheme, host, port and database. */
  name: string;
  host: string;
  port: number;
  username?: string;
  password?: string;
  db: number;
  tls: boolean;
}

/** What `--queue` says to take the address from VALORA_QUEUE, so that no list of processes shows it. */
const FROM_ENVIRONMENT = "env";
const FORM = "redis://HOST:PORT or rediss://HOST:PORT (TLS), or env for the one in VALORA_QUEUE";

/**
 * @param text `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or `env`; without a password that of
 *   VALORA_QUEUE_PASSWORD is taken
 * @throws UsageError, which never repeats the address
 */
export function parseAddress(text: string, environment: NodeJS.ProcessEnv = process.env): QueueAddress {
  const given = text === FROM_ENVIRONMENT ? environment.VALORA_QUEUE : text;
  if (given === undefined || given === "") throw new UsageError(`--queue env: VALORA_QUEUE is not set; give ${FORM}`);
  const url = URL.canParse(given) ? new URL(given) : null;
  const db = /^\/?(\d{0,4})$/.exec(url?.pathname ?? "")?.[1];
  if (url === null || !["redis:", "rediss:"].includes(url.protocol) || url.hostname === "" || db === undefined)
    throw new UsageError(`--queue is no address of a Redis server; give ${FORM}`);
  const password = decode(url.password) || environment.VALORA_QUEUE_PASSWORD;
  const address: QueueAddress = {
    name: `${url.protocol}//${url.host}${db === "" ? "" : `/${db}`}`,
    // An IPv6 address stands in brackets in a URL only.
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? 6379 : Number(url.port),
    db: Number(db),
    tls: url.protocol === "rediss:",
  };
  if (url.username !== "") address.username = decode(url.username);
  if (password !== undefined && password !== "") address.password = password;
  return address;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError("--queue: name or password has a % that escapes nothing; write it as %25");
  }
}
