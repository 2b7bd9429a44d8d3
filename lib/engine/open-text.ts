/** The text side of a model - tokenizer and chat template - without its weights. */
import { ModelFormatError, UnsupportedError } from "../errors.js";
import { ChatTemplate, loadChatTemplate, type Message } from "../models/chat-template.js";
import { type ModelFiles, readModelFiles } from "../models/model-files.js";
import { resolveModel } from "../models/registry.js";
import { createTokenizer, type Tokenizer } from "../models/tokenizer.js";
import { renderMessages, requireTokenizer } from "./encode.js";

export class ModelText {
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer | null;
  readonly chatTemplate: ChatTemplate | null;

  constructor(files: ModelFiles, tokenizer: Tokenizer | null, chatTemplate: ChatTemplate | null) {
    this.files = files;
    this.tokenizer = tokenizer;
    this.chatTemplate = chatTemplate;
  }

  /** Token ids of a text as it stands. @throws UsageError where the model has no tokenizer */
  encode(text: string): number[] {
    return requireTokenizer(this).encode(text);
  }

  /** @throws UsageError where there is no chat template */
  render(messages: Message[], addGenerationPrompt: boolean): string {
    return renderMessages(this, messages, addGenerationPrompt);
  }
}

/**
 * @param nameOrPath a name of the registry, a .gguf file, or a folder with config.json and safetensors
 * @param chatTemplate replaces the model's own: a built-in name or a file
 */
export async function openText(nameOrPath: string, chatTemplate?: string): Promise<ModelText> {
  return textOf(await readModelFiles(await resolveModel(nameOrPath)), chatTemplate);
}

/** @param chatTemplate as for openText */
export async function textOf(files: ModelFiles, chatTemplate?: string): Promise<ModelText> {
  const { tokenizer: definition, bosToken, eosToken } = files;
  const tokenizer = definition === null ? null : naming(files.path, () => createTokenizer(definition));
  const source = chatTemplate === undefined ? files.chatTemplate : await loadChatTemplate(chatTemplate);
  const template =
    source === null
      ? null
      : naming(chatTemplate ?? files.path, () => ChatTemplate.parse(source, { bosToken, eosToken }));
  return new ModelText(files, tokenizer, template);
}

/** Puts the file in front of a complaint about a text that came from it. */
function naming<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    for (const Class of [ModelFormatError, UnsupportedError]) {
      if (error instanceof Class) throw new Class(`${path}: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
