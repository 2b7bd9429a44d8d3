/**
 * The study's folder as many processes use it: each works in a folder of its own, the first to finish wins, and training is
 * taken over whole.
 *
 * Seen failing: with drafts that stay in a folder that is taken over, with a later result that replaces the first, and
 * with a link that is followed.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { finishFolder } from "#lib/files/artefact-folder.js";
import { StudyStore } from "#lib/study/store.js";
import { withFolder } from "../cli/program.js";

const TRAIN = `train-${"1".repeat(20)}`;
const MEASURE = `evaluate-${"2".repeat(20)}`;

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** What a job leaves when it is done. */
async function fill(folder: string, key: string, text: string): Promise<void> {
  write(join(folder, "items.jsonl"), text);
  await finishFolder(folder, { command: "study", options: { key }, versions: {}, sha256: {} }, ["items.jsonl"]);
}

describe("a study's folder that many work in", () => {
  it("keeps the first result of a job, and nothing of the second", async () => {
    await withFolder(async (folder) => {
      const [one, other] = [StudyStore.join(folder), StudyStore.join(folder)];
      const [first, second] = [await one.begin(MEASURE), await other.begin(MEASURE)];
      assert.notEqual(first, second);
      await fill(second, MEASURE, "second\n");
      await fill(first, MEASURE, "first\n");
      assert.ok(!(await one.isDone(MEASURE)), "what is finished is not done before it is in its place");
      await one.publish(MEASURE, first);
      await other.publish(MEASURE, second);
      assert.equal(readFileSync(join(one.pathOf(MEASURE), "items.jsonl"), "utf8"), "first\n");
      assert.ok(await other.isDone(MEASURE));
      assert.deepEqual(readdirSync(join(folder, "working")), []);
    });
  });

  it("puts a result in the place of one that was damaged", async () => {
    await withFolder(async (folder) => {
      const store = StudyStore.join(folder);
      await fill(store.pathOf(MEASURE), MEASURE, "damaged later\n");
      writeFileSync(join(store.pathOf(MEASURE), "items.jsonl"), "damaged\n");
      const path = await store.begin(MEASURE);
      await fill(path, MEASURE, "whole\n");
      await store.publish(MEASURE, path);
      assert.equal(readFileSync(join(store.pathOf(MEASURE), "items.jsonl"), "utf8"), "whole\n");
      assert.deepEqual(readdirSync(join(folder, "working")), []);
    });
  });

  it("takes training over from whoever had it, without what that one was writing", async () => {
    await withFolder(async (folder) => {
      const store = StudyStore.join(folder);
      const lost = await store.begin(TRAIN);
      write(join(lost, "run/metrics.jsonl"), "{}\n");
      write(join(lost, "run/.manifest.json.17.0a1b2c3d.tmp"), "{");
      write(join(lost, "run/checkpoints/.step-3.17.tmp/state.json"), "{");
      const taken = await store.begin(TRAIN);
      assert.ok(!existsSync(lost), "the folder is the other's no more");
      assert.deepEqual(readdirSync(join(taken, "run")).sort(), ["checkpoints", "metrics.jsonl"]);
      assert.deepEqual(readdirSync(join(taken, "run/checkpoints")), []);
    });
  });

  it("takes over what one process had begun in place, and gives back to one process what many had", async () => {
    await withFolder(async (folder) => {
      const store = StudyStore.join(folder);
      write(join(store.pathOf(TRAIN), "run/metrics.jsonl"), "{}\n");
      const taken = await store.begin(TRAIN);
      assert.deepEqual(readdirSync(join(folder, "adapters")), []);
      assert.ok(existsSync(join(taken, "run/metrics.jsonl")));
      write(join(folder, "study.yaml"), "");
      await using alone = await StudyStore.open(folder);
      assert.equal(await alone.begin(TRAIN), alone.pathOf(TRAIN));
      assert.ok(existsSync(join(alone.pathOf(TRAIN), "run/metrics.jsonl")));
      assert.ok(!existsSync(join(folder, "working")));
    });
  });

  it("takes over no link", async () => {
    await withFolder(async (folder) => {
      const store = StudyStore.join(join(folder, "study"));
      mkdirSync(join(folder, "elsewhere"));
      mkdirSync(join(folder, "study/working"), { recursive: true });
      symlinkSync(join(folder, "elsewhere"), join(folder, "study/working", `${TRAIN}.${"0".repeat(16)}`));
      write(join(await store.begin(TRAIN), "run/metrics.jsonl"), "{}\n");
      assert.deepEqual(readdirSync(join(folder, "elsewhere")), []);
    });
  });

  it("is one queue's or one process's", async () => {
    await withFolder(async (folder) => {
      const study = join(folder, "study");
      const round = "a".repeat(16);
      const { store } = await StudyStore.openQueued(study, round);
      assert.equal((await StudyStore.openQueued(study, "b".repeat(16))).round, round);
      await assert.rejects(StudyStore.open(study), /a queue hands out this study's jobs; use --queue to attach to it/);
      await store.release();
      await using alone = await StudyStore.open(study);
      assert.equal(alone.folder, study);
      // This process holds it, and counts as gone for itself: another one's lock is what counts.
      writeFileSync(join(study, "lock.json"), JSON.stringify({ pid: 1, host: "elsewhere" }));
      await assert.rejects(StudyStore.openQueued(study, round), /process 1 on elsewhere works on this study/);
    });
  });
});
