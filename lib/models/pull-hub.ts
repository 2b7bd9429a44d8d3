/** A file of the Hugging Face hub (HF_ENDPOINT names another host) as a stream. */
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
      ...(process.env.HF_ENDPOINT && { hubUrl: process.env.HF_ENDPOINT.replace(/\/+$/, "") }),
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
