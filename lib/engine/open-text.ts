/** The text side of a model - tokenizer and chat template - without its weights. */
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
  const files = await readModelFiles(await resolveModel(nameOrPath));
  const tokenizer = files.tokenizer === null ? null : createTokenizer(files.tokenizer);
  const source = chatTemplate === undefined ? files.chatTemplate : await loadChatTemplate(chatTemplate);
  const special = { bosToken: files.bosToken, eosToken: files.eosToken };
  return new ModelText(files, tokenizer, source === null ? null : ChatTemplate.parse(source, special));
}
