/** Brings a score request into tokens: template, boundary rule, bytes. */
import { type BoundaryEncoder, harnessBoundary, longestBoundary } from "./boundary.js";
import { encodeStart, promptText, startToken, type TextModel } from "./encode.js";
import type { ScoreRequest } from "./requests.js";
import type { PreparedRequest } from "./score.js";

export interface RequestEncoder extends BoundaryEncoder {
  promptText(prompt: NonNullable<ScoreRequest["context"]>): string;
}

export function boundaryEncoder(model: TextModel): RequestEncoder {
  return {
    encode: (text) => encodeStart(model, text),
    startToken: () => startToken(model),
    promptText: (prompt) => promptText(model, prompt),
  };
}

/** A checked request in tokens; tokens win over text, and are used as they are. */
export function startsOfRequest(
  encoder: RequestEncoder,
  request: ScoreRequest,
  boundary: "longest" | "harness",
): PreparedRequest {
  const { id } = request;
  if (request.context_tokens !== undefined && request.completions_tokens !== undefined) {
    return {
      id,
      context: request.context_tokens,
      completions: request.completions_tokens.map((tokens) => ({ tokens, bytes: null })),
    };
  }
  const completions = request.completions ?? [];
  const rule = boundary === "harness" ? harnessBoundary : longestBoundary;
  const started = rule(encoder.promptText(request.context ?? ""), completions, encoder);
  return {
    id,
    context: started.context,
    completions: started.completions.map((completion, index) => ({
      ...completion,
      bytes: Buffer.byteLength(completions[index]!, "utf8"),
    })),
  };
}
