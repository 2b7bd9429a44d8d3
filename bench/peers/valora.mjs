/** valora as a contender, used by its library: one job, one line of JSON. Settings come as JSON in the first argument. */
import { openModel, readGenerationPrompts, readPairs, readScoreRequests, trainDpo } from "../../dist/index.js";

const settings = JSON.parse(process.argv[2]);
const { files, threads, compute = "float32" } = settings;

async function collect(results) {
  const all = [];
  for await (const result of results) all.push(result);
  return all;
}

const JOBS = {
  async dpo(model) {
    const { batchPairs, beta, learningRate, weightDecay, clip } = settings.training;
    const pairs = await collect(readPairs(files.input));
    return async () => {
      const adapter = await model.loadAdapter(files.start);
      const steps = trainDpo(model, adapter, pairs, {
        batchPairs,
        beta,
        learningRate,
        weightDecay,
        clip,
        epochs: 1,
        schedule: "constant",
        warmup: 0,
        shuffle: false,
        reference: "base",
      });
      const losses = (await collect(steps)).map(({ loss }) => loss);
      return { work: pairs.length, answers: losses };
    };
  },

  async score(model) {
    const requests = await collect(readScoreRequests(files.input));
    const options = { boundary: "harness" };
    const adapters = {};
    for (const [index, path] of (files.adapters ?? []).entries()) adapters[index] = await model.loadAdapter(path);
    await collect(model.score(requests.slice(0, 1), options));
    const run = {
      together: () => collect(model.score(requests, { ...options, adapters })),
      apart: async () => {
        const all = [];
        for (const [name, adapter] of Object.entries(adapters))
          all.push(...(await collect(model.score(requests, { ...options, adapters: { [name]: adapter } }))));
        return all;
      },
    }[settings.adapters ?? ""];
    return async () => {
      const results = await (run ?? (() => collect(model.score(requests, options))))();
      const answer_tokens = results.map(({ tokens }) => tokens);
      const tokens = answer_tokens.reduce((sum, count) => sum + count, 0);
      const requestsDone = requests.length * Math.max(1, Object.keys(adapters).length);
      return {
        work: settings.unit === "tokens" ? tokens : requestsDone,
        answers: results.map(({ logprob }) => logprob),
        answer_tokens,
      };
    };
  },

  async generate(model) {
    const prompts = await collect(readGenerationPrompts(files.input));
    const options = { maxNewTokens: settings.newTokens, ignoreEos: true };
    await collect(model.generate(prompts.slice(0, 1), { ...options, maxNewTokens: 2 }));
    return async () => {
      const results = [];
      for (let at = 0; at < prompts.length; at += settings.together)
        results.push(...(await collect(model.generate(prompts.slice(at, at + settings.together), options))));
      return { work: prompts.length * settings.newTokens, answers: results.map(({ tokens }) => tokens) };
    };
  },
};

async function main() {
  const model = await openModel(files.gguf, { device: "cpu", threads, compute });
  try {
    const job = await JOBS[settings.job](model);
    const startup_seconds = performance.now() / 1000; // since the process began
    const started = performance.now();
    const done = await job();
    const seconds = (performance.now() - started) / 1000;
    return { seconds, startup_seconds, peak_rss_bytes: process.resourceUsage().maxRSS * 1024, ...done };
  } finally {
    await model.dispose();
  }
}

try {
  console.log(JSON.stringify(await main()));
} catch (error) {
  if (error.code !== "ERR_UNSUPPORTED" || compute === "float32") throw error;
  console.log(JSON.stringify({ left_out: error.message }));
}
