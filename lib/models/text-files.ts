/** The text side of a model's files: what its tokenizer is built from, its special tokens, its chat template. */
import { join } from "node:path";
import { readOptionalText } from "../files/optional-text.js";
import type { GgufValue } from "./gguf.js";
import { readOptionalJson } from "./json-file.js";
import type { TokenizerDefinition } from "./tokenizer.js";

export interface TextFiles {
  /** Null where the model brings none: it then takes token ids only. */
  tokenizer: TokenizerDefinition | null;
  /** Jinja source. */
  chatTemplate: string | null;
  bosToken: string | null;
  bosId: number | null;
  eosToken: string | null;
  /** Tokens that end a text; the tokenizer's own first. */
  eosIds: number[];
  /** Whether BOS stands in front of every text. */
  addBos: boolean;
}

type Fields = Record<string, unknown>;

/**
 * From tokenizer.json, tokenizer_config.json, generation_config.json and chat_template.jinja of a folder.
 *
 * @param config the content of config.json
 * @param files the paths that were read are added
 */
export async function readFolderText(
  folder: string,
  config: Fields,
  vocabulary: number,
  files: string[],
): Promise<TextFiles> {
  const take = async <T>(name: string, read: (path: string) => Promise<T | null>): Promise<T | null> => {
    const content = await read(join(folder, name));
    if (content !== null) files.push(join(folder, name));
    return content;
  };
  const json = await take("tokenizer.json", readOptionalJson);
  const settings = (await take("tokenizer_config.json", readOptionalJson)) ?? {};
  const generation = (await take("generation_config.json", readOptionalJson)) ?? {};
  // transformers 5 writes the template to a file of its own, which counts where both are there.
  const template = await take("chat_template.jinja", readOptionalText);
  const lookup = new TokenLookup(json);
  const isId = (id: unknown): id is number =>
    Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabulary;
  const special = (name: "bos" | "eos"): Special => {
    const said = settings[`${name}_token`];
    const id = said === undefined ? ([config[`${name}_token_id`]].flat().find(isId) ?? null) : null;
    const token = said === undefined ? (id === null ? null : lookup.text(id)) : tokenText(said);
    return { token, id: id ?? (token === null ? null : lookup.id(token)) };
  };
  const start = templateStart(json?.post_processor);
  const said = special("bos");
  const bos = said.id === null && start !== null ? { token: start, id: lookup.id(start) } : said;
  const eos = special("eos");
  const eosIds = [...new Set([eos.id, generation.eos_token_id ?? config.eos_token_id].flat().filter(isId))];
  const wanted = settings.add_bos_token;
  // The definition carries what was gathered here, so that the tokenizer says the same.
  const gathered = { ...settings, bos_token: bos.token, eos_token: eos.token, eos_token_id: eosIds };
  return {
    tokenizer: json === null ? null : { kind: "json", json, config: gathered },
    chatTemplate: template ?? defaultTemplate(settings.chat_template),
    bosToken: bos.token,
    bosId: bos.id,
    eosToken: eos.token,
    eosIds,
    addBos: bos.id !== null && (typeof wanted === "boolean" ? wanted : start === bos.token),
  };
}

interface Special {
  token: string | null;
  id: number | null;
}

/** A special token is written as its text, or as an object with its text. */
function tokenText(value: unknown): string | null {
  const text = typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value;
  return typeof text === "string" ? text : null;
}

/** One template, or several with names, of which "default" counts, or the only one. */
function defaultTemplate(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return null;
  const named = value.filter((item): item is { name: string; template: string } => typeof item?.template === "string");
  const chosen = named.find(({ name }) => name === "default") ?? (named.length === 1 ? named[0] : undefined);
  return chosen?.template ?? null;
}

/** The special token that a tokenizer.json's post-processor puts in front of a single text, as Llama 3's does. */
function templateStart(processor: unknown): string | null {
  const { type, processors, single } = (processor ?? {}) as { type?: unknown; processors?: unknown; single?: unknown };
  if (type === "Sequence" && Array.isArray(processors)) {
    return processors.map(templateStart).find((token) => token !== null) ?? null;
  }
  const first = type === "TemplateProcessing" && Array.isArray(single) ? single[0] : null;
  const token: unknown = first?.SpecialToken?.id;
  return typeof token === "string" ? token : null;
}

/** Finds special tokens in a tokenizer.json. */
class TokenLookup {
  private readonly added: { id: number; content: string }[];
  private readonly vocabulary: Fields;

  constructor(json: Fields | null) {
    const { added_tokens: added, model } = json ?? {};
    this.added = Array.isArray(added)
      ? added.filter((one) => typeof one?.content === "string" && Number.isInteger(one.id))
      : [];
    const vocabulary = (model as { vocab?: unknown } | undefined)?.vocab;
    this.vocabulary = typeof vocabulary === "object" && vocabulary !== null ? (vocabulary as Fields) : {};
  }

  id(token: string): number | null {
    const added = this.added.find(({ content }) => content === token);
    if (added !== undefined) return added.id;
    const id = Object.hasOwn(this.vocabulary, token) ? this.vocabulary[token] : null;
    return typeof id === "number" ? id : null;
  }

  text(id: number): string | null {
    const added = this.added.find((one) => one.id === id);
    return added?.content ?? Object.keys(this.vocabulary).find((token) => this.vocabulary[token] === id) ?? null;
  }
}

/** Kinds of byte-pair vocabularies (`tokenizer.ggml.pre`) before whose texts llama.cpp puts BOS unless told otherwise. */
const BOS_KINDS: readonly GgufValue[] = ["llama3", "llama-v3", "llama-bpe", "tekken"];

/** From the metadata of a GGUF file. */
export function readGgufText(metadata: Map<string, GgufValue>, path: string): TextFiles {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const texts = Array.isArray(tokens) ? tokens : [];
  const id = (name: string): number | null => {
    const value = metadata.get(`tokenizer.ggml.${name}_token_id`);
    return typeof value === "number" && value >= 0 && value < texts.length ? value : null;
  };
  const text = (token: number | null): string | null => (token === null ? null : (texts[token] ?? null));
  const template = metadata.get("tokenizer.chat_template");
  const bosId = id("bos");
  const eosId = id("eos");
  const said = metadata.get("tokenizer.ggml.add_bos_token");
  const usual =
    metadata.get("tokenizer.ggml.model") === "llama" || BOS_KINDS.includes(metadata.get("tokenizer.ggml.pre") ?? "");
  return {
    tokenizer: texts.length === 0 ? null : { kind: "gguf", metadata, path },
    chatTemplate: typeof template === "string" ? template : null,
    bosToken: text(bosId),
    bosId,
    eosToken: text(eosId),
    eosIds: [...new Set([eosId, id("eot"), id("eom")])].filter((one) => one !== null),
    addBos: bosId !== null && (typeof said === "boolean" ? said : usual),
  };
}
