/**
 * Published sets whose rows carry human labels, as labelled texts: persona statements, XSTest, PKU-SafeRLHF. A row says by
 * its fields which of them it is. The label's name is that of a value in the taxonomy or in a file of --values.
 */
import { basename } from "node:path";
import { z } from "zod";
import type { DataRecord } from "../data/records.js";
import { parseRecord } from "../engine/requests.js";
import type { LabelledText } from "./labelled.js";

export type RowLayoutName = "persona" | "xstest" | "pku-saferlhf";

export interface RowLayout {
  name: RowLayoutName;
  recognises(row: Record<string, unknown>): boolean;
  /** @throws DataFormatError naming the place and the field */
  read(record: DataRecord, path: string): LabelledText[];
  /** What a reader of the figures should know of the labels. */
  note: string;
}

/** What the study of persona statements asks a model for; data/persona has the same. */
const PERSONA_PROMPT = "Write one statement that describes you.";

const answer = z.string().transform((text, context) => {
  const word = text.trim();
  if (word === "Yes" || word === "No") return word === "Yes";
  context.addIssue({ code: "custom", message: 'has to be "Yes" or "No"' });
  return z.NEVER;
});
const personaSchema = z.looseObject({ statement: z.string(), answer_matching_behavior: answer });

/**
 * Perez et al., "Discovering Language Model Behaviors with Model-Written Evaluations" (arXiv 2212.09251): a statement, and
 * whether somebody with the trait that the file is named after would say it.
 */
const persona: RowLayout = {
  name: "persona",
  recognises: (row) => "statement" in row && "answer_matching_behavior" in row,
  read({ value, where }, path) {
    const { statement, answer_matching_behavior } = parseRecord(personaSchema, value, where);
    const trait = basename(path).replace(/\.jsonl(\.gz)?$/, "");
    const response = statement.trim();
    return [
      {
        id: where,
        prompt: PERSONA_PROMPT,
        response,
        labels: new Map([[trait, answer_matching_behavior]]),
        // A statement may be in several files.
        cluster: response.toLowerCase(),
      },
    ];
  },
  note: "statements are labelled for the trait of their file alone, by the set's authors: a model wrote them, and people checked a part",
};

const REFUSAL_LABELS = { "1_full_compliance": false, "2_full_refusal": true, "3_partial_refusal": true } as const;
const xstestSchema = z.looseObject({
  id: z.string(),
  prompt: z.string(),
  completion: z.string(),
  final_label: z.enum(["1_full_compliance", "2_full_refusal", "3_partial_refusal"]),
});

/** Röttger et al., "XSTest" (arXiv 2308.01263): completions that two people labelled, and a third where they differed. */
const xstest: RowLayout = {
  name: "xstest",
  recognises: (row) => "completion" in row && "final_label" in row,
  read({ value, where }) {
    const { id, prompt, completion, final_label } = parseRecord(xstestSchema, value, where);
    const labels = new Map([["refusal", REFUSAL_LABELS[final_label]]]);
    return [{ id, prompt, response: completion, labels, cluster: prompt }];
  },
  note: "a partial refusal counts as a refusal",
};

const safetySchema = z.union([
  z.looseObject({
    prompt: z.string(),
    response_0: z.string(),
    response_1: z.string(),
    is_response_0_safe: z.boolean(),
    is_response_1_safe: z.boolean(),
  }),
  /** Repackaged: pairs that differ in safety, the safe response first. */
  z.looseObject({ prompt: z.string(), response: z.tuple([z.string(), z.string()]) }),
]);

/** Ji et al., "BeaverTails" and "PKU-SafeRLHF" (arXiv 2307.04657, 2406.15513): whether each of two responses is safe. */
const pkuSaferlhf: RowLayout = {
  name: "pku-saferlhf",
  recognises: (row) =>
    ("response_0" in row && "is_response_0_safe" in row) || ("prompt" in row && Array.isArray(row.response)),
  read({ value, where }) {
    const row = parseRecord(safetySchema, value, where);
    const { prompt } = row;
    const [first, second] = "response_0" in row ? sidesOf(row as Original) : repackaged(row as Repackaged);
    return [first, second].map(([response, safe], side) => ({
      id: `${where}, response ${side}`,
      prompt,
      response,
      labels: new Map([["safety", safe]]),
      cluster: prompt,
    }));
  },
  note: "safety is the annotators' judgement of question and answer together",
};

interface Original {
  response_0: string;
  response_1: string;
  is_response_0_safe: boolean;
  is_response_1_safe: boolean;
}
interface Repackaged {
  response: [string, string];
}
type Sides = [[string, boolean], [string, boolean]];

function sidesOf({ response_0, response_1, is_response_0_safe, is_response_1_safe }: Original): Sides {
  return [
    [response_0, is_response_0_safe],
    [response_1, is_response_1_safe],
  ];
}

function repackaged({ response: [safe, unsafe] }: Repackaged): Sides {
  return [
    [safe, true],
    [unsafe, false],
  ];
}

export const ROW_LAYOUTS: readonly RowLayout[] = [persona, xstest, pkuSaferlhf];
