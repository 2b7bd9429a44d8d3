/** Wrong usage: exit status 2, nothing on standard output, and one sentence that names the option. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertRefused, run, withFolder } from "./program.js";

const SCORE = ["score", "--model", "m", "--input", "-"];

describe("wrong usage", () => {
  const cases: [title: string, args: string[], ...parts: string[]][] = [
    ["an unknown command", ["frobnicate"], "frobnicate", "score"],
    ["an option in front of the command", ["--model", "m", "score"], "--model"],
    ["an unknown option", [...SCORE, "--frobnicate"], "--frobnicate", "valora score --help"],
    ["an option of another command", [...SCORE, "--beta", "1"], "--beta"],
    ["a required option that is missing", ["score", "--input", "-"], "--model"],
    ["an option without its value", ["score", "--input", "-", "--model"], "--model"],
    ["an empty value", ["score", "--input", "-", "--model", ""], "--model"],
    ["a choice that there is not", [...SCORE, "--format", "xml"], "--format", "jsonl", "xml"],
    ["a number that is none", [...SCORE, "--seed", "seven"], "--seed", "seven"],
    ["a fraction where a whole number is due", [...SCORE, "--threads", "1.5"], "--threads", "1.5"],
    ["a number below its least", [...SCORE, "--threads", "0"], "--threads", "0"],
    ["a size that is none", [...SCORE, "--memory", "much"], "--memory", "8GiB"],
    ["an option given twice", [...SCORE, "--seed", "1", "--seed", "2"], "--seed"],
    ["a word too many", [...SCORE, "extra"], "extra"],
    ["an adapter without a folder", [...SCORE, "--adapter", "kind"], "--adapter", "NAME=DIR"],
    ["an adapter called base with a folder", [...SCORE, "--adapter", "base=x"], "--adapter", "base"],
    ["an adapter name given twice", [...SCORE, "--adapter", "a=x", "--adapter", "a=y"], "--adapter"],
    ["a missing name to pull", ["pull"], "NAME"],
    ["a missing path to inspect", ["inspect"], "PATH"],
    ["a top-p of 0", ["generate", "--model", "m", "--input", "-", "--top-p", "0"], "--top-p"],
    ["a negative temperature", ["generate", "--model", "m", "--input", "-", "--temperature", "-1"], "--temperature"],
    [
      "a loss that there is not",
      ["train", "--model", "m", "--pairs", "-", "--output", "x", "--loss", "dpo"],
      "--loss",
      "sigmoid",
    ],
    [
      "both epochs and steps",
      ["train", "--model", "m", "--pairs", "-", "--output", "x", "--epochs", "1", "--steps", "1"],
      "epochs",
      "steps",
    ],
    ["a beta of 0", ["train", "--model", "m", "--pairs", "-", "--output", "x", "--beta", "0"], "beta"],
    ["a config file that is missing", [...SCORE, "--config", "no-such-file.yaml"], "--config", "no-such-file.yaml"],
  ];
  for (const [title, args, ...parts] of cases) {
    test(`${title} is refused`, async () => assertRefused(await run(args), 2, ...parts));
  }

  test("a config file with an option that the command has not got is refused by name", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "options.yaml");
      writeFileSync(path, "model: m\nbeta: 1\n");
      assertRefused(await run(["score", "--input", "-", "--config", path]), 2, path, "beta");
    });
  });

  test("a config file with a value of the wrong kind is refused by name", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "options.json");
      writeFileSync(path, JSON.stringify({ model: "m", seed: "seven" }));
      assertRefused(await run(["score", "--input", "-", "--config", path]), 2, "seed", "seven");
      writeFileSync(path, JSON.stringify({ model: { name: "m" } }));
      assertRefused(await run(["score", "--input", "-", "--config", path]), 2, path, "model");
    });
  });
});
