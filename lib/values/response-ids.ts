/** Names for the responses of a batch, as messages of the engine quote them: pair and side, and no two of the same. */
import type { Exchange } from "./extractor.js";

export function responseIds(batch: readonly Pick<Exchange, "pair" | "side">[]): string[] {
  return batch.map(({ pair, side }, index) => `${pair.id}, ${side} (${index + 1})`);
}
