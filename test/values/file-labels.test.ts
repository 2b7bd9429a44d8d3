/** The extractors `file` and `attributes`. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { DataFormatError, FileError, UsageError, type ValoraError } from "#lib/errors.js";
import { openAttributes } from "#lib/values/attributes.js";
import type { Exchange } from "#lib/values/extractor.js";
import { openFileLabels } from "#lib/values/file-labels.js";
import { exchangesOf } from "#lib/values/label-pairs.js";
import { withFolder } from "../temporary-folder.js";
import { exchange, pair, value } from "./support.js";

const VALUES = [value("warm"), value("cold")];
const { chosen, rejected } = exchangesOf(pair("a", "yes, dear", "no"));

/** The answers of the labels in `text` to the responses, or the error of opening it. */
async function answers(
  text: string,
  exchanges: Exchange[] = [chosen, rejected],
  name = "labels.jsonl",
  onNote?: (note: string) => void,
) {
  return withFolder(async (folder) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    const extractor = await openFileLabels(path, VALUES, { onNote });
    return extractor.score(exchanges, VALUES, {});
  });
}
const jsonLines = (...rows: unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

describe("labels from a file", () => {
  test("are found by id and side, in every form that a row may have", async () => {
    const expected = [{ warm: 1 }, {}];
    for (const rows of [
      [{ id: "a", values: { chosen: ["warm"], rejected: [] } }],
      [{ id: "a", scores: { chosen: { warm: 1 }, rejected: { warm: 0 } } }],
      [
        { id: "a", side: "chosen", values: ["warm"] },
        { id: "a", side: "rejected", values: [] },
      ],
      [
        { id: "a", side: "chosen", value: "warm", label: 1 },
        { id: "a", side: "rejected", value: "warm", label: false },
      ],
      [
        { id: "a", side: "chosen", warm: 1, cold: 0 },
        { id: "a", side: "rejected", warm: 0, cold: 0 },
      ],
    ])
      assert.deepEqual(await answers(jsonLines(...rows)), expected, JSON.stringify(rows));
  });

  test("are found by text, under its own prompt first", async () => {
    assert.deepEqual(
      await answers(jsonLines({ response: "yes, dear", values: ["warm"] }, { response: "no", values: ["cold"] })),
      [{ warm: 1 }, { cold: 1 }],
    );
    assert.deepEqual(
      await answers(
        jsonLines(
          { response: "yes, dear", values: ["warm"] },
          { prompt: "Q", response: "yes, dear", values: ["cold"] },
          { prompt: "another", response: "no", values: ["warm"] },
          { response: "no", values: [] },
        ),
      ),
      [{ cold: 1 }, {}],
    );
  });

  test("come from CSV too, with quoted texts of several lines", async () => {
    const wide = "id,side,warm,cold\na,chosen,1,0\na,rejected,,yes\n";
    assert.deepEqual(await answers(wide, undefined, "l.csv"), [{ warm: 1 }, { cold: 1 }]);
    const byText = 'response,values\n"yes, dear",warm;cold\n"two\nlines ""here""",cold\n';
    assert.deepEqual(await answers(byText, [chosen, exchange('two\nlines "here"')], "l.csv"), [
      { warm: 1, cold: 1 },
      { cold: 1 },
    ]);
  });

  test("of several annotators are their mean", async () => {
    const rows = [1, 1, 0].map((label) => ({ id: "a", side: "chosen", value: "warm", label }));
    const [found] = await answers(jsonLines(...rows, { id: "a", side: "rejected", values: [] }));
    assert.deepEqual(found, { warm: 2 / 3 });
  });

  test("that are missing for a response are said, with the pair", async () => {
    const [, missing] = await answers(jsonLines({ id: "a", side: "chosen", values: ["warm"] }));
    assert.ok(missing instanceof DataFormatError);
    assert.match(missing.message, /pair "a".*rejected response/);
  });

  test("for other values are passed over, and said", async () => {
    const notes: string[] = [];
    const row = { id: "a", values: { chosen: ["warm", "brave"], rejected: [] } };
    assert.deepEqual(await answers(jsonLines(row), [chosen], "l.jsonl", (note) => notes.push(note)), [{ warm: 1 }]);
    assert.match(notes.join(), /brave/);
    await assert.rejects(answers(jsonLines({ id: "a", side: "chosen", value: "brave", label: 1 })), UsageError);
  });

  test("are refused with file and line where they cannot be read", async () => {
    for (const [row, part] of [
      [{ side: "chosen", values: [] }, "id or response"],
      [{ id: "a", values: ["warm"] }, "side"],
      [{ id: "a", side: "left", values: ["warm"] }, "side"],
      [{ id: "a", side: "chosen" }, "needs values"],
      [{ id: "a", side: "chosen", label: 1 }, "label needs value"],
      [{ id: "a", side: "chosen", value: "warm", label: 2 }, "from 0 to 1"],
      [{ id: "a", side: "chosen", value: "warm", label: "perhaps" }, "perhaps"],
      [{ response: "x", values: { chosen: [], rejected: [] } }, "need an id"],
    ] as const) {
      await assert.rejects(
        answers(jsonLines({ id: "a", side: "chosen", values: ["warm"] }, row)),
        (error: ValoraError) =>
          error instanceof DataFormatError &&
          error.message.includes("labels.jsonl, line 2: ") &&
          error.message.includes(part),
        JSON.stringify(row),
      );
    }
    await assert.rejects(openFileLabels("/nowhere/labels.csv", VALUES), FileError);
  });
});

describe("planted attributes", () => {
  const attributes = ["longer", "list-format", "exclamation"].map((name) => value(name));
  const extractor = openAttributes(attributes);
  const of = async (response: string, counterpart = "one two three"): Promise<string[]> =>
    Object.keys((await extractor.score([exchange(response, counterpart)], attributes, {}))[0] as object);

  test("longer is more words than the other response has; equal is not longer", async () => {
    assert.deepEqual(await of("one two three four"), ["longer"]);
    assert.deepEqual(await of("one two\n\tthree"), []);
    assert.deepEqual(await of("internationalisation indeed"), []);
  });

  test("list-format is two lines or more that begin with a bullet or a number, outside code", async () => {
    for (const list of ["- a\n- b", "* a\n\n* b", "1. a\n2. b", "1) a\n2) b", "• a\n• b", "So:\n  - a\n  - b"])
      assert.ok((await of(list)).includes("list-format"), list);
    for (const none of ["- a", "a - b - c", "1.5\n2.5", "-a\n-b", "```\n- a\n- b\n```", "1999. It began.\nThen 2. a"])
      assert.ok(!(await of(none)).includes("list-format"), none);
  });

  test("exclamation is a mark outside code, of any script", async () => {
    assert.ok((await of("Go!")).includes("exclamation"));
    assert.ok((await of("好！")).includes("exclamation"));
    assert.ok(!(await of("```\nif (a != b) {}\n```")).includes("exclamation"));
  });

  test("are not mixed with values that have to be judged", () => {
    assert.throws(() => openAttributes([value("empathy")]), UsageError);
  });
});
