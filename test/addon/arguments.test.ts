/** Wrong values from JavaScript are TypeErrors that name the property, and never reach the core. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type NativeModel, type NativeTrainer, native } from "#lib/native.js";
import { ADAMW, CONFIG, LORA, LOSS, OPTIONS, openTiny, pairOf, SHORT, TENSORS } from "./tiny-model.js";

/** Calls with any value: what is tested is what TypeScript would not allow. */
type Loose = Record<string, (...args: unknown[]) => unknown>;

const GENERATION = {
  prompts: [Int32Array.of(1, 2)],
  adapters: Int32Array.of(0),
  samples: 1,
  maxNewTokens: 4,
  temperature: 0,
  topK: 0,
  topP: 1,
  seed: 0,
  streams: Int32Array.of(0),
  stopTokens: new Int32Array(),
};
const SHAPE = {
  job: "score",
  rows: 8,
  targetRows: 8,
  trees: 1,
  longestPath: 8,
  recompute: false,
  sequences: 0,
  cacheRows: 0,
};

describe("an argument of the wrong type or range", () => {
  let model: NativeModel;
  let trainer: NativeTrainer;
  let adapter: number;
  before(async () => {
    model = await openTiny();
    adapter = await model.createAdapter(LORA);
    trainer = await model.createTrainer(adapter, { recompute: "auto" });
  });
  after(() => model.dispose());

  const refuses = (name: string, call: () => unknown) =>
    it(`is a TypeError that names ${name}`, async () => {
      await assert.rejects(
        async () => call(),
        (error: NodeJS.ErrnoException) => {
          assert.ok(error instanceof TypeError, `${error}`);
          assert.equal(error.code, "ERR_INVALID_ARGUMENT");
          assert.ok(error.message.startsWith(`${name} must be `), error.message);
          return true;
        },
      );
    });

  const addon = native as unknown as Loose;
  const open = (config: object, tensors: unknown = TENSORS, options: object = {}) =>
    addon.openModel!({ ...CONFIG, ...config }, tensors, { ...OPTIONS, ...options });
  const loose = () => model as unknown as Loose;
  const looseTrainer = () => trainer as unknown as Loose;

  refuses("config", () => addon.openModel!());
  refuses("config", () => addon.openModel!(5, TENSORS, OPTIONS));
  refuses("config.layers", () => open({ layers: 0 }));
  refuses("config.layers", () => open({ layers: 2.5 }));
  refuses("config.channels", () => open({ channels: Number.NaN }));
  refuses("config.heads", () => open({ heads: "4" }));
  refuses("config.kvHeads", () => open({ kvHeads: 3 }));
  refuses("config.headDim", () => open({ headDim: 15 }));
  refuses("config.feedForward", () => open({ feedForward: 2 ** 31 }));
  refuses("config.vocabulary", () => open({ vocabulary: 256n }));
  refuses("config.normEpsilon", () => open({ normEpsilon: Number.POSITIVE_INFINITY }));
  refuses("config.normPlacement", () => open({ normPlacement: "middle" }));
  refuses("config.qkNorm", () => open({ qkNorm: null }));
  refuses("config.inverseFrequencies", () => open({ inverseFrequencies: [1, 2] }));
  refuses("config.inverseFrequencies", () => open({ inverseFrequencies: new Float64Array(3) }));
  refuses("config.inverseFrequencies[0]", () => open({ inverseFrequencies: new Float64Array(8).fill(Number.NaN) }));
  refuses("tensors", () => open({}, { length: 2 }));
  refuses("tensors[0].role", () => open({}, [{ ...TENSORS[0], role: "toString" }]));
  refuses("tensors[0].layer", () => open({}, [{ ...TENSORS[0], layer: -2 }]));
  refuses("tensors[0].file", () => open({}, [{ ...TENSORS[0], file: "a\0b" }]));
  refuses("tensors[0].offset", () => open({}, [{ ...TENSORS[0], offset: -1 }]));
  refuses("tensors[0].bytes", () => open({}, [{ ...TENSORS[0], bytes: 2 ** 53 }]));
  refuses("tensors[1].dtype", () => open({}, [TENSORS[0], { ...TENSORS[1], dtype: "Q9_9" }]));
  refuses("tensors[0].rows", () => open({}, [{ ...TENSORS[0], rows: 0 }]));
  refuses("options.backend", () => open({}, TENSORS, { backend: "gpu" }));
  refuses("options.isa", () => open({}, TENSORS, { backend: "cpu", isa: "sse" }));
  refuses("options.threads", () => open({}, TENSORS, { threads: 0 }));
  refuses("options.memoryBytes", () => open({}, TENSORS, { memoryBytes: -1 }));
  refuses("options.compute", () => open({}, TENSORS, { compute: "int4" }));
  refuses("dtype", () => addon.dequantize!("F64", new Uint8Array(8), 1));
  refuses("bytes", () => addon.dequantize!("F32", [0, 0, 0, 0], 1));
  refuses("bytes", () => addon.dequantize!("F32", new Int8Array(4), 1));
  refuses("count", () => addon.dequantize!("F32", new Uint8Array(4), -1));

  refuses("forest", () => loose().score!());
  refuses("forest.tokens", () => loose().score!({ ...SHORT, tokens: [1, 2] }));
  refuses("forest.tokens", () => loose().score!({ ...SHORT, tokens: new Uint32Array(4) }));
  refuses("forest.spans", () => loose().score!({ ...SHORT, spans: new Int32Array(4) }));
  refuses("forest.adapters", () => loose().score!({ ...SHORT, adapters: null }));
  refuses("forest.targets", () => loose().score!({ ...SHORT, targets: new Int32Array(3) }));
  refuses("cancel", () => loose().score!(SHORT, {}));
  refuses("cancel", () => loose().score!(SHORT, { cancel() {} }));
  refuses("cancel", () => loose().score!(SHORT, model));
  refuses("cancel", () => loose().score!(SHORT, Object.create(native.createCancel())));
  const embedding = (change: object) =>
    loose().embed!({ forest: SHORT, groups: new Int32Array(7), layer: 1, ...change });
  refuses("request.forest.tokens", () => embedding({ forest: { ...SHORT, tokens: [1] } }));
  refuses("request.groups", () => embedding({ groups: new Int32Array(6) }));
  refuses("request.groups", () => embedding({ groups: [0, 0, 0, 0, 0, 0, 0] }));
  refuses("request.layer", () => embedding({ layer: -1 }));
  refuses("request.prompts[0]", () => loose().generate!({ ...GENERATION, prompts: ["text"] }));
  refuses("request.adapters", () => loose().generate!({ ...GENERATION, adapters: new Int32Array(2) }));
  refuses("request.streams", () => loose().generate!({ ...GENERATION, streams: new Int32Array(0) }));
  refuses("request.temperature", () => loose().generate!({ ...GENERATION, temperature: Number.NaN }));
  refuses("request.topP", () => loose().generate!({ ...GENERATION, topP: 1.5 }));
  refuses("request.seed", () => loose().generate!({ ...GENERATION, seed: -1 }));
  refuses("onProgress", () => loose().generate!(GENERATION, undefined, "loud"));
  refuses("spec.kinds[1]", () => loose().createAdapter!({ ...LORA, kinds: ["q_proj", "qproj"] }));
  refuses("spec.rank", () => loose().createAdapter!({ ...LORA, rank: 0 }));
  refuses("spec.scale", () => loose().createAdapter!({ ...LORA, scale: Number.NaN }));
  refuses("modules[0].a", () =>
    loose().loadAdapter!([
      { layer: 0, kind: "q_proj", rank: 1, scale: 1, a: new Float64Array(64), b: new Float32Array(64) },
    ]),
  );
  refuses("handle", () => loose().exportAdapter!("1"));
  refuses("handle", () => loose().removeAdapter!(0));
  refuses("options.recompute", () => loose().createTrainer!(adapter, { recompute: true }));
  refuses("options", () => loose().createTrainer!(adapter));
  refuses("role", () => loose().readTensor!("lm_head", -1, 0, 1, 0));
  refuses("count", () => loose().readTensor!("embedding", -1, 0, 1.5, 0));
  refuses("shape.job", () => loose().plan!({ ...SHAPE, job: "guess" }));
  refuses("shape.recompute", () => loose().plan!({ ...SHAPE, recompute: 1 }));

  refuses("pairs.responses", () =>
    looseTrainer().accumulate!({ ...pairOf(adapter, 8), responses: new Int32Array(1) }, LOSS),
  );
  refuses("pairs.responses", () =>
    looseTrainer().accumulate!({ ...pairOf(adapter, 8), responses: new Int32Array(14).fill(2) }, LOSS),
  );
  refuses("pairs.reference", () =>
    looseTrainer().accumulate!({ ...pairOf(adapter, 8), reference: new Float64Array(3) }, LOSS),
  );
  refuses("pairs.reference[1]", () =>
    looseTrainer().accumulate!({ ...pairOf(adapter, 8), reference: Float64Array.of(-1, Number.NaN) }, LOSS),
  );
  refuses("loss.kind", () => looseTrainer().accumulate!(pairOf(adapter, 8), { ...LOSS, kind: "kto" }));
  refuses("loss.beta", () => looseTrainer().accumulate!(pairOf(adapter, 8), { ...LOSS, beta: -0.1 }));
  refuses("options.learningRate", () => looseTrainer().step!({ ...ADAMW, learningRate: Number.NaN }));
  refuses("state.m", () => looseTrainer().setState!({ step: 1, m: [], v: new Float32Array() }));
});

describe("an argument whose meaning is wrong", () => {
  let model: NativeModel;
  before(async () => {
    model = await openTiny();
  });
  after(() => model.dispose());

  const refuses = (what: string, call: () => Promise<unknown>) =>
    it(`is the core's error: ${what}`, async () => {
      await assert.rejects(call, (error: NodeJS.ErrnoException) => {
        assert.equal(error.code, "ERR_INVALID_ARGUMENT", error.message);
        return true;
      });
      assert.equal((await model.score(SHORT)).logprobs.length, 7, "the model goes on");
    });

  refuses("a token outside the vocabulary", () => model.score({ ...SHORT, tokens: new Int32Array(8).fill(256) }));
  refuses("a negative token", () => model.score({ ...SHORT, tokens: new Int32Array(8).fill(-1) }));
  refuses("a span past its rows", () => model.score({ ...SHORT, spans: Int32Array.of(-1, 0, 9) }));
  refuses("a span that is its own parent", () => model.score({ ...SHORT, spans: Int32Array.of(0, 0, 8) }));
  refuses("a target past the rows", () => model.score({ ...SHORT, targets: Int32Array.of(8, 0) }));
  refuses("an unknown adapter", () => model.score({ ...SHORT, adapters: Int32Array.of(77) }));
  refuses("fewer adapters than trees", () => model.score({ ...SHORT, adapters: new Int32Array() }));
  const embed = (groups: number[], layer = 1) => model.embed({ forest: SHORT, groups: Int32Array.from(groups), layer });
  refuses("a layer past the model's", () => embed([0, 0, 0, 0, 0, 0, 0], 4));
  refuses("a group without a row", () => embed([0, 0, 0, 0, 0, 0, 2]));
  refuses("a negative group", () => embed([0, 0, 0, 0, 0, 0, -1]));
  refuses("a group that there cannot be", () => embed([0, 0, 0, 0, 0, 0, 2 ** 31 - 1]));
  refuses("an adapter that is not there", () => model.exportAdapter(77));
  refuses("a matrix of another shape", () =>
    model.loadAdapter([
      { layer: 0, kind: "q_proj", rank: 2, scale: 1, a: new Float32Array(5), b: new Float32Array(128) },
    ]),
  );
  refuses("a layer that is not there", () =>
    model.loadAdapter([
      { layer: 3, kind: "q_proj", rank: 1, scale: 1, a: new Float32Array(64), b: new Float32Array(64) },
    ]),
  );
  refuses("rows past a tensor's end", () => model.readTensor("embedding", -1, 250, 7, 0));
});

describe("a weight file", () => {
  const open = (change: object) =>
    native.openModel(
      CONFIG,
      TENSORS.map((tensor, i) => (i === 3 ? { ...tensor, ...change } : tensor)),
      OPTIONS,
    );

  it("that is missing or too short is ERR_FILE with its name", async () => {
    await assert.rejects(open({ file: "/nonexistent/model.safetensors" }), (error: NodeJS.ErrnoException) => {
      assert.equal(error.code, "ERR_FILE");
      assert.match(error.message, /\/nonexistent\/model\.safetensors/);
      return true;
    });
    await assert.rejects(open({ offset: 2 ** 40 }), (error: NodeJS.ErrnoException) => error.code === "ERR_FILE");
  });

  it("whose tensor has another size than its shape says is refused", async () => {
    await assert.rejects(open({ bytes: 4 }), (error: NodeJS.ErrnoException) =>
      /^ERR_(FILE|INVALID_ARGUMENT)$/.test(error.code ?? ""),
    );
  });
});
