/** One prompt, answered by the untrained model and by every induced one: what a number feels like. */
import { html } from "../html.js";
import { conclude, type Section } from "./section.js";

export interface Answers {
  prompt: string;
  answers: readonly { adapter: string; text: string }[];
}

export function answersSection({ prompt, answers }: Answers): Section {
  return {
    id: "answers",
    title: "One answer, before and after",
    body: html`<p>Greedy decoding, asked: “${prompt}”</p>
<dl class="facts answers">${answers.map(
      ({ adapter, text }) =>
        html`<dt>${adapter === "base" ? "untrained" : adapter}</dt><dd>${text === "" ? html`<em>(empty)</em>` : text}</dd>`,
    )}</dl>
${conclude("What these models say to this one prompt.", "Anything about other prompts: one answer is an anecdote.")}`,
    tables: [],
    charts: {},
  };
}
