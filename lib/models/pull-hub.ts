/** Files of the Hugging Face hub (HF_ENDPOINT names another host) as streams, and what files a data set has. */
import { DownloadError } from "../errors.js";
import type { SourceOptions } from "./pull.js";
import type { NamedModel } from "./registry.js";

/** A host that says nothing for so long is taken as out of reach: pip is waiting. */
const ANSWER_SECONDS = 10;
/** A download that brings nothing for so long has died. */
const STALL_SECONDS = 60;

/** @throws DownloadError, and whatever fetch throws */
export async function* openHubFile(
  { hub, bytes }: Pick<NamedModel, "hub" | "bytes">,
  { signal, onProgress }: SourceOptions,
): AsyncGenerator<Uint8Array> {
  const { downloadFile } = await import("@huggingface/hub");
  const stalled = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const wait = (seconds: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(new DownloadError(`no answer within ${seconds} s`)), seconds * 1000);
  };
  const either = AbortSignal.any([signal, stalled.signal]);
  try {
    wait(ANSWER_SECONDS);
    const blob = await downloadFile({
      repo: hub.repo,
      revision: hub.revision,
      path: hub.path,
      fetch: (input, init) => fetch(input, { ...init, signal: either }),
      ...endpoint(),
    });
    if (blob === null) throw new DownloadError(`${hub.repo} has no ${hub.path}`);
    let done = 0;
    for await (const chunk of blob.stream() as unknown as AsyncIterable<Uint8Array>) {
      wait(STALL_SECONDS);
      done += chunk.length;
      onProgress({ done, total: bytes, source: "hub" });
      yield chunk;
    }
  } catch (error) {
    throw stalled.signal.aborted ? stalled.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

export interface HubFile {
  path: string;
  bytes: number;
  /** Of files that the hub keeps outside git, which are the large ones. */
  sha256?: string | undefined;
}

export interface HubListing {
  /** The revision that the names stood for. */
  commit: string;
  files: HubFile[];
}

/** Every file of a data set at a revision. @throws whatever fetch and the hub's client throw */
export async function listHubDataSet(name: string, revision: string, signal: AbortSignal): Promise<HubListing> {
  const { datasetInfo, listFiles } = await import("@huggingface/hub");
  const impatient: typeof fetch = (input, init) =>
    fetch(input, { ...init, signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_SECONDS * 1000)]) });
  const shared = { ...endpoint(), fetch: impatient };
  const { sha } = await datasetInfo({ name, revision, additionalFields: ["sha"], ...shared });
  const files: HubFile[] = [];
  // Listed at the commit: the revision may move on between two questions.
  const entries = listFiles({ repo: { type: "dataset", name }, revision: sha, recursive: true, ...shared });
  for await (const { type, path, size, lfs } of entries) {
    if (type === "file") files.push({ path, bytes: lfs?.size ?? size, ...(lfs && { sha256: lfs.oid }) });
  }
  return { commit: sha, files };
}

function endpoint(): { hubUrl?: string } {
  return process.env.HF_ENDPOINT ? { hubUrl: process.env.HF_ENDPOINT.replace(/\/+$/, "") } : {};
}
