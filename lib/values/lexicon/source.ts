/** A lexicon as people write it: patterns by how much they say. docs/values.md has the language of patterns. */
import { z } from "zod";

const patternsSchema = z.array(z.string().min(1)).default([]);

export const lexiconSourceSchema = z.strictObject({
  /** Word families that patterns name as @word: the words, one by one. */
  families: z.record(z.string(), z.array(z.string().min(1)).min(1)).default({}),
  /** One is enough. */
  strong: patternsSchema,
  /** Two different ones are enough. */
  medium: patternsSchema,
  /** Four together with nothing else; they help others over the threshold. */
  weak: patternsSchema,
  /** Speaks against the value, wherever it stands in the response: a refusal beside "deception". */
  against: patternsSchema,
  /** Mentions that express nothing: "fair amount". What overlaps one does not count. */
  ignore: patternsSchema,
});

export type LexiconSource = z.infer<typeof lexiconSourceSchema>;
