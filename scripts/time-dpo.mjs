/**
 * Times steps of DPO on the default model, end to end through the library: for verify-gpu.mjs, which runs it with
 * the addon to be timed.
 *
 *     node scripts/time-dpo.mjs [--device cuda] [--compute bf16] [--steps 20]
 *
 * Prints one line of JSON: pairs, rows and seconds of a step, the median and all of them after two to warm up. Tokens
 * are arbitrary, which for the time is as good as any.
 */
import { parseArgs } from "node:util";
import { FileError, openModel, trainDpo } from "../dist/index.js";

const MODEL = "smollm2-135m-instruct";
const PAIRS = 8;
const PROMPT = 128;
const RESPONSE = 128;
const WARM_UP = 2;

function pairsOf(vocabulary) {
  let state = 1;
  const tokens = (count) =>
    Array.from({ length: count }, () => {
      state = (state * 48271) % 0x7fffffff; // Park and Miller's generator
      return state % vocabulary;
    });
  return Array.from({ length: PAIRS }, (_, i) => ({
    id: `${i}`,
    prompt_tokens: tokens(PROMPT),
    chosen_tokens: tokens(RESPONSE),
    rejected_tokens: tokens(RESPONSE),
  }));
}

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "cuda" },
    compute: { type: "string", default: "bf16" },
    steps: { type: "string", default: "20" },
  },
});
const steps = Number(values.steps) + WARM_UP;
try {
  const model = await openModel(MODEL, { device: values.device, compute: values.compute });
  try {
    const adapter = await model.createAdapter({ rank: 16, alpha: 32, targets: "all-linear", seed: 1 });
    const data = pairsOf(1000);
    const options = { steps, batchPairs: PAIRS, shuffle: false, reference: "base", learningRate: 1e-5 };
    const seconds = [];
    let last = performance.now();
    for await (const _ of trainDpo(model, adapter, data, options)) {
      const now = performance.now();
      seconds.push((now - last) / 1000);
      last = now;
    }
    const timed = seconds.slice(WARM_UP).sort((a, b) => a - b);
    const rows = PAIRS * (PROMPT + 2 * RESPONSE);
    const median = timed[Math.floor(timed.length / 2)];
    const { reason } = model.device;
    console.log(JSON.stringify({ model: MODEL, device: reason, pairs: PAIRS, rows, median_seconds: median, timed }));
  } finally {
    await model.dispose();
  }
} catch (error) {
  if (!(error instanceof FileError)) throw error;
  console.log(`not timed: ${error.message}`);
}
