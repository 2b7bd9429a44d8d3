/** A chat-completions server for tests: counts what it is asked, and answers as each test says. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  /** What stands between the response tags of the question. */
  response: string;
  body: {
    model: string;
    messages: { role: string; content: string }[];
    response_format?: { type: string; json_schema: { schema: { required: string[] } } };
    temperature?: number;
    max_tokens?: number;
    max_completion_tokens?: number;
    seed?: number;
    stop?: string[];
  };
  authorization: string | undefined;
  path: string;
  /** performance.now() */
  time: number;
}

/** Handles one request; `index` counts requests from 0. */
export type Answer = (asked: Asked, reply: Replies, index: number) => void | Promise<void>;

export interface Replies {
  /** A completion with this content; `tokens` is told as its length. */
  say(content: string | null, finishReason?: string, tokens?: number): void;
  /** A completion that scores every value 1 whose name stands in the response, others 0. */
  score(): void;
  status(status: number, body?: unknown, headers?: Record<string, string>): void;
  raw: ServerResponse;
}

export interface ApiServer {
  url: string;
  asked: Asked[];
  /** Most requests that were under way at once. */
  peak(): number;
  close(): Promise<void>;
}

export async function withApiServer(answer: Answer, body: (server: ApiServer) => Promise<void>): Promise<void> {
  const server = await startApiServer(answer);
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

/** On a free port of this machine. */
export async function startApiServer(answer: Answer): Promise<ApiServer> {
  const asked: Asked[] = [];
  let open = 0;
  let peak = 0;
  const http = createServer((request, response) => {
    peak = Math.max(peak, ++open);
    response.on("close", () => {
      open -= 1;
    });
    void readAsked(request).then((one) => {
      const index = asked.push(one) - 1;
      return answer(one, repliesTo(one, response), index);
    });
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1`,
    asked,
    peak: () => peak,
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
}

async function readAsked(request: IncomingMessage): Promise<Asked> {
  const time = performance.now();
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk as string;
  const body = JSON.parse(text) as Asked["body"];
  const question = body.messages[1]?.content ?? "";
  const response = /<response>\n([\s\S]*)\n<\/response>/.exec(question)?.[1] ?? "";
  return { response, body, authorization: request.headers.authorization, path: request.url ?? "", time };
}

function repliesTo({ response, body }: Asked, raw: ServerResponse): Replies {
  const status: Replies["status"] = (code, content = {}, headers = {}) => {
    raw.writeHead(code, { "content-type": "application/json", ...headers });
    raw.end(typeof content === "string" ? content : JSON.stringify(content));
  };
  const say: Replies["say"] = (content, finish_reason = "stop", tokens) =>
    status(200, {
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason }],
      ...(tokens === undefined ? {} : { usage: { completion_tokens: tokens } }),
    });
  const names = [...(body.messages[0]?.content ?? "").matchAll(/^- ([\w-]+): /gm)].map(([, name]) => name!);
  const score = (): void =>
    say(JSON.stringify(Object.fromEntries(names.map((name) => [name, response.includes(name) ? 1 : 0]))));
  return { say, score, status, raw };
}
