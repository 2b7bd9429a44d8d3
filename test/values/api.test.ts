/** The api extractor against a server on this machine that is slow, wrong, overloaded, broken or gone. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ApiError, CancelledError, UsageError } from "#lib/errors.js";
import type { ApiOptions } from "#lib/values/api/chat.js";
import { openApi } from "#lib/values/api/extractor.js";
import { readRetryAfter } from "#lib/values/api/http.js";
import { apiKey } from "#lib/values/api/key.js";
import { readAnswer } from "#lib/values/api/question.js";
import { estimateAsking } from "#lib/values/estimate.js";
import type { Scores } from "#lib/values/extractor.js";
import { labelPairs } from "#lib/values/label-pairs.js";
import { type Answer, type ApiServer, startApiServer, withApiServer } from "./api-server.js";
import { collect, exchange, pair, value } from "./support.js";

const VALUES = [value("warm"), value("cold")];
const KEY = "sk-test-3f9a7c";

const open = (server: Pick<ApiServer, "url">, more: Partial<ApiOptions> = {}) =>
  openApi(VALUES, { url: server.url, model: "m", key: KEY, firstDelayMs: 1, ...more });

async function scoreOne(server: ApiServer, more: Partial<ApiOptions> = {}, response = "so warm"): Promise<unknown> {
  const [scores] = await open(server, more).score([exchange(response)], VALUES, {});
  return scores;
}

/** Answers the first requests as listed, and all others well. */
const first =
  (...answers: Answer[]): Answer =>
  (asked, reply, index) =>
    answers[index] === undefined ? reply.score() : answers[index](asked, reply, index);

const always =
  (status: number, body: unknown = {}, headers: Record<string, string> = {}): Answer =>
  (_, reply) =>
    reply.status(status, body, headers);

describe("the api extractor", () => {
  test("asks for all values in one question with a schema, and reads the scores", async () => {
    await withApiServer(first(), async (server) => {
      assert.deepEqual(await scoreOne(server), { warm: 1 });
      const [asked] = server.asked;
      assert.equal(server.asked.length, 1);
      assert.equal(asked?.path, "/v1/chat/completions");
      assert.equal(asked?.authorization, `Bearer ${KEY}`);
      assert.equal(asked?.body.model, "m");
      assert.deepEqual(asked?.body.response_format?.json_schema.schema.required, ["warm", "cold"]);
      assert.match(asked?.body.messages[0]?.content ?? "", /- cold: The response is about cold\./);
      assert.match(asked?.body.messages[1]?.content ?? "", /<conversation>\nQ\n<\/conversation>/);
      assert.equal(asked?.response, "so warm");
    });
  });

  test("sends no authorization where there is no key, and takes the full address too", async () => {
    await withApiServer(first(), async (server) => {
      await scoreOne(server, { key: null, url: `${server.url}/chat/completions` });
      assert.equal(server.asked[0]?.authorization, undefined);
      assert.equal(server.asked[0]?.path, "/v1/chat/completions");
    });
  });

  test("keeps as many requests under way as it may, of a slow server, and labels in order", async () => {
    const slow: Answer = async (_, reply, index) => {
      await new Promise((resolve) => setTimeout(resolve, index % 3 === 0 ? 40 : 10));
      reply.score();
    };
    await withApiServer(slow, async (server) => {
      const pairs = Array.from({ length: 20 }, (_, i) => pair(`p${i}`, `warm ${i}`, `cold ${i}`));
      const labelled = await collect(labelPairs(pairs, open(server, { concurrency: 3 }), { values: VALUES }));
      assert.deepEqual(
        labelled.map(({ id, values }) => ({ id, values })),
        pairs.map(({ id }) => ({ id, values: { chosen: ["warm"], rejected: ["cold"] } })),
      );
      assert.equal(server.peak(), 3);
      assert.equal(server.asked.length, 40);
    });
  });

  test("asks again after 429, 500, 503, a dropped connection, one that drops half-way, and a body that is no JSON", async () => {
    const halfWay: Answer = (_, reply) => {
      reply.raw.writeHead(200, { "content-length": "500" });
      reply.raw.write('{"choices": [{"mess', () => reply.raw.destroy());
    };
    const dropped: Answer = (_, reply) => void reply.raw.destroy();
    const failures = [always(429), always(500), always(503), dropped, halfWay, always(200, "<html>busy</html>")];
    await withApiServer(first(...failures), async (server) => {
      assert.deepEqual(await scoreOne(server), { warm: 1 });
      assert.equal(server.asked.length, failures.length + 1);
      for (const { body } of server.asked) assert.deepEqual(body, server.asked[0]?.body);
    });
  });

  test("waits as long as Retry-After says, with every request", async () => {
    await withApiServer(first(always(429, {}, { "retry-after": "1" })), async (server) => {
      const extractor = open(server);
      const [one] = await Promise.all([
        extractor.score([exchange("warm")], VALUES, {}),
        new Promise((resolve) => setTimeout(resolve, 200)).then(() => extractor.score([exchange("cold")], VALUES, {})),
      ]);
      assert.deepEqual(one, [{ warm: 1 }]);
      const [refused, ...later] = server.asked.map(({ time }) => time);
      assert.equal(later.length, 2);
      for (const time of later) assert.ok(time - refused! >= 990, `${time - refused!} ms`);
    });
  });

  test("reads Retry-After as seconds or as a date", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    assert.equal(readRetryAfter("7", now), 7000);
    assert.equal(readRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", now), 30_000);
    assert.equal(readRetryAfter("Wed, 31 Dec 2025 23:00:00 GMT", now), 0);
    assert.equal(readRetryAfter("soon", now), null);
    assert.equal(readRetryAfter(null, now), null);
  });

  test("does not wait for a server that wants hours of quiet, and says so", async () => {
    await withApiServer(always(429, {}, { "retry-after": "7200" }), async (server) => {
      await assert.rejects(scoreOne(server), (error) => error instanceof ApiError && /120 minutes/.test(error.message));
      assert.equal(server.asked.length, 1);
    });
  });

  test("backs off longer from attempt to attempt", async () => {
    await withApiServer(first(...Array.from({ length: 4 }, () => always(500))), async (server) => {
      await scoreOne(server, { firstDelayMs: 40 });
      const times = server.asked.map(({ time }) => time);
      for (let i = 1; i < times.length; i++) {
        const gap = times[i]! - times[i - 1]!;
        assert.ok(gap >= 20 * 2 ** (i - 1) - 2, `attempt ${i + 1} came after ${gap} ms`);
      }
    });
  });

  test("gives a silent server up after the time-out, asks again, and blames the response at last", async () => {
    const silentForStone: Answer = (asked, reply) => {
      if (asked.response !== "stone") reply.score();
    };
    await withApiServer(silentForStone, async (server) => {
      const extractor = open(server, { timeoutSeconds: 0.2 });
      assert.deepEqual(await extractor.score([exchange("warm")], VALUES, {}), [{ warm: 1 }]);
      const [failed] = await extractor.score([exchange("stone")], VALUES, {});
      assert.ok(failed instanceof ApiError);
      assert.match(failed.message, /pair "p", chosen response: .*no answer within 0\.2 s, at the last of 8 attempts/);
      // On a busy machine the answer to the first may come too late as well, and is asked for again.
      assert.equal(server.asked.filter(({ response }) => response === "stone").length, 8);
    });
  });

  test("takes the endpoint to be at fault after three responses in a row without an answer", async () => {
    await withApiServer(
      first((_, reply) => reply.score(), ...Array(100).fill(always(500))),
      async (server) => {
        const extractor = open(server);
        const ask = (text: string) => extractor.score([exchange(text)], VALUES, {});
        await ask("a");
        assert.ok((await ask("b"))[0] instanceof ApiError);
        assert.ok((await ask("c"))[0] instanceof ApiError);
        await assert.rejects(ask("d"), ApiError);
      },
    );
  });

  test("ends the run where the endpoint is gone, refuses the key, or the account is used up", async () => {
    const cases: [Answer, number, RegExp][] = [
      [always(401, { error: { message: `Incorrect API key provided: ${KEY}` } }), 1, /401 .*\[key\].*not accepted/],
      [always(403), 1, /403/],
      [always(404, { error: "no such model" }), 1, /no such model.*--api-model/],
      [always(429, { error: { code: "insufficient_quota", message: "pay" } }), 1, /used up/],
      [always(402), 1, /402 .*used up/],
      [always(308, {}, { location: "http://elsewhere" }), 1, /moved/],
      [always(503), 8, /503 .*kept/],
    ];
    for (const [answer, requests, message] of cases)
      await withApiServer(answer, async (server) => {
        await assert.rejects(scoreOne(server), (error) => error instanceof ApiError && message.test(error.message));
        assert.equal(server.asked.length, requests, String(message));
      });
    const gone = await startApiServer(first());
    await gone.close();
    await assert.rejects(
      open(gone).score([exchange("x")], VALUES, {}),
      (error) =>
        error instanceof ApiError && /connection is refused, at the last of 3 .*check --api-url/.test(error.message),
    );
  });

  test("blames one response for a 400, and goes on with the others", async () => {
    const choosy: Answer = (asked, reply) =>
      asked.response === "bad" ? reply.status(400, { error: { message: "content filter" } }) : reply.score();
    await withApiServer(choosy, async (server) => {
      const answers = await open(server).score(
        ["warm", "bad", "cold"].map((text) => exchange(text)),
        VALUES,
        {},
      );
      assert.deepEqual([answers[0], answers[2]], [{ warm: 1 }, { cold: 1 }]);
      assert.match((answers[1] as Error).message, /content filter/);
      assert.equal(server.asked.length, 3);
    });
  });

  test("asks without schema or temperature where the server does not take them, says so once, and keeps to it", async () => {
    const old: Answer = ({ body }, reply) => {
      if (body.response_format !== undefined)
        return reply.status(400, { error: { message: "unknown field response_format" } });
      if (body.temperature !== undefined)
        return reply.status(400, { error: { message: "'temperature' does not support 0" } });
      reply.score();
    };
    await withApiServer(old, async (server) => {
      const notes: string[] = [];
      const extractor = open(server, { onNote: (note) => notes.push(note) });
      const ask = (text: string) => extractor.score([exchange(text)], VALUES, {});
      const answers = await Promise.all([ask("warm"), ask("cold")]);
      assert.deepEqual(answers, [[{ warm: 1 }], [{ cold: 1 }]]);
      const before = server.asked.length;
      assert.deepEqual(await ask("warm and cold"), [{ warm: 1, cold: 1 }]);
      assert.equal(server.asked.length, before + 1);
      assert.deepEqual(
        notes.map((note) => /"(\w+)"/.exec(note)?.[1]),
        ["response_format", "temperature"],
      );
    });
  });

  test("shows the model a wrong answer and asks again, twice; then it is an error of that response", async () => {
    await withApiServer(
      first((_, reply) => reply.say('{"warm": 7, "cold": 0}')),
      async (server) => {
        assert.deepEqual(await scoreOne(server), { warm: 1 });
        assert.equal(server.asked.length, 2);
        const added = server.asked[1]!.body.messages.slice(2);
        assert.equal(added[0]?.content, '{"warm": 7, "cold": 0}');
        assert.match(added[1]?.content ?? "", /warm/);
      },
    );
    await withApiServer(
      (_, reply) => reply.say(`I would rather not, ${KEY}`),
      async (server) => {
        const failed = await scoreOne(server);
        assert.ok(failed instanceof ApiError);
        assert.match(failed.message, /gave 3 answers .*no JSON object.*rather not, \[key\]/);
        assert.equal(server.asked.length, 3);
      },
    );
    await withApiServer(
      (_, reply) => reply.say('{"warm": 0.', "length"),
      async (server) => {
        assert.match(String(await scoreOne(server)), /cut at the server's limit/);
      },
    );
  });

  test("starts no more requests a minute than it may", async () => {
    await withApiServer(first(), async (server) => {
      const extractor = open(server, { requestsPerMinute: 1200 });
      const started = performance.now();
      await Promise.all(["a", "b", "c", "d"].map((text) => extractor.score([exchange(text)], VALUES, {})));
      const spread = Math.max(...server.asked.map(({ time }) => time)) - started;
      assert.ok(spread >= 3 * 50 - 3, `four requests within ${spread} ms`);
    });
  });

  test("stops at once when its signal is aborted: in an answer, and in a pause", async () => {
    for (const answer of [() => {}, always(429, {}, { "retry-after": "60" })] as Answer[])
      await withApiServer(answer, async (server) => {
        const controller = new AbortController();
        const call = open(server).score([exchange("x")], VALUES, { signal: controller.signal });
        setTimeout(() => controller.abort(), 150);
        const started = performance.now();
        await assert.rejects(call, CancelledError);
        assert.ok(performance.now() - started < 1500);
        assert.equal(server.asked.length, 1);
      });
  });
});

describe("an answer", () => {
  const read = (answer: string | null): Scores | string => {
    const reading = readAnswer(answer, VALUES);
    return reading.kind === "scores" ? reading.scores : reading.problem;
  };

  test("may have words, a code fence or thoughts around it, and say yes and no", () => {
    for (const answer of [
      '{"warm": 0.25, "cold": 0}',
      'Here:\n```json\n{"warm": 0.25, "cold": false}\n```\nDone.',
      '<think>{"warm": 1}? No.</think>{"warm": 0.25, "cold": "No", "mild": 3}',
    ])
      assert.deepEqual(read(answer), { warm: 0.25 }, answer);
    assert.deepEqual(read('{"warm": true, "cold": "yes"}'), { warm: 1, cold: 1 });
  });

  test("is wrong where a value is missing or no score, or there is no object", () => {
    assert.match(String(read('{"warm": 1}')), /cold: it is missing/);
    for (const score of ["1.5", "-0.1", "null", '"maybe"', "[1]", "1e999"])
      assert.match(String(read(`{"warm": ${score}, "cold": 0}`)), /^warm: /, score);
    for (const answer of [null, "", "yes", "[1, 0]", '{"warm": 1, "cold"', '{"warm": 1, cold: 0}'])
      assert.equal(typeof read(answer), "string", String(answer));
  });
});

describe("what surrounds the api extractor", () => {
  test("the key comes from VALORA_API_KEY, else OPENAI_API_KEY, and an impossible one is refused without being said", () => {
    assert.equal(apiKey({ VALORA_API_KEY: " a ", OPENAI_API_KEY: "b" }), "a");
    assert.equal(apiKey({ VALORA_API_KEY: "", OPENAI_API_KEY: "b" }), "b");
    assert.equal(apiKey({}), null);
    assert.throws(
      () => apiKey({ OPENAI_API_KEY: "se\ncret" }),
      (error) => error instanceof UsageError && /OPENAI_API_KEY/.test(error.message) && !/cret/.test(error.message),
    );
  });

  test("an address that is none or holds a secret is refused without being repeated", () => {
    for (const url of ["secret", "ftp://secret/v1", "https://me:secret@host/v1", "https://host/v1?key=secret"])
      assert.throws(
        () => openApi(VALUES, { url, model: "m", key: null }),
        (error) => error instanceof UsageError && /--api-url/.test(error.message) && !/secret/.test(error.message),
      );
  });

  test("a key that would travel in the clear to another machine is said", () => {
    const notesFor = (url: string, key: string | null): number => {
      let notes = 0;
      openApi(VALUES, { url, model: "m", key, onNote: () => notes++ });
      return notes;
    };
    assert.equal(notesFor("http://host.example/v1", KEY), 1);
    assert.equal(notesFor("http://host.example/v1", null), 0);
    assert.equal(notesFor("https://host.example/v1", KEY), 0);
    assert.equal(notesFor("http://localhost:8000/v1", KEY), 0);
  });

  test("settings change with address, model and values, and hold no key", () => {
    const settings = (more: Partial<ApiOptions>, values = VALUES): string =>
      JSON.stringify(openApi(values, { url: "https://host/v1", model: "m", key: KEY, ...more }).settings);
    const all = [
      settings({}),
      settings({ url: "https://other/v1" }),
      settings({ model: "n" }),
      settings({}, [value("warm")]),
      settings({}, [value("warm", "Another definition."), value("cold")]),
    ];
    assert.equal(new Set(all).size, all.length);
    assert.equal(settings({ concurrency: 9, timeoutSeconds: 5, requestsPerMinute: 3, key: null }), all[0]);
    for (const one of all) assert.ok(!one.includes(KEY));
  });

  test("the estimate counts different responses, and a quarter of the characters sent as tokens", async () => {
    await withApiServer(first(), async (server) => {
      const extractor = open(server);
      const pairs = [pair("a", "warm", "cold"), pair("b", "cold", "warm"), pair("c", "warm", "tepid")];
      async function* all() {
        yield* pairs;
      }
      const estimate = await estimateAsking(all(), extractor.sizeOf!, { values: VALUES, cache: null });
      assert.equal(estimate.requests, 3);
      await collect(labelPairs(pairs, extractor, { values: VALUES }));
      const sent = server.asked.reduce((sum, { body }) => sum + JSON.stringify(body).length / 4, 0);
      assert.equal(server.asked.length, 3);
      assert.ok(Math.abs(estimate.tokensIn - sent) <= 3, `${estimate.tokensIn} against ${sent}`);
      assert.equal(estimate.tokensOut, 3 * Math.ceil('{"warm":0.25,"cold":0.25}'.length / 4));
    });
  });
});
