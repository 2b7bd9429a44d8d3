/**
 * Generation questions: block by block the answers of every subject, local or behind an endpoint, and in conversations
 * turn by turn over all that are under way.
 *
 * A block's answers are kept as soon as they are there, in a folder beside the part that they become: a run that was
 * ended goes on with the block that it was at.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { withSystem } from "../engine/generate.js";
import { ApiError } from "../errors.js";
import type { Message } from "../models/chat-template.js";
import { type AnswerLine, isThere, readPart, writeParts } from "./parts.js";
import { adaptersOf, BLOCK, blocksOf, indexOf, type PassOptions, passOptions, questionsOf } from "./pass.js";
import type { PlannedTask, Subject } from "./plan.js";
import { type Examinee, isRemote, messagesOf } from "./remote.js";
import type { GenerationQuestion } from "./task.js";

/** @param paths of the subjects' parts, which are made */
export async function writeAnswers(
  model: Examinee,
  subjects: readonly Subject[],
  plan: PlannedTask,
  paths: readonly string[],
  options: PassOptions,
  report: (done: number) => void,
): Promise<void> {
  let done = 0;
  let blocks = 0;
  for await (const block of blocksOf<GenerationQuestion>(questionsOf(plan, options))) {
    const places = paths.map((path) => blockPath(path, blocks));
    const there = await Promise.all(places.map(isThere));
    const missing = subjects.flatMap((_, index) => (there[index] ? [] : [index]));
    if (missing.length > 0) {
      const asked = missing.map((index) => subjects[index]!);
      const answers = await askBlock(model, asked, block, options, (share) =>
        report(done + Math.floor(share * block.length)),
      );
      await writeParts<AnswerLine>(
        missing.map((index) => places[index]!),
        async (write) => {
          for (const [index, lines] of answers.entries()) for (const line of lines) await write(index, line);
        },
      );
    }
    blocks += 1;
    done += block.length;
    report(done);
  }
  for (const path of paths) await joinBlocks(path, blocks);
}

/** Their number is in the name: blocks of another size are other blocks. */
function blocksFolder(path: string): string {
  return `${path}.blocks-of-${BLOCK}`;
}

function blockPath(path: string, block: number): string {
  return join(blocksFolder(path), `${block}.jsonl`);
}

async function joinBlocks(path: string, blocks: number): Promise<void> {
  try {
    await writeParts<AnswerLine>([path], async (write) => {
      for (let block = 0; block < blocks; block++)
        for await (const line of readPart<AnswerLine>(blockPath(path, block))) await write(0, line);
    });
  } catch (error) {
    // Another process, at the same task, may have joined them and cleared up.
    if (!(await isThere(path))) throw error;
  }
  await rm(blocksFolder(path), { recursive: true, force: true });
}

/** One subject's answers to one question so far. */
interface Thread {
  subject: number;
  question: GenerationQuestion;
  /** What the next answer is to. */
  prompt: GenerationQuestion["prompt"];
  /** What the user said last, where that is not the question's prompt. */
  user?: string;
  lines: AnswerLine[];
}

/** The answers of each subject, in the order of the questions; those that had to be left out are missing. */
async function askBlock(
  model: Examinee,
  subjects: readonly Subject[],
  block: readonly GenerationQuestion[],
  options: PassOptions,
  report: (share: number) => void,
): Promise<AnswerLine[][]> {
  const threads = subjects.map((_, subject) =>
    block.map((question): Thread => ({ subject, question, prompt: question.prompt, lines: [] })),
  );
  const turnsOf = ({ question }: Thread): number => question.conversation?.turns ?? 1;
  const turns = Math.max(...threads.flat().map(turnsOf));
  let open = threads.flat();
  for (let turn = 1; open.length > 0; turn++) {
    const tell = (share: number): void => report((turn - 1 + share) / turns);
    await answerAll(model, subjects, open, turn, options, tell);
    open = open.filter((thread) => thread.lines.length > 0 && turn < turnsOf(thread));
    if (open.length > 0) open = await continueAll(open, options);
  }
  return threads.map((own) => own.flatMap((thread) => (isWhole(thread, turnsOf(thread)) ? thread.lines : [])));
}

/** A conversation that broke off is left out: its later turns would be missing from the means. */
function isWhole({ question, lines }: Thread, turns: number): boolean {
  return question.conversation === undefined || lines.length === turns;
}

/** Adds the next answer to every thread; none to those that had to be left out. */
async function answerAll(
  model: Examinee,
  subjects: readonly Subject[],
  open: readonly Thread[],
  turn: number,
  options: PassOptions,
  report: (share: number) => void,
): Promise<void> {
  const passes = passesOf(subjects, open, turn);
  for (const [at, pass] of passes.entries()) {
    const threads = new Map(pass.map((thread) => [`${thread.subject} ${promptId(thread, turn)}`, thread]));
    const tell = (done: number): void => report((at + done / threads.size) / passes.length);
    for await (const { subject, id, text, sample, tokens, finish } of generate(
      model,
      subjects,
      pass,
      turn,
      options,
      tell,
    )) {
      const { question, user, lines } = threads.get(`${subject} ${id}`)!;
      const cut = cutAtStop(text, question.stop ?? []);
      lines.push({
        item: question.id,
        sample,
        ...(question.conversation === undefined ? {} : { turn }),
        ...(user === undefined ? {} : { user }),
        text: cut.text,
        tokens,
        finish: cut.stopped ? "stop" : finish,
      });
    }
  }
}

/** What errors call it; draws of a turn derive from it. */
function promptId({ question: { id } }: Thread, turn: number): string {
  return turn === 1 ? id : `${id}, turn ${turn}`;
}

/**
 * Threads that one call can take: of the same settings, and in the first turn, where subjects have the same prompts, of
 * all subjects under one system prompt.
 */
function passesOf(subjects: readonly Subject[], open: readonly Thread[], turn: number): Thread[][] {
  const passes = new Map<string, Thread[]>();
  for (const thread of open) {
    const { maxNewTokens, temperature, samples, stop } = settingsOf(thread);
    const sharers = turn === 1 ? (subjects[thread.subject]!.system ?? null) : thread.subject;
    const key = JSON.stringify([sharers, maxNewTokens, temperature, samples, stop]);
    passes.set(key, [...(passes.get(key) ?? []), thread]);
  }
  return [...passes.values()];
}

function settingsOf({ question: { maxNewTokens, temperature = 0, samples = 1, stop = [] } }: Thread) {
  return { maxNewTokens, temperature, samples, stop };
}

async function* generate(
  model: Examinee,
  subjects: readonly Subject[],
  pass: readonly Thread[],
  turn: number,
  options: PassOptions,
  report: (done: number) => void,
): AsyncGenerator<Omit<AnswerLine, "item"> & { subject: number; id: string }> {
  const indices = [...new Set(pass.map(({ subject }) => subject))];
  const { system } = subjects[indices[0]!]!;
  const prompts = pass
    .filter(({ subject }) => subject === indices[0])
    .map((thread) => ({ id: promptId(thread, turn), prompt: withSystem(thread.prompt, system) }));
  const { stop, ...settings } = settingsOf(pass[0]!);
  const common = { ...settings, seed: options.seed, ...passOptions(options) };
  if (isRemote(model)) {
    for (const [at, subject] of indices.entries()) {
      const onProgress = ({ done }: { done: number }): void => report(at * prompts.length + done);
      for await (const answer of model.generate(prompts, { ...common, stop, onProgress })) yield { ...answer, subject };
    }
    return;
  }
  const adapters = adaptersOf(subjects, indices);
  const onProgress = ({ done }: { done: number }): void => report(done * indices.length);
  for await (const { adapter, id, sample, text, tokens, finish } of model.generate(prompts, {
    ...common,
    adapters,
    onProgress,
  }))
    yield { subject: indexOf(adapter), id, sample, text: text ?? "", tokens: tokens.length, finish };
}

/** Asks the user of every thread for the next message, all at once; threads whose user cannot answer are left out. */
async function continueAll(open: readonly Thread[], options: PassOptions): Promise<Thread[]> {
  const { simulator, signal, onError = "fail", onSkip } = options;
  // A plan with conversations has one.
  const said = await Promise.all(
    open.map(({ prompt, lines, question: { conversation } }) => {
      const messages: Message[] = [...messagesOf(prompt), { role: "assistant", content: lines.at(-1)!.text }];
      return simulator!.next(conversation!.user, messages, signal).then((message) => ({ messages, message }));
    }),
  );
  return open.filter((thread, index) => {
    const { messages, message } = said[index]!;
    if (message instanceof ApiError) {
      const told = `conversation "${thread.question.id}": ${message.message}`;
      if (onError === "fail") throw new ApiError(told);
      onSkip?.(told);
      return false;
    }
    thread.user = message;
    thread.prompt = [...messages, { role: "user", content: message }];
    return true;
  });
}

/** The text before the first of `stop`, as lm-evaluation-harness cuts it. */
export function cutAtStop(text: string, stop: readonly string[]): { text: string; stopped: boolean } {
  let cut = text;
  for (const mark of stop) if (mark !== "") cut = cut.split(mark, 1)[0] as string;
  return { text: cut, stopped: cut.length < text.length };
}
