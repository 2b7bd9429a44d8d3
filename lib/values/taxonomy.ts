/**
 * The values that can be looked for: the study's fifteen, planted attributes for controls, the demo's persona traits,
 * and what a user's own YAML file adds. `data/values.yaml` holds ours; docs/values.md says where each part comes from.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { describeFileError, FileError, UsageError } from "../errors.js";
import { parseYaml } from "../files/yaml-file.js";
import { type LexiconSource, lexiconSourceSchema } from "./lexicon/source.js";

/** The five top categories of "Values in the Wild" (Huang et al. 2025). */
export const CATEGORIES = ["Practical", "Epistemic", "Social", "Protective", "Personal"] as const;
export type Category = (typeof CATEGORIES)[number];

const nameSchema = z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N}-]*$/u, {
  message: 'has to be letters, digits and hyphens, such as "open-mindedness"',
});

const valueSchema = z.strictObject({
  name: nameSchema,
  /** `value`; `attribute` = planted, without moral content; `trait` = labelled by its data set's authors. */
  kind: z.enum(["value", "attribute", "trait"]).default("value"),
  /** One sentence that can stand in a question: "The response …". */
  definition: z.string().min(1),
  category: z.enum(CATEGORIES).optional(),
  valence: z.enum(["positive", "negative", "neutral"]).default("neutral"),
  /** Other names, under which a judge may list it. */
  synonyms: z.array(z.string().min(1)).default([]),
  related: z.array(nameSchema).default([]),
  opposed: z.array(nameSchema).default([]),
  /** Replaces the lexicon that comes with valora, where there is one. */
  lexicon: lexiconSourceSchema.optional(),
});

const categorySchema = z.strictObject({ name: z.enum(CATEGORIES), definition: z.string().min(1) });

const fileSchema = z.strictObject({
  categories: z.array(categorySchema).optional(),
  values: z.array(valueSchema).min(1),
});

export interface Value {
  name: string;
  kind: "value" | "attribute" | "trait";
  definition: string;
  category?: Category | undefined;
  valence: "positive" | "negative" | "neutral";
  synonyms?: string[] | undefined;
  related: string[];
  opposed: string[];
  lexicon?: LexiconSource | undefined;
}

export interface Taxonomy {
  categories: { name: Category; definition: string }[];
  /** In the order of the files; a user's value stands where the one it replaces stood, or at the end. */
  values: Value[];
}

/** valora's own file. */
export const TAXONOMY_FILE = fileURLToPath(new URL("../../data/values.yaml", import.meta.url));

/**
 * valora's values, and those of the user's file: one with a known name replaces it, another is added.
 *
 * @throws FileError, or DataFormatError naming file and line
 */
export async function loadTaxonomy(userFile?: string): Promise<Taxonomy> {
  const own = await readValuesFile(TAXONOMY_FILE);
  const values = new Map(own.values.map((value) => [value.name, value]));
  if (userFile !== undefined) {
    for (const value of (await readValuesFile(userFile)).values) values.set(value.name, value);
  }
  return { categories: own.categories ?? [], values: [...values.values()] };
}

/**
 * The values of these names, in the taxonomy's order; all of `kind` where none is named.
 *
 * @throws UsageError for a name that the taxonomy does not have
 */
export function chooseValues(taxonomy: Taxonomy, names: readonly string[], kind: Value["kind"] = "value"): Value[] {
  if (names.length === 0) return taxonomy.values.filter((value) => value.kind === kind);
  for (const name of names) {
    if (taxonomy.values.some((value) => value.name === name)) continue;
    const known = taxonomy.values.map((value) => value.name).join(", ");
    throw new UsageError(`--value: there is no value "${name}"; known are ${known}; --values FILE adds others`);
  }
  return taxonomy.values.filter((value) => names.includes(value.name));
}

async function readValuesFile(path: string): Promise<z.infer<typeof fileSchema>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
  return parseYaml(
    text,
    path,
    fileSchema.superRefine((file, context) => {
      file.values.forEach(({ name }, index) => {
        if (file.values.findIndex((value) => value.name === name) !== index)
          context.addIssue({ code: "custom", path: ["values", index, "name"], message: `"${name}" is there twice` });
      });
    }),
  );
}
