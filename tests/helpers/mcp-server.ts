// An MCP server made with the official SDK, on a free port of this machine. A test may answer a request in its place.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import {
  createMcpHandler,
  McpServer,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import { z } from "zod";

/**
 * stateless: protocol 2026-07-28; session and session-json: 2025-11-25 with a session id, answers as events or as JSON.
 */
export type McpMode = "stateless" | "session" | "session-json";

export interface McpRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** The method of the message, such as tools/call. */
  readonly rpc: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: a JSON body whose shape the test asserts
  readonly body: any;
}

export interface RunningMcpServer extends AsyncDisposable {
  /** `host:port`. */
  readonly host: string;
  readonly url: string;
  readonly requests: McpRequest[];
  /** Forgets every session, as a restart does. */
  restart(): void;
  /** Answers in the server's place, except where it returns false; undefined: the server answers everything. */
  instead: ((request: McpRequest, response: ServerResponse) => unknown) | undefined;
}

/** What a server offers where a test says nothing else: two tools, one of them read-only. */
export function defaultTools(server: McpServer): void {
  server.registerTool(
    "add",
    {
      description: "Adds two numbers.",
      inputSchema: z.object({ a: z.number(), b: z.number() }),
      annotations: { readOnlyHint: true },
    },
    async ({ a, b }) => ({ content: [{ type: "text", text: String(a + b) }] }),
  );
  server.registerTool(
    "order",
    { description: "Orders a thing.", inputSchema: z.object({ thing: z.string() }) },
    async ({ thing }) => ({ content: [{ type: "text", text: `ordered ${thing}` }] }),
  );
}

/** Starts it. */
export async function startMcpServer(
  mode: McpMode,
  offer: (server: McpServer) => void = defaultTools,
): Promise<RunningMcpServer> {
  const make = () => {
    const server = new McpServer({ name: "test", version: "1.0.0" });
    offer(server);
    return server;
  };
  const stateless = createMcpHandler(make);
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>();
  const open = async () => {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: mode === "session-json",
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    await make().connect(transport);
    return transport;
  };
  const answer = async (request: Request): Promise<Response> => {
    if (mode === "stateless") return stateless.fetch(request);
    const id = request.headers.get("mcp-session-id");
    if (id !== null && !sessions.has(id)) return Response.json({ error: "unknown session" }, { status: 404 });
    return (sessions.get(id ?? "") ?? (await open())).handleRequest(request);
  };
  const requests: McpRequest[] = [];
  const server = createServer(async (incoming, response) => {
    const bytes = await buffer(incoming);
    const seen = describe(incoming, bytes);
    requests.push(seen);
    if (running.instead !== undefined && running.instead(seen, response) !== false) return;
    await pass(await answer(asRequest(incoming, bytes, running.url)), response);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const running: RunningMcpServer = {
    host,
    url: `http://${host}/mcp`,
    requests,
    restart: () => sessions.clear(),
    instead: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await stateless.close();
    },
  };
  return running;
}

function describe({ headers, method = "" }: IncomingMessage, bytes: Buffer): McpRequest {
  const body: unknown = bytes.length === 0 ? undefined : JSON.parse(bytes.toString());
  return { method, headers, body, rpc: (body as { method?: string } | undefined)?.method };
}

function asRequest({ headers, method = "GET" }: IncomingMessage, bytes: Buffer, url: string): Request {
  const given = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return new Request(url, {
    method,
    headers: given,
    ...(bytes.length > 0 && { body: new Uint8Array(bytes) }),
  });
}

async function pass(answered: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answered.status, Object.fromEntries(answered.headers));
  if (answered.body === null) response.end();
  else Readable.fromWeb(answered.body as Parameters<typeof Readable.fromWeb>[0]).pipe(response);
}
