/** Ties an AbortSignal to the native cancel flag for the length of one call, and names what fails in it. */
import { CancelledError, fromNative, ValoraError } from "../errors.js";
import { type NativeCancel, native } from "../native.js";

/** Throws the signal's reason where that is one of our errors, else CancelledError, if it has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw signal.reason instanceof ValoraError
    ? signal.reason
    : new CancelledError("stopped because its AbortSignal was aborted");
}

/**
 * Runs one native call that stops promptly when `signal` is aborted. Native failures arrive as the named
 * errors of lib/errors.ts.
 */
export async function withCancel<T>(
  signal: AbortSignal | undefined,
  call: (cancel: NativeCancel | undefined) => Promise<T>,
): Promise<T> {
  throwIfAborted(signal);
  const cancel = signal ? native.createCancel() : undefined;
  const onAbort = () => cancel?.cancel();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await call(cancel);
  } catch (error) {
    throwIfAborted(signal);
    throw fromNative(error);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}
