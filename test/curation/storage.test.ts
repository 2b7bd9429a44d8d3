/**
 * Where curation keeps the numbers of millions of pairs: a hash table against Map, rows in memory and in a file.
 *
 * Seen failing: with keys compared by their low half alone, and with rows of the file read one chunk too early.
 */
import assert from "node:assert/strict";
import { chmodSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ByteRows } from "#lib/curation/byte-rows.js";
import { KeyMap } from "#lib/curation/key-map.js";
import { minhash, SIGNATURE_BYTES } from "#lib/curation/minhash.js";
import { groupPairs, groupTexts } from "#lib/curation/near-duplicates.js";
import { compareText, type Key, textKey } from "#lib/curation/text.js";
import { FileError } from "#lib/errors.js";
import { withFolder } from "../temporary-folder.js";
import { generator, sentence } from "./support.js";

describe("a table of keys", () => {
  it("holds what a Map holds, also where keys share a half or a place", () => {
    const [table, map] = [new KeyMap(), new Map<string, number>()];
    const random = generator(1);
    const some = (): number => Math.floor(random() * 60) * 2 ** 26;
    for (let round = 0; round < 20_000; round++) {
      const key: Key = round % 2 === 0 ? [some(), some()] : textKey(String(Math.floor(random() * 5000)));
      const name = key.join(" ");
      assert.equal(table.get(key), map.get(name));
      if (random() < 0.7) {
        const value = Math.floor(random() * 2 ** 31);
        table.set(key, value);
        map.set(name, value);
      }
      assert.equal(table.size, map.size);
    }
    assert.ok(map.size > 5000);
    for (const [name, value] of map) {
      const [low, high] = name.split(" ").map(Number) as [number, number];
      assert.equal(table.get([low, high]), value);
    }
    table.clear();
    assert.equal(table.size, 0);
    assert.equal(table.get(textKey("0")), undefined);
    table.set(textKey("0"), 7);
    assert.equal(table.get(textKey("0")), 7);
  });
});

describe("rows of bytes", () => {
  const makeRows = (count: number, width: number): Uint8Array[] => {
    const random = generator(2);
    return Array.from({ length: count }, () => Uint8Array.from({ length: width }, () => Math.floor(random() * 256)));
  };

  it("come out as they went in, one by one and in blocks, however many are in memory", async () => {
    await withFolder(async (folder) => {
      for (const [count, memoryBytes] of [
        [0, 0],
        [1, 0],
        [50, 0],
        [50, 37],
        [50, 120],
        [64, 160],
        [50, 10_000],
      ] as const) {
        const rows = makeRows(count, 8);
        const kept = new ByteRows(8, { memoryBytes, chunkBytes: 32, folder });
        for (const row of rows) kept.push(row);
        assert.equal(kept.length, count);
        const buffer = new Uint8Array(8);
        for (const index of rows.map((_, at) => (at * 7) % count))
          assert.deepEqual(Buffer.from(kept.row(index, buffer)), Buffer.from(rows[index]!), `row ${index} of ${count}`);
        const blocks = [...copiesOf(kept)];
        assert.ok(blocks.every((block) => block.length <= 32));
        assert.deepEqual(Buffer.concat(blocks), Buffer.concat(rows.map((row) => Buffer.from(row))));
        kept.close();
        kept.close();
      }
      assert.deepEqual(readdirSync(folder), [], "no file is left");
    });
  });

  it("that cannot be written are an error that names the folder", {
    skip: process.getuid?.() === 0 && "root may write anywhere",
  }, async () => {
    await withFolder(async (folder) => {
      chmodSync(folder, 0o500);
      const rows = new ByteRows(8, { memoryBytes: 0, folder });
      assert.throws(
        () => rows.push(new Uint8Array(8)),
        (error: Error) => error instanceof FileError && error.message.includes(folder),
      );
      chmodSync(folder, 0o700);
    });
  });

  it("in a folder that is not there are the same error", () => {
    const rows = new ByteRows(8, { memoryBytes: 0, folder: join("nowhere", "at", "all") });
    assert.throws(() => rows.push(new Uint8Array(8)), /temporary folder nowhere.*does not exist.*TMPDIR/);
  });

  it("of signatures give the same near-duplicates from a file as from memory", async () => {
    await withFolder(async (folder) => {
      const random = generator(3);
      const texts: string[] = [];
      for (let index = 0; index < 400; index++)
        texts.push(index % 5 === 4 ? `${texts[Math.floor(random() * index)]} more` : sentence(random, 30));
      const memory = new Uint8Array(texts.length * SIGNATURE_BYTES);
      const file = new ByteRows(SIGNATURE_BYTES, {
        memoryBytes: 100 * SIGNATURE_BYTES,
        chunkBytes: 20 * SIGNATURE_BYTES,
        folder,
      });
      for (const [index, text] of texts.entries()) {
        const row = memory.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES);
        minhash(compareText(text).words, row);
        file.push(row);
      }
      const groups = groupTexts(memory, { threshold: 0.8 });
      assert.ok(new Set(groups).size < 360, "there are near-duplicates");
      assert.deepEqual(groupTexts(file, { threshold: 0.8 }), groups);
      const prompts = Uint32Array.from({ length: texts.length / 2 }, (_, index) => index % 3);
      assert.deepEqual(groupPairs(file, prompts, { threshold: 0.8 }), groupPairs(memory, prompts, { threshold: 0.8 }));
      file.close();
    });
  });
});

/** A block is valid until the next one. */
function* copiesOf(rows: ByteRows): Generator<Buffer> {
  for (const block of rows.blocks()) yield Buffer.from(Uint8Array.from(block));
}
