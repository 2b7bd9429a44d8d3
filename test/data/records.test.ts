/** Tables in every form that is read: the same rows, with the place of each; and what damaged or hostile ones are told. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { readRecords } from "#lib/data/records.js";
import { failsWith, withFolder } from "../formats/format-support.js";
import { ROOT } from "../golden.js";
import { collect, FIXTURES, readAll } from "./support.js";

const ROWS = [
  { name: "a", text: 'says "hi", then\nleaves' },
  { name: "ä\u2028", text: "" },
];

/** Writes a file and reads it. */
async function read(name: string, content: string | Buffer, options: Parameters<typeof readRecords>[1] = {}) {
  return withFolder(async (folder) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return (await collect(readRecords(path, options))).map(({ value, where }) => ({
      value: { ...value },
      where: where.replace(`${folder}/`, ""),
    }));
  });
}

const jsonLines = ROWS.map((row) => `${JSON.stringify(row)}\n`).join("");
const array = JSON.stringify(ROWS, null, 2);
const csv = `name,text\n"a","says ""hi"", then\nleaves"\nä\u2028,\n`;
const tsv = csv.replaceAll(",\n", "\t\n").replace("name,", "name\t").replace('"a",', '"a"\t');

describe("a table", () => {
  const forms: [string, string, string[]][] = [
    ["t.jsonl", jsonLines, ["line 1", "line 2"]],
    ["t.json", array, ["item 1", "item 2"]],
    ["t.csv", csv, ["line 2", "line 4"]],
    ["t.tsv", tsv, ["line 2", "line 4"]],
  ];
  for (const [name, content, places] of forms) {
    test(`is read from ${name}, with or without gzip, byte order mark and \\r\\n, whatever its name`, async () => {
      const expected = ROWS.map((value, index) => ({ value, where: `${name}, ${places[index]}` }));
      assert.deepEqual(await read(name, content), expected);
      assert.deepEqual(await read(name, `\ufeff${content}`), expected);
      assert.deepEqual(await read(name, gzipSync(content)), expected);
      const strip = (rows: { where: string; value: unknown }[]) => rows.map(({ value }) => value);
      assert.deepEqual(strip(await read("unnamed", content)), ROWS, "told by its content");
      assert.deepEqual(strip(await read(`${name}.gz`, gzipSync(`\ufeff${content}`))), ROWS);
      if (name !== "t.json" && name !== "t.jsonl") {
        // Within a quoted field \n stays what it is.
        const crlf = content.replaceAll("\n", "\r\n").replace("then\r\n", "then\n");
        assert.deepEqual(strip(await read(name, crlf)), ROWS);
      } else {
        assert.deepEqual(strip(await read(name, content.replaceAll("\n", "\r\n"))), ROWS);
      }
    });
  }

  test("may be JSON Lines in a file that is called .json, or an array in one called .jsonl", async () => {
    assert.equal((await read("t.json", jsonLines)).length, 2);
    assert.equal((await read("t.jsonl", array)).length, 2);
  });

  test("is separated by semicolons where its first line has no comma", async () => {
    assert.deepEqual(
      (await read("t.csv", "a;b\n1;2\n")).map(({ value }) => value),
      [{ a: "1", b: "2" }],
    );
  });

  test("without names takes those that are given", async () => {
    assert.deepEqual(
      (await read("t.csv", "1,2\n3,4\n", { columns: ["a", "b"] })).map(({ value }) => value),
      [
        { a: "1", b: "2" },
        { a: "3", b: "4" },
      ],
    );
  });

  test("comes through a pipe as well, bytes one by one", () => {
    const program = `
      import { readRecords } from ${JSON.stringify(new URL(`file://${join(ROOT, "dist/data/records.js")}`))};
      for await (const { value, where } of readRecords("-")) console.log(JSON.stringify([value, where]));`;
    for (const [, content, places] of forms) {
      const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
        input: content,
      });
      assert.equal(stderr.toString(), "");
      const rows = stdout.toString().trim().split("\n");
      assert.deepEqual(
        rows.map((row) => JSON.parse(row)),
        ROWS.map((row, at) => [row, `standard input, ${places[at]}`]),
      );
    }
  });

  test("leaves no open file behind where the reading ends early", async () => {
    await withFolder(async (folder) => {
      const { readdirSync } = await import("node:fs");
      const open = (): number => (process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0);
      const before = open();
      for (const [name, content] of forms) {
        const path = join(folder, name);
        // Long enough that the reader does not come to its end by reading ahead.
        writeFileSync(
          path,
          name === "t.json" ? `[${`${JSON.stringify(ROWS[0])},`.repeat(1e5)}{}]` : content.repeat(1e5),
        );
        for await (const _ of readRecords(path)) break;
      }
      // Files close in their own time.
      for (let waited = 0; open() > before && waited < 100; waited++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.ok(open() <= before, `${open()} open files, ${before} before`);
    });
  });
});

describe("Parquet", () => {
  for (const compression of ["none", "snappy", "gzip", "zstd"]) {
    test(`written by pyarrow with ${compression}: rows of all row groups, lists of messages, integers, nulls`, async () => {
      const rows = await collect(readRecords(join(FIXTURES, `pyarrow-binarized-${compression}.parquet`)));
      assert.equal(rows.length, 50);
      rows.forEach(({ value, where }, n) => {
        assert.ok(where.endsWith(`.parquet, row ${n + 1}`), where);
        assert.deepEqual(value, {
          prompt: `question ${n}`,
          prompt_id: n.toString(16).padStart(4, "0"),
          chosen: [
            { role: "user", content: `question ${n}` },
            { role: "assistant", content: `good answer ä${n}\u2028` },
          ],
          rejected: [
            { role: "user", content: `question ${n}` },
            { role: "assistant", content: `bad answer ${n}` },
          ],
          score_chosen: 8.5,
          score_rejected: n % 10 === 3 ? 8.5 : 4,
          count: 2 ** 40 + n,
          nothing: null,
        });
      });
    });
  }

  test("becomes pairs as any other table does", async () => {
    const { pairs, reports, formats } = await readAll(join(FIXTURES, "pyarrow-binarized-zstd.parquet"));
    assert.deepEqual(formats, ["ultrafeedback"]);
    assert.equal(pairs.length, 45);
    assert.deepEqual(reports[0]?.dropped, { "with equal ratings": 5 });
  });

  test("that is cut off or damaged is refused with its name", async () => {
    const whole = readFileSync(join(FIXTURES, "pyarrow-binarized-snappy.parquet"));
    const broken = Buffer.from(whole);
    broken.fill(0xff, 100, 400);
    for (const content of [whole.subarray(0, whole.length / 2), whole.subarray(0, 3), broken, Buffer.alloc(0)]) {
      await assert.rejects(read("t.parquet", content), failsWith("ERR_DATA_FORMAT", /t\.parquet.*Parquet/));
    }
  });

  test("through a pipe is refused", () => {
    const { stderr, status } = spawnSync(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `import { readRecords } from ${JSON.stringify(`file://${join(ROOT, "dist/data/records.js")}`)};
         try { for await (const _ of readRecords("-")); } catch (error) { console.error(error.message); }`,
      ],
      { input: readFileSync(join(FIXTURES, "pyarrow-binarized-none.parquet")) },
    );
    assert.equal(status, 0);
    assert.match(stderr.toString(), /standard input; give the file/);
  });
});

describe("a damaged table is refused with file, place and reason", () => {
  const deep = `${"[".repeat(600)}${"]".repeat(600)}`;
  const cases: [string, string, string | Buffer, RegExp][] = [
    ["JSON Lines with NaN", "t.jsonl", '{"a": 1}\n{"a": NaN}\n', /t\.jsonl, line 2: this is not valid JSON/],
    ["an array with NaN", "t.json", '[{"a": 1}, {"a": NaN}]', /t\.json, item 2: this is not valid JSON: .*NaN/],
    ["an array that is cut off", "t.json", '[{"a": 1}, {"a": "x', /t\.json, item 2: the array is cut off/],
    ["an array with more behind it", "t.json", '[{"a": 1}] [{"a": 1}]', /t\.json, item 2: /],
    ["an array of numbers", "t.json", "[1, 2]", /t\.json, item 1: this is no object/],
    ["one object over several lines", "t.json", '{\n "a": 1\n}\n', /t\.json: a JSON object goes over several lines/],
    [
      "gzip that is cut off",
      "t.jsonl.gz",
      gzipSync(jsonLines.repeat(999)).subarray(0, 90),
      /t\.jsonl\.gz: the gzip data/,
    ],
    ["an array in gzip that is cut off", "t.json.gz", gzipSync(array).subarray(0, 60), /t\.json\.gz: the gzip data/],
    ["CSV in gzip that is cut off", "t.csv.gz", gzipSync(csv.repeat(999)).subarray(0, 60), /t\.csv\.gz: the gzip data/],
    ["Latin-1 in JSON Lines", "t.jsonl", Buffer.from('{"a": "\xe9"}\n', "latin1"), /t\.jsonl, line 1: .*UTF-8/],
    ["Latin-1 in an array", "t.json", Buffer.from('[\n{"a": "\xe9"}]', "latin1"), /t\.json: .*UTF-8.*line 1/],
    ["Latin-1 in CSV", "t.csv", Buffer.from("a,b\n\xe9,x\n", "latin1"), /t\.csv: .*UTF-8.*line 1/],
    ["UTF-16", "t.csv", Buffer.from("\ufeffa,b\n1,2\n", "utf16le"), /t\.csv: .*UTF-8/],
    ["a row with too many fields", "t.csv", "a,b\n1,2\n1,2,3\n", /t\.csv, line 3: /],
    ["a quote that is not closed", "t.csv", 'a,b\n1,"2\n', /t\.csv, line \d: /],
    ["a name twice", "t.csv", "a,a\n1,2\n", /t\.csv, line 1: two columns are named "a"/],
    ["zstd", "t.jsonl.zst", Buffer.from("28b52ffd00000000", "hex"), /t\.jsonl\.zst is compressed with zstd/],
    ["JSON Lines nested too deep", "t.jsonl", `{"a": ${deep}}\n`, /t\.jsonl, line 1: it is nested more than 500 deep/],
    ["an array nested too deep", "t.json", `[{"a": ${deep}}]`, /t\.json, item 1: it is nested more than 500 deep/],
    ["words", "t.txt", "some words\nand more\n", /t\.txt is neither JSON, CSV, TSV nor Parquet/],
  ];
  for (const [what, name, content, says] of cases) {
    test(what, () => assert.rejects(read(name, content), failsWith("ERR_DATA_FORMAT", says)));
  }

  test("or its bad rows are left out and counted, where the rest can be read", async () => {
    for (const [name, content, lines] of [
      ["t.jsonl", '{"a": "1"}\nNaN\n{"a": NaN}\n{"a": "2"}\n', [2, 3]],
      ["t.csv", "a,b\n1,2\n1,2,3\n4\n5,6\n", [3, 4]],
      ["t.json", '[{"a": "1"}, 7, {"a": "2"}]', [2]],
    ] as const) {
      const skipped: string[] = [];
      const rows = await read(name, content, { onError: "skip", onSkip: (message) => skipped.push(message) });
      assert.equal(rows.length, 2, name);
      assert.deepEqual(
        skipped.map((message) => Number(/(?:line|item) (\d+): /.exec(message)?.[1])),
        lines,
        name,
      );
    }
  });

  test("a signal that was raised ends the reading", async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(read("t.jsonl", jsonLines, { signal }), failsWith("ERR_CANCELLED", /stopped/));
  });
});

/** Runs `valora inspect` on a file in a heap of 512 MiB. */
function inspectInLittle(path: string): { status: number | null; stderr: string; signal: string | null } {
  const words = ["--max-old-space-size=512", join(ROOT, "dist/cli.js"), "inspect", path, "--json"];
  const { status, signal, stderr } = spawnSync(process.execPath, words, { encoding: "utf8", timeout: 60_000 });
  return { status, signal, stderr };
}

describe("a value without an end is refused in little memory", () => {
  for (const [name, head, filler] of [
    ["long.jsonl", '{"a": "', "a"],
    ["long.json", '[{"a": "', "a"],
    ["long.csv", 'a,b\n"', "a"],
    ["deep.json", "", "["],
  ] as const) {
    test(`300 MB in one: ${name}`, async () => {
      await withFolder(async (folder) => {
        const path = join(folder, name);
        const file = openSync(path, "w");
        writeSync(file, head);
        const block = Buffer.alloc(1 << 20, filler);
        for (let written = 0; written < 300; written++) writeSync(file, block);
        closeSync(file);
        const { status, signal, stderr } = inspectInLittle(path);
        assert.equal(signal, null, "it had to be killed");
        assert.equal(status, 1, stderr.slice(0, 300));
        assert.match(stderr, new RegExp(`^valora inspect: [^\\n]*${name}[^\\n]*(longer than|nested)[^\\n]*\\n$`));
      });
    });
  }
});
