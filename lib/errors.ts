/**
 * Every failure that valora raises on purpose: a named class with a `code`, and one sentence that says what
 * happened, where (file, line, option), and what to do. Any other exception that escapes is a defect.
 */

export interface ValoraErrorOptions {
  cause?: unknown;
}

export class ValoraError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ValoraErrorOptions) {
    super(oneLine(message), options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Longest message, in UTF-16 units: what a file says of itself may be quoted, not repeated whole. */
const MAX_MESSAGE = 500;

/** A message as one readable line, whatever a damaged file put into it; the middle gives way to "…". */
function oneLine(message: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  const line = message.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
  if (line.length <= MAX_MESSAGE) return line;
  const half = MAX_MESSAGE / 2 - 2;
  return `${line.slice(0, half)} … ${line.slice(-half)}`;
}

/** The command line or an options object asks for something that makes no sense (exit status 2). */
export class UsageError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_USAGE", message, options);
  }
}

/** A model's weight file, config, tokenizer or chat template cannot be read as what it claims to be. */
export class ModelFormatError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_MODEL_FORMAT", message, options);
  }
}

/** An adapter folder is damaged, or holds a kind of adapter that valora does not apply. */
export class AdapterFormatError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_ADAPTER_FORMAT", message, options);
  }
}

/** A data file does not hold what its reader expects; the message carries file and line. */
export class DataFormatError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_DATA_FORMAT", message, options);
  }
}

/** The file system refused: missing, not readable, full. */
export class FileError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_FILE", message, options);
  }
}

/** A plan or an allocation exceeds the memory limit. */
export class OutOfMemoryError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_OUT_OF_MEMORY", message, options);
  }
}

/** The caller's signal was aborted, or the command was interrupted. */
export class CancelledError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_CANCELLED", message, options);
  }
}

/** NaN or infinity where a number was due. */
export class NotFiniteError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_NOT_FINITE", message, options);
  }
}

/** Something was used after its `dispose()`. */
export class DisposedError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_DISPOSED", message, options);
  }
}

/** A well-formed request for something that valora, or this machine, does not have. */
export class UnsupportedError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_UNSUPPORTED", message, options);
  }
}

/** A model could not be fetched, or what was fetched is not what it should be. */
export class DownloadError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_DOWNLOAD", message, options);
  }
}

/** An endpoint that models are asked at refused, fell silent, or gave answers that are none. */
export class ApiError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_API", message, options);
  }
}

/** A CUDA device is not there, refused the work, or was lost. */
export class DeviceError extends ValoraError {
  constructor(message: string, options?: ValoraErrorOptions) {
    super("ERR_DEVICE", message, options);
  }
}

const NATIVE_CLASSES: Record<string, new (message: string, options?: ValoraErrorOptions) => ValoraError> = {
  ERR_FILE: FileError,
  ERR_OUT_OF_MEMORY: OutOfMemoryError,
  ERR_CANCELLED: CancelledError,
  ERR_NOT_FINITE: NotFiniteError,
  ERR_DISPOSED: DisposedError,
  ERR_DEVICE: DeviceError,
};

/**
 * The named error of what the addon threw, with the caller's stack; `subject` (a path, a model's name) is put in
 * front of the message. Codes without a class of their own (ERR_INVALID_ARGUMENT, ERR_INTERNAL) are defects of
 * this side and keep their code.
 */
export function fromNative(error: unknown, subject?: string): unknown {
  if (error instanceof ValoraError || !(error instanceof Error)) return error;
  const { code } = error as { code?: unknown };
  if (typeof code !== "string" || !code.startsWith("ERR_")) return error;
  const message = subject === undefined ? error.message : `${subject}: ${error.message}`;
  const Class = NATIVE_CLASSES[code];
  return Class ? new Class(message, { cause: error }) : new ValoraError(code, message, { cause: error });
}

/** Throws the signal's reason where that is one of our errors, else CancelledError, if it has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw signal.reason instanceof ValoraError
    ? signal.reason
    : new CancelledError("stopped because its AbortSignal was aborted");
}

/** What a failed file-system call says, in words that fit into a sentence. */
export function describeFileError(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  switch (code) {
    case "ENOENT":
      return "it does not exist";
    case "EACCES":
    case "EPERM":
      return "permission is denied";
    case "EISDIR":
      return "it is a folder";
    case "ENOTDIR":
      return "a part of the path is not a folder";
    case "ENOSPC":
      return "the disk is full";
    case "EMFILE":
      return "too many files are open";
    default:
      return (code ?? message ?? String(error)).split("\n")[0] as string;
  }
}
