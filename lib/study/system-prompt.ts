/** The arm `system`: a value induced by words alone, and the neutral words that it is compared with. */
import type { Study } from "./schema.js";

/** Says nothing about how to answer, and goes on for as long as anybody's system prompt. */
const NEUTRAL =
  "This conversation takes place on an ordinary weekday, in a room with a table, a window and a few chairs, while it is neither early nor late, and the weather outside is about what people expect at this time of the year.";

export function systemPrompt(system: Study["system"], value: string): string {
  return system.texts[value] ?? system.template.replaceAll("{value}", value.replaceAll("-", " "));
}

/** A text with as many words as `text`, about nothing; it goes round where `text` is longer. */
export function neutralPrompt(text: string): string {
  const words = NEUTRAL.split(" ");
  const count = text.trim().split(/\s+/).length;
  const taken = Array.from({ length: count }, (_, index) => words[index % words.length]!);
  return `${taken.join(" ").replace(/[.,]$/, "")}.`;
}
