/** Ties an AbortSignal to the native cancel flag for the length of one call, and names what fails in it. */
import { fromNative, throwIfAborted } from "../errors.js";
import { type NativeCancel, native } from "../native.js";

export { throwIfAborted };

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
