/**
 * Chat templates: Jinja sources that turn messages into the text a model was trained on. What a template adds by
 * itself (the default model's, a system prompt of its own) stays: it is part of what the model expects.
 */
import { readFile } from "node:fs/promises";
import { Interpreter, Template } from "@huggingface/jinja";
import { DataFormatError, describeFileError, FileError, ModelFormatError, UsageError } from "../errors.js";
import { describeLibraryError } from "./library-error.js";
import { templateEnvironment } from "./template-globals.js";
import { TimeLimitError, withTimeLimit } from "./time-limit.js";

export interface Message {
  role: string;
  content: string;
}

export interface TemplateTokens {
  /** Texts that a template may refer to as bos_token and eos_token; nothing where the model has none. */
  bosToken: string | null;
  eosToken: string | null;
}

/** Protects memory and time; the longest templates in use have some ten thousand characters. */
const MAX_SOURCE_CHARACTERS = 1 << 20;

export class ChatTemplate {
  readonly source: string;
  private readonly template: Template;
  private readonly tokens: TemplateTokens;

  private constructor(source: string, template: Template, tokens: TemplateTokens) {
    this.source = source;
    this.template = template;
    this.tokens = tokens;
  }

  /** @throws ModelFormatError where the source is not Jinja */
  static parse(source: string, tokens: TemplateTokens = { bosToken: null, eosToken: null }): ChatTemplate {
    if (source.length > MAX_SOURCE_CHARACTERS) {
      throw new ModelFormatError(
        `the chat template is longer than ${MAX_SOURCE_CHARACTERS} characters; give another with --chat-template`,
      );
    }
    try {
      return new ChatTemplate(source, new Template(source), tokens);
    } catch (error) {
      throw new ModelFormatError(
        `the chat template cannot be read: ${describeLibraryError(error, "it is no complete Jinja template")}; give another with --chat-template`,
        {
          cause: error,
        },
      );
    }
  }

  /**
   * @param addGenerationPrompt whether the text ends with the opening of the assistant's turn
   * @throws DataFormatError where the template refuses the messages (some demand alternating roles)
   */
  render(messages: readonly Message[], { addGenerationPrompt }: { addGenerationPrompt: boolean }): string {
    try {
      const text = withTimeLimit(() =>
        new Interpreter(
          templateEnvironment({
            messages: messages.map(({ role, content }) => ({ role, content })),
            add_generation_prompt: addGenerationPrompt,
            bos_token: this.tokens.bosToken ?? "",
            eos_token: this.tokens.eosToken ?? "",
          }),
        ).run(this.template.parsed),
      );
      return String(text.value);
    } catch (error) {
      if (error instanceof TimeLimitError) {
        throw new ModelFormatError(`the chat template ${error.message}; give another with --chat-template`, {
          cause: error,
        });
      }
      throw new DataFormatError(
        `the chat template does not take these messages: ${describeLibraryError(error, "it needs something that they lack")}; change them, or give another with --chat-template`,
        { cause: error },
      );
    }
  }
}

/**
 * Templates for models that bring none. Each writes what its family's own template writes for plain system, user and
 * assistant messages; none adds a system prompt.
 */
export const BUILT_IN_TEMPLATES = {
  chatml:
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  llama3:
    "{{ bos_token }}{% for message in messages %}" +
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
  mistral:
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}" +
    "{% if message['role'] == 'system' %}{% set ns.system = message['content'] + '\\n\\n' %}" +
    "{% elif message['role'] == 'user' %}{{ '[INST] ' + ns.system + message['content'] + ' [/INST]' }}{% set ns.system = '' %}" +
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}",
  olmo2:
    "{{ bos_token }}{% for message in messages %}" +
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}" +
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}" +
    "{% if not (loop.last and message['role'] == 'assistant') %}{{ '\\n' }}{% endif %}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
  "human-assistant":
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}" +
    "{% elif message['role'] == 'user' %}{{ '\\n\\nHuman: ' + message['content'] }}" +
    "{% else %}{{ '\\n\\nAssistant: ' + message['content'] }}{% endif %}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}",
} as const;

/**
 * The source of a template by its built-in name, or from a file that holds it.
 *
 * @throws UsageError where it is neither, FileError where the file cannot be read
 */
export async function loadChatTemplate(nameOrFile: string): Promise<string> {
  if (Object.hasOwn(BUILT_IN_TEMPLATES, nameOrFile))
    return BUILT_IN_TEMPLATES[nameOrFile as keyof typeof BUILT_IN_TEMPLATES];
  try {
    return await readFile(nameOrFile, "utf8");
  } catch (error) {
    const names = Object.keys(BUILT_IN_TEMPLATES).join(", ");
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new UsageError(`--chat-template ${nameOrFile}: there is no such file; give a file, or one of ${names}`, {
        cause: error,
      });
    }
    throw new FileError(`${nameOrFile} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
}
