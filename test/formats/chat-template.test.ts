import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DataFormatError, ModelFormatError, UsageError } from "#lib/errors.js";
import { BUILT_IN_TEMPLATES, ChatTemplate, loadChatTemplate, type Message } from "#lib/models/chat-template.js";
import { createTokenizer } from "#lib/models/tokenizer.js";
import { GOLDEN, withFolder } from "./format-support.js";

/** As the default model's GGUF file has it. */
const SMOLLM2_TEMPLATE =
  "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n" +
  "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' " +
  "+ message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const TOKENS = { bosToken: "<s>", eosToken: "</s>" };
const DIALOGUE: Message[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello" },
  { role: "user", content: "Bye" },
];

test("the default model's template gives the texts and ids of transformers on 20 dialogues", () => {
  const template = ChatTemplate.parse(SMOLLM2_TEMPLATE);
  const json: unknown = JSON.parse(readFileSync(join(GOLDEN, "smollm2/tokenizer.json"), "utf8"));
  const tokenizer = createTokenizer({ kind: "json", json, config: {} });
  const lines = readFileSync(join(GOLDEN, "smollm2/chat.jsonl"), "utf8")
    .split("\n")
    .filter((line) => line !== "");
  assert.equal(lines.length, 20);
  for (const line of lines) {
    const { messages, add_generation_prompt: addGenerationPrompt, text, ids } = JSON.parse(line);
    const rendered = template.render(messages, { addGenerationPrompt });
    assert.equal(rendered, text);
    assert.deepEqual(tokenizer.encode(rendered), ids);
  }
});

test("the built-in templates write what their families' own templates write", () => {
  const render = (name: keyof typeof BUILT_IN_TEMPLATES, addGenerationPrompt: boolean, messages = DIALOGUE) =>
    ChatTemplate.parse(BUILT_IN_TEMPLATES[name], TOKENS).render(messages, { addGenerationPrompt });
  assert.equal(
    render("chatml", true),
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n" +
      "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
  );
  assert.equal(
    render("llama3", true),
    "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" +
      "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>" +
      "<|start_header_id|>assistant<|end_header_id|>\n\n",
  );
  assert.equal(render("mistral", true), "<s>[INST] Be brief.\n\nHi [/INST] Hello</s>[INST] Bye [/INST]");
  assert.equal(
    render("olmo2", true),
    "<s><|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\nHello</s>\n<|user|>\nBye\n<|assistant|>\n",
  );
  assert.equal(render("olmo2", false, DIALOGUE.slice(1, 3)), "<s><|user|>\nHi\n<|assistant|>\nHello</s>");
  assert.equal(
    render("human-assistant", true),
    "Be brief.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant:",
  );
});

test("a content is never taken for a template", () => {
  const template = ChatTemplate.parse(BUILT_IN_TEMPLATES.chatml);
  const content = "{{ bos_token }}{% raw %}\\n";
  assert.ok(template.render([{ role: "user", content }], { addGenerationPrompt: false }).includes(content));
});

test("tokens that a model has not got are written as nothing", () => {
  const template = ChatTemplate.parse("{{ bos_token }}|{{ eos_token }}", { bosToken: null, eosToken: null });
  assert.equal(template.render([], { addGenerationPrompt: false }), "|");
});

test("a template that cannot be parsed, and one that refuses, are one-sentence errors", () => {
  assert.throws(
    () => ChatTemplate.parse("{% for message in %}"),
    (error: unknown) =>
      error instanceof ModelFormatError && /--chat-template/.test(error.message) && !error.message.includes("\n"),
  );
  const strict = ChatTemplate.parse("{{ raise_exception('roles must alternate') }}");
  assert.throws(
    () => strict.render(DIALOGUE, { addGenerationPrompt: true }),
    (error: unknown) =>
      error instanceof DataFormatError && /roles must alternate/.test(error.message) && !error.message.includes("\n"),
  );
});

test("a template is loaded by its name or from a file", async () => {
  assert.equal(await loadChatTemplate("chatml"), BUILT_IN_TEMPLATES.chatml);
  await withFolder(async (folder) => {
    writeFileSync(join(folder, "mine.jinja"), "{{ messages[0]['content'] }}");
    assert.equal(await loadChatTemplate(join(folder, "mine.jinja")), "{{ messages[0]['content'] }}");
    await assert.rejects(loadChatTemplate(join(folder, "none.jinja")), UsageError);
  });
  await assert.rejects(loadChatTemplate("constructor"), /there is no such file; give a file, or one of chatml, llama3/);
});
