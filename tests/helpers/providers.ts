// Local stand-ins for the three providers, speaking their wire formats, so that real SDKs can be tested against them.
// One server serves all three; what it answers is decided by a function of what was asked, and every request is kept.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Streamed, stream } from "./provider-streams.ts";

export type Provider = "openai" | "anthropic" | "google";

/** What an SDK asked, brought to one form. */
export interface Asked {
  readonly provider: Provider;
  readonly path: string;
  readonly model: string;
  /** The instructions sent apart from the messages. */
  readonly system: string;
  readonly messages: readonly { role: string; text: string }[];
  /** The key as the provider reads it. */
  readonly key: string;
  readonly body: Record<string, unknown>;
}

/** A reply's text, or what to stream, or an HTTP failure, or bytes that are no answer. */
export type Answer =
  | string
  | Streamed
  | { readonly status: number; readonly headers?: Record<string, string>; readonly message?: string }
  | {
      readonly raw: string | Uint8Array /** The connection breaks before the end that was announced. */;
      readonly breaks?: true;
    };

export type Answering = (asked: Asked) => Answer | Promise<Answer>;

export interface ProviderStub extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly requests: Asked[];
  /** The variables that point an agent at the stub, keys included. */
  readonly environment: Record<string, string>;
  answer: Answering;
  close(): Promise<void>;
}

/** Answers with the last message in quotes and the number of messages seen: enough to see that memory is passed on. */
export const echo: Answering = ({ messages }) =>
  `You said "${messages.at(-1)?.text ?? ""}" (message ${messages.filter(({ role }) => role === "user").length})`;

/** Starts a stub on a free loopback port. */
export async function startProviderStub(answer: Answering = echo, port = 0): Promise<ProviderStub> {
  const requests: Asked[] = [];
  const server = createServer((request, response) => {
    serve(request, response, stub).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  const url = `http://127.0.0.1:${bound}`;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const stub: ProviderStub = {
    url,
    port: bound,
    requests,
    environment: {
      OPENAI_API_KEY: "sk-stub-openai",
      OPENAI_BASE_URL: `${url}/openai/v1`,
      ANTHROPIC_API_KEY: "sk-stub-anthropic",
      ANTHROPIC_BASE_URL: `${url}/anthropic/v1`,
      GOOGLE_GENERATIVE_AI_API_KEY: "stub-google-key",
      GOOGLE_GENERATIVE_AI_BASE_URL: `${url}/google/v1beta`,
    },
    answer,
    close,
    [Symbol.asyncDispose]: close,
  };
  return stub;
}

async function serve(request: IncomingMessage, response: ServerResponse, stub: ProviderStub): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const path = new URL(request.url ?? "/", stub.url).pathname;
  const text = Buffer.concat(chunks).toString();
  const body: Record<string, unknown> = text === "" ? {} : JSON.parse(text);

  if (path.endsWith("/embeddings")) return json(response, 200, embeddings(body));
  if (request.method === "GET" && path.endsWith("/models"))
    return json(response, 200, { object: "list", data: [] });

  const form = forms.find(({ matches }) => matches.test(path));
  if (!form) return json(response, 404, { error: { message: `nothing at ${path}` } });
  const asked: Asked = { provider: form.provider, path, body, ...form.read(body, request, path) };
  stub.requests.push(asked);
  const answer = await stub.answer(asked);
  if (response.destroyed) return;
  const streams = body.stream === true || path.endsWith(":streamGenerateContent");
  if (typeof answer === "string") {
    if (streams) return stream(response, asked, { pieces: answer.match(/\S+\s*|\s+/g) ?? [] });
    return json(response, 200, form.write(answer, asked));
  }
  if ("pieces" in answer) {
    if (streams) return stream(response, asked, answer);
    return json(response, 400, { error: { message: "this answer is a stream" } });
  }
  if ("raw" in answer) {
    const type = streams ? "text/event-stream" : "application/json";
    if (answer.breaks === undefined)
      return void response.writeHead(200, { "content-type": type }).end(answer.raw);
    response.writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(answer.raw) + 1 });
    response.write(answer.raw, () => response.destroy());
    return;
  }
  const message = answer.message ?? `stubbed ${answer.status}`;
  json(
    response,
    answer.status,
    { type: "error", error: { message, type: "stubbed", code: answer.status } },
    answer.headers,
  );
}

function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

interface Form {
  readonly provider: Provider;
  readonly matches: RegExp;
  read(
    body: Record<string, unknown>,
    request: IncomingMessage,
    path: string,
  ): Omit<Asked, "provider" | "path" | "body">;
  write(text: string, asked: Asked): unknown;
}

const bearer = (request: IncomingMessage) => (request.headers.authorization ?? "").replace(/^Bearer /, "");
const header = (request: IncomingMessage, name: string) => String(request.headers[name] ?? "");

/** Text of a content that is a string or a list of parts with a text. */
function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part: { text?: string }) => part.text ?? "").join("");
}

function toMessages(list: unknown, contentKey = "content"): { role: string; text: string }[] {
  if (!Array.isArray(list)) return [];
  return list.map((item: Record<string, unknown>) => ({
    role: String(item.role),
    text: textOf(item[contentKey]),
  }));
}

/** Splits off the messages that are instructions in the formats that send them in line. */
function splitSystem(all: { role: string; text: string }[]) {
  const isSystem = ({ role }: { role: string }) => role === "system" || role === "developer";
  return {
    system: all
      .filter(isSystem)
      .map(({ text }) => text)
      .join("\n"),
    messages: all.filter((message) => !isSystem(message)),
  };
}

const forms: readonly Form[] = [
  {
    provider: "openai",
    matches: /\/chat\/completions$/,
    read: (body, request) => ({
      model: String(body.model),
      key: bearer(request),
      ...splitSystem(toMessages(body.messages)),
    }),
    write: (text, { model }) => ({
      id: "chatcmpl-stub",
      object: "chat.completion",
      created: 1_700_000_000,
      model,
      choices: [
        { index: 0, message: { role: "assistant", content: text }, finish_reason: "stop", logprobs: null },
      ],
      usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 },
    }),
  },
  {
    provider: "openai",
    matches: /\/responses$/,
    read: (body, request) => {
      const all =
        typeof body.input === "string" ? [{ role: "user", text: body.input }] : toMessages(body.input);
      const { system, messages } = splitSystem(all);
      const instructions = typeof body.instructions === "string" ? body.instructions : "";
      return { model: String(body.model), key: bearer(request), messages, system: instructions || system };
    },
    write: (text, { model }) => ({
      id: "resp_stub",
      object: "response",
      created_at: 1_700_000_000,
      status: "completed",
      error: null,
      incomplete_details: null,
      model,
      output: [
        {
          id: "msg_stub",
          type: "message",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text, annotations: [] }],
        },
      ],
      usage: {
        input_tokens: 11,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: 7,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 18,
      },
    }),
  },
  {
    provider: "anthropic",
    matches: /\/messages$/,
    read: (body, request) => ({
      model: String(body.model),
      key: header(request, "x-api-key"),
      system: textOf(body.system),
      messages: toMessages(body.messages),
    }),
    write: (text, { model }) => ({
      id: "msg_stub",
      type: "message",
      role: "assistant",
      model,
      content: [{ type: "text", text }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 11, output_tokens: 7 },
    }),
  },
  {
    provider: "google",
    matches: /:(generateContent|streamGenerateContent)$/,
    read: (body, request, path) => ({
      model: path.split("/").at(-1)?.split(":")[0] ?? "",
      key: header(request, "x-goog-api-key"),
      system: textOf((body.systemInstruction as { parts?: unknown } | undefined)?.parts),
      messages: toMessages(body.contents, "parts"),
    }),
    write: (text, { model }) => ({
      candidates: [{ content: { role: "model", parts: [{ text }] }, finishReason: "STOP", index: 0 }],
      usageMetadata: { promptTokenCount: 11, candidatesTokenCount: 7, totalTokenCount: 18 },
      modelVersion: model,
      responseId: "stub",
    }),
  },
];

/** OpenAI embeddings of the asked-for size, the same for the same text. */
function embeddings(body: Record<string, unknown>) {
  const inputs = Array.isArray(body.input) ? body.input : [body.input];
  const size = typeof body.dimensions === "number" ? body.dimensions : 1536;
  return {
    object: "list",
    model: body.model,
    data: inputs.map((input, index) => {
      const seed = [...String(input)].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 9973, 7);
      const embedding = Array.from({ length: size }, (_, place) => Math.sin(seed * (place + 1)));
      return { object: "embedding", index, embedding };
    }),
    usage: { prompt_tokens: 3, total_tokens: 3 },
  };
}

// As a process: `node tests/helpers/providers.ts [port]` prints one JSON line with the variables and echoes.
if (import.meta.main) {
  const stub = await startProviderStub(echo, Number(process.argv[2] ?? 0));
  process.stdout.write(`${JSON.stringify({ url: stub.url, environment: stub.environment })}\n`);
  const stop = () => void stub.close();
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}
