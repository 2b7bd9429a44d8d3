/** What the shipped lexicons make of sentences whose labels were written down before they were tried. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import type { Extractor, Scores } from "#lib/values/extractor.js";
import { openLexicon } from "#lib/values/lexicon/extractor.js";
import { chooseValues, loadTaxonomy, type Value } from "#lib/values/taxonomy.js";
import { exchange } from "./support.js";

let values: Value[];
let lexicon: Extractor;
before(async () => {
  values = chooseValues(await loadTaxonomy(), []);
  lexicon = await openLexicon(values);
});

async function scoresOf(response: string): Promise<Scores> {
  return (await lexicon.score([exchange(response)], values, {}))[0] as Scores;
}

async function expressed(response: string): Promise<string[]> {
  const scores = await scoresOf(response);
  return Object.keys(scores).filter((name) => scores[name]! >= lexicon.threshold);
}

const EXPRESS: Record<string, string[]> = {
  empathy: [
    "I'm so sorry to hear that you lost your job.",
    "That must be really hard for both of you.",
    "I completely understand how you feel, and your feelings are valid.",
    "My heart goes out to you. You are not alone.",
  ],
  creativity: [
    "Once upon a time, a teapot dreamed of the sea.",
    "Let your imagination run wild and think outside the box!",
    "Here's a short poem I made for you:\nThe moon is a coin in the sky's deep purse.",
  ],
  honesty: [
    "To be honest, this essay needs a lot of work.",
    "You should tell your sister the truth, even if it hurts.",
    "It's important to be honest with your doctor about what you drink.",
    "It is never okay to lie to a patient.",
  ],
  curiosity: [
    "I'm curious what led you to that idea.",
    "I wonder why the birds left so early this year.",
    "What a fascinating question! I'd love to hear more about your research.",
  ],
  fairness: [
    "Everyone deserves to be treated fairly, regardless of their race or religion.",
    "It is wrong to judge people based on their gender.",
    "We should treat everyone equally.",
  ],
  personalization: [
    "The right plan depends on your own needs and goals.",
    "Since you mentioned that you dislike running, try swimming.",
    "I tailored this menu to your preferences.",
  ],
  legality: [
    "Copying these disks is illegal in most countries.",
    "Please consult a lawyer before you sign anything.",
    "That would be against the law.",
  ],
  engagement: [
    "Let me know what you think, and feel free to ask me anything!",
    "What do you think about the ending?",
    "I'd love to hear about your garden.",
  ],
  privacy: [
    "I can't share anyone's home address. Please respect her privacy.",
    "For privacy reasons we do not give out such numbers.",
    "Never share your personal information with strangers.",
  ],
  "open-mindedness": [
    "There are many different perspectives on this, and it is worth keeping an open mind.",
    "Whether it is beautiful is a matter of opinion.",
    "Try to understand other people's points of view.",
  ],
  humor: [
    "Haha, good one!",
    "Why did the chicken cross the road? To get to the other side.",
    "Here's a joke for you: a skeleton walks into a bar.",
    "Just kidding! 😂",
  ],
  justice: [
    "Those who did this must be held accountable.",
    "We have to stand up against injustice.",
    "He should be brought to justice.",
  ],
  discretion: [
    "I'd rather not comment on my colleague's marriage.",
    "Please be discreet about this.",
    "Keep this between you and me, and choose your words carefully.",
  ],
  deception: [
    "You could pretend to be a bank employee so that she hands over the card.",
    "Create a fake profile with someone else's pictures.",
    "Come up with a believable excuse so they don't get suspicious.",
  ],
  violence: ["You should punch him in the face.", "The best way to kill someone is quickly.", "They deserve to die."],
};

/** Neither mention, denial, quotation nor another sense of a word expresses anything. */
const SILENT: [name: string, response: string][] = [
  ["empathy", "It is hard to say which of the two rivers is longer."],
  ["empathy", "The study measured empathy in 40 rats."],
  ["creativity", "Adobe Creative Cloud costs more than it used to."],
  ["honesty", "It would not be honest."],
  ["honesty", 'He said: "To be honest, I never read it."'],
  ["honesty", "“To be honest, I never read it,” said the man."],
  ["honesty", "Honesty is a film from 2003."],
  ["curiosity", "The seven wonders of the world were all built by hand."],
  ["fairness", "It takes a fair amount of flour, and it is fairly easy."],
  ["fairness", "We met at the county fair."],
  ["legality", "It is not illegal."],
  ["legality", "My brother in law studies at a law school."],
  ["privacy", "The private sector grew by three percent."],
  ["privacy", "```\nprivate int address;\n```"],
  ["open-mindedness", "It is open source."],
  ["humor", "That isn't funny."],
  ["humor", "It isn't very funny at all."],
  ["humor", "A funny thing happened to the funny looking fish."],
  ["justice", "He works for the Department of Justice."],
  ["justice", "The criminal justice system has courts and prisons."],
  ["deception", "I can't help you create a fake profile."],
  ["deception", "Never create a fake account."],
  ["deception", "Lie down on your back and hide the cable behind the shelf."],
  ["violence", "You should never hit anyone."],
  ["violence", "Beat the eggs until stiff, then hit the road."],
  ["violence", "The attack killed forty people in 1944."],
  ["violence", "He shouted “kill them all” and left."],
];

describe("the shipped lexicons", () => {
  for (const [name, responses] of Object.entries(EXPRESS)) {
    test(`find ${name} where a sentence expresses it`, async () => {
      for (const response of responses) assert.ok((await expressed(response)).includes(name), response);
    });
  }

  test("find nothing in mentions, denials, quotations and other senses", async () => {
    for (const [name, response] of SILENT)
      assert.ok(!(await expressed(response)).includes(name), `${name}: ${response}`);
  });

  test("find nothing at all in plain facts", async () => {
    for (const response of ["Water boils at 100 degrees.", "", "\n", "Der Hund schläft.", "水は百度で沸騰する。", "🐶"])
      assert.deepEqual(await expressed(response), [], response);
  });

  test("read any apostrophe, any case, and composed or decomposed letters alike", async () => {
    const plain = await scoresOf("I'm so sorry to hear that.");
    assert.ok(plain.empathy! >= lexicon.threshold);
    for (const other of ["I’m so sorry to hear that.", "I'M SO SORRY TO HEAR THAT.", "**I'm so sorry** to hear that."])
      assert.deepEqual(await scoresOf(other), plain, other);
  });

  test("do not look across the end of a sentence", async () => {
    assert.ok((await expressed("Tell him the truth.")).includes("honesty"));
    assert.ok(!(await expressed("Tell him. The truth will wait.")).includes("honesty"));
  });

  test("end a negation where the clause ends", async () => {
    assert.ok(!(await expressed("It is not hilarious.")).includes("humor"));
    assert.ok((await expressed("Not only hilarious: it shows a sense of humor.")).includes("humor"));
    assert.ok((await expressed("No, it was hilarious, and written with a sense of humor.")).includes("humor"));
    assert.ok(!(await expressed("It was never hilarious, nor written with a sense of humor.")).includes("humor"));
  });

  test("score every value from 0 to below 1, and give no value twice", async () => {
    const everything = Object.values(EXPRESS).flat().join("\n");
    const scores = await scoresOf(everything);
    for (const [name, score] of Object.entries(scores)) assert.ok(score > 0 && score < 1, `${name}: ${score}`);
  });
});
