/**
 * Event files for TensorBoard, read by a reader of the test's own: checksums bit by bit, protocol buffers field by field.
 *
 * Seen failing: with the checksum's rotation to the left, with the simple_value in field 3, and with the file left as it
 * was where a run goes on.
 */
import assert from "node:assert/strict";
import { appendFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { PreferencePair } from "#lib/data/pairs.js";
import type { Model } from "#lib/engine/model.js";
import { openModel } from "#lib/engine/open.js";
import { type TrainOptions, trainDpo } from "#lib/engine/train.js";
import { crc32c, scalarsRecord, versionRecord } from "#lib/files/event-file.js";
import { GOLDEN, readLines, withFolder } from "./support.js";

/** CRC-32C one bit at a time, most significant first: as RFC 3720 states it, with bytes and result mirrored. */
function slowChecksum(data: Uint8Array): number {
  const mirror = (value: number, bits: number): number => {
    let result = 0;
    for (let bit = 0; bit < bits; bit++) if ((value >>> bit) & 1) result += 2 ** (bits - 1 - bit);
    return result;
  };
  let rest = 0xffffffffn;
  for (const byte of data) {
    rest ^= BigInt(mirror(byte, 8)) << 24n;
    for (let bit = 0; bit < 8; bit++)
      rest = (rest & 0x80000000n ? (rest << 1n) ^ 0x1edc6f41n : rest << 1n) & 0xffffffffn;
  }
  return mirror(Number(rest ^ 0xffffffffn), 32);
}

function masked(data: Uint8Array): number {
  const sum = BigInt(slowChecksum(data));
  return Number(((sum >> 15n) + ((sum & 0x7fffn) << 17n) + 0xa282ead8n) % 2n ** 32n);
}

type Fields = [field: number, value: number | Buffer][];

function fieldsOf(data: Buffer): Fields {
  const fields: Fields = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = data[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < data.length) {
    const tag = varint();
    const [field, type] = [tag >>> 3, tag & 7];
    if (type === 0) fields.push([field, varint()]);
    else {
      const length = type === 1 ? 8 : type === 5 ? 4 : varint();
      const value = data.subarray(at, at + length);
      assert.equal(value.length, length, "the field is whole");
      at += length;
      fields.push([field, type === 1 ? value.readDoubleLE() : type === 5 ? value.readFloatLE() : value]);
    }
  }
  return fields;
}

interface Event {
  wallTime: number;
  step: number;
  version?: string;
  scalars: Record<string, number>;
}

function readEvents(path: string): Event[] {
  const data = readFileSync(path);
  const events: Event[] = [];
  for (let at = 0; at < data.length; ) {
    const length = Number(data.readBigUInt64LE(at));
    assert.equal(data.readUInt32LE(at + 8), masked(data.subarray(at, at + 8)), "checksum of the length");
    const body = data.subarray(at + 12, at + 12 + length);
    assert.equal(data.readUInt32LE(at + 12 + length), masked(body), "checksum of the data");
    at += length + 16;
    const event: Event = { wallTime: Number.NaN, step: 0, scalars: {} };
    for (const [field, value] of fieldsOf(body)) {
      if (field === 1) event.wallTime = value as number;
      else if (field === 2) event.step = value as number;
      else if (field === 3) event.version = value.toString();
      else if (field === 5)
        for (const [, one] of fieldsOf(value as Buffer)) {
          const scalar = new Map(fieldsOf(one as Buffer));
          assert.deepEqual([...scalar.keys()], [1, 2], "tag and simple_value");
          event.scalars[scalar.get(1)!.toString()] = scalar.get(2) as number;
        }
      else assert.fail(`field ${field}`);
    }
    events.push(event);
  }
  return events;
}

describe("a record of an event file", () => {
  it("has the checksums that RFC 3720 publishes", () => {
    for (const checksum of [crc32c, slowChecksum]) {
      assert.equal(checksum(Buffer.from("123456789")), 0xe3069283);
      assert.equal(checksum(Buffer.alloc(32)), 0x8a9136aa);
      assert.equal(checksum(Buffer.alloc(32, 0xff)), 0x62a8ab43);
      assert.equal(checksum(Buffer.from(Array.from({ length: 32 }, (_, index) => index))), 0x46dd794e);
    }
  });

  it("has the bytes that TensorBoard's own writer gives it", () => {
    // tensorboard 2.21.0: RecordWriter over Event(…).SerializeToString().
    assert.equal(
      versionRecord(1_700_000_000.25).toString("hex"),
      "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9",
    );
    assert.equal(
      scalarsRecord(1_700_000_001.5, 300, { "train/loss": Math.LN2, "train/rewards/margins": -1.5 }).toString("hex"),
      "3f00000000000000516576610900006040fc54d94110ac022a310a110a0a747261696e2f6c6f7373151872313f0a1c0a15747261696e2f72657761" +
        "7264732f6d617267696e73150000c0bfb54c4231",
    );
  });
});

const FILE = "events.out.tfevents.valora";
const NAMES = {
  "train/loss": "loss",
  "train/grad_norm": "grad_norm",
  "train/learning_rate": "learning_rate",
  "train/epoch": "epoch",
  "train/rewards/chosen": "chosen_reward",
  "train/rewards/rejected": "rejected_reward",
  "train/rewards/margins": "margin",
  "train/rewards/accuracies": "accuracy",
  "train/logps/chosen": "chosen_logp",
  "train/logps/rejected": "rejected_logp",
  "train/kl": "kl",
  "eval/loss": "eval_loss",
  "eval/rewards/margins": "eval_margin",
  "eval/rewards/accuracies": "eval_accuracy",
};

const pairs: PreferencePair[] = Array.from({ length: 8 }, (_, index) => ({
  id: `pair ${index}`,
  prompt_tokens: [10, 11 + index],
  chosen_tokens: [20, 21 + index],
  rejected_tokens: [30 + index],
}));

describe("training with tensorboard", () => {
  let model: Model;
  before(async () => {
    model = await openModel(join(GOLDEN, "llama-tied"), { threads: 2 });
  });
  after(() => model.dispose());

  async function train(output: string, options: TrainOptions = {}, leaveAfter = Number.POSITIVE_INFINITY) {
    await using adapter = await model.createAdapter({ seed: 1 });
    const shared = { batchPairs: 2, epochs: 3, output, evalPairs: pairs.slice(0, 3), evalEvery: 5 };
    for await (const { step } of trainDpo(model, adapter, pairs, { ...shared, ...options }))
      if (step === leaveAfter) break;
  }

  /** The file's first record is the version; then there is one for each line of metrics.jsonl, which says the same. */
  function assertSaysWhatMetricsSay(output: string, steps: number): void {
    const [version, ...events] = readEvents(join(output, FILE));
    assert.equal(version!.version, "brain.Event:2");
    const metrics = readLines<Record<string, number>>(join(output, "metrics.jsonl"));
    assert.equal(metrics.length, steps);
    const known = (line: Record<string, number>) =>
      Object.entries(NAMES).flatMap(([tag, name]) => (name in line ? [[tag, Math.fround(line[name]!)]] : []));
    assert.deepEqual(
      events.map(({ step, scalars }) => [step, Object.entries(scalars)]),
      metrics.map((line) => [line.step, known(line)]),
    );
    const times = [version!, ...events].map(({ wallTime }) => wallTime);
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
    assert.ok(Math.abs(times.at(-1)! - Date.now() / 1000) < 600, `${times.at(-1)} is now`);
  }

  it("keeps every step under TRL's names, held-out figures where they were taken", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      await train(output, { tensorboard: true });
      assertSaysWhatMetricsSay(output, 12);
      const held = readEvents(join(output, FILE)).filter(({ scalars }) => "eval/loss" in scalars);
      assert.deepEqual(
        held.map(({ step }) => step),
        [5, 10, 12],
      );
    });
  });

  it("holds no step twice after an interruption, wherever the file was cut, and is kept up without being asked for", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      await train(output, { tensorboard: true, saveEvery: 3, keep: 9 }, 7);
      // As a crash leaves it: the newest checkpoint is of step 6, and the last record is half-written.
      rmSync(join(output, "checkpoints/step-7"), { recursive: true });
      appendFileSync(join(output, FILE), scalarsRecord(0, 8, { "train/loss": 1 }).subarray(0, 20));
      await train(output, { resume: true });
      assertSaysWhatMetricsSay(output, 12);
    });
  });

  it("gives a finished run its file, once", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      await train(output);
      assert.ok(!existsSync(join(output, FILE)));
      await train(output, { resume: true, tensorboard: true });
      assertSaysWhatMetricsSay(output, 12);
      const written = readFileSync(join(output, FILE));
      await train(output, { resume: true, tensorboard: true });
      assert.ok(readFileSync(join(output, FILE)).equals(written));
    });
  });
});
