/**
 * Programs that end, or lose sight of a model, while it works. lifecycle.test.ts runs each in a process of its own:
 *
 *     node lifecycle-program.js NAME
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { native } from "#lib/native.js";
import { ADAMW, CONFIG, forestOf, LONG, LORA, LOSS, OPTIONS, openTiny, pairOf, SHORT, TENSORS } from "./tiny-model.js";

const say = (text: string) => process.stdout.write(`${text}\n`);
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const collect = globalThis.gc ?? (() => {});

/** Threads of this process. */
async function threads(): Promise<number> {
  const { readFile } = await import("node:fs/promises");
  return Number(/^Threads:\s+(\d+)/m.exec(await readFile("/proc/self/status", "utf8"))?.[1]);
}

async function startTraining() {
  const model = await openTiny();
  const adapter = await model.createAdapter(LORA);
  const trainer = await model.createTrainer(adapter, { recompute: "auto" });
  await trainer.accumulate(pairOf(adapter, 8), LOSS);
  await trainer.step(ADAMW);
  return trainer.accumulate(pairOf(adapter, 500), LOSS);
}

async function endWorkers(end: (worker: Worker) => Promise<unknown>, job: string) {
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: job });
    await new Promise((resolve) => worker.once("message", resolve));
    await pause(20 * round);
    await end(worker);
  }
  const model = await openTiny();
  say(`still works: ${(await model.score(SHORT)).logprobs.length}`);
}

const programs: Record<string, () => Promise<unknown>> = {
  async "exit while scoring"() {
    const model = await openTiny();
    model.score(LONG);
    model.score(LONG);
    await pause(50);
    process.exit(7);
  },
  async "exit while training"() {
    startTraining();
    await pause(150);
    process.exit(7);
  },
  async "exit while opening"() {
    native.openModel(CONFIG, TENSORS, OPTIONS);
    process.exit(7);
  },
  async "exit from progress"() {
    const model = await openTiny();
    const request = {
      prompts: [Int32Array.of(1, 2, 3)],
      adapters: Int32Array.of(0),
      samples: 1,
      maxNewTokens: 400,
      temperature: 0,
      topK: 0,
      topP: 1,
      seed: 0,
      streams: Int32Array.of(0),
      stopTokens: new Int32Array(),
    };
    await model.generate(request, undefined, () => process.exit(7));
  },
  async "uncaught exception while scoring"() {
    const model = await openTiny();
    model.score(LONG);
    setTimeout(() => {
      throw new Error("nobody catches this");
    }, 50);
  },
  async "leave a model idle"() {
    const model = await openTiny();
    await model.score(SHORT);
    process.on("exit", () => say(`idle ${model.isa}`));
  },
  async "wait for nothing but a promise"() {
    const model = await openTiny();
    model.score(forestOf(4, 200)).then(() => say("settled"));
  },
  async "forget a model that works"() {
    const work = await (async () => (await openTiny()).score(forestOf(4, 200)))
      .call(null)
      .then((scores) => scores.logprobs.length);
    say(`scores ${work}`);
  },
  async "collect a model that works"() {
    const start = async () => {
      const model = await openTiny();
      return { promise: model.score(forestOf(4, 200)), gone: new WeakRef(model) };
    };
    const { promise, gone } = await start();
    let waiting = true;
    const scores = promise.finally(() => {
      waiting = false;
    });
    while (waiting) {
      collect();
      await pause(5);
    }
    say(`scores ${(await scores).logprobs.length}, collected ${gone.deref() === undefined}`);
  },
  async "collect a trainer that works"() {
    const promise = startTraining();
    let waiting = true;
    promise.finally(() => {
      waiting = false;
    });
    while (waiting) {
      collect();
      await pause(5);
    }
    say(`pairs ${(await promise).loss.length}`);
  },
  async "forget many models"() {
    const before = await threads();
    // In a function of its own: this one's registers would keep the last model alive.
    const useOne = async (dispose: boolean) => {
      const model = await openTiny();
      await model.score(SHORT);
      if (dispose) await model.dispose();
    };
    for (let i = 0; i < 60; i++) await useOne(i % 2 === 0);
    for (let i = 0; i < 20; i++) {
      collect();
      await pause(10);
    }
    say(`threads left: ${(await threads()) - before}`);
  },
  "terminate workers that score": () => endWorkers((worker) => worker.terminate(), "score"),
  "terminate workers that train": () => endWorkers((worker) => worker.terminate(), "train"),
  "exit from workers that score": () =>
    endWorkers((worker) => {
      worker.postMessage("exit");
      return new Promise((resolve) => worker.once("exit", resolve));
    }, "score"),
  async "exit while workers score"() {
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: "score" });
      await new Promise((resolve) => worker.once("message", resolve));
    }
    process.exit(7);
  },
};

async function workerJob(job: string) {
  parentPort!.on("message", () => process.exit(0));
  if (job === "train") {
    const training = startTraining();
    parentPort!.postMessage("started");
    await training;
  } else {
    const model = await openTiny();
    const scores = model.score(LONG);
    parentPort!.postMessage("started");
    await scores;
  }
}

if (isMainThread) await programs[process.argv[2]!]!();
else await workerJob(workerData as string);
