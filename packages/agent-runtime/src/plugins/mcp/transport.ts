// MCP's Streamable HTTP over the requests of tools: every request and redirect to an address that was judged, within time and size.
import { Buffer } from "node:buffer";
import { type createMCPClient, MCPClientError } from "@ai-sdk/mcp";
import { createParser } from "eventsource-parser";
import type { ExchangeResponse } from "../../abilities/tools/exchange.ts";
import { MAX_RESPONSE_BYTES, requestOutside } from "../../abilities/tools/request.ts";
import type { McpAddress } from "./address.ts";

type MCPTransport = Exclude<Parameters<typeof createMCPClient>[0]["transport"], { type: unknown }>;
type JSONRPCMessage = Parameters<MCPTransport["send"]>[0];
type SendOptions = Parameters<MCPTransport["send"]>[1];

/** A list of tools may be long: of each the client keeps little. */
const MAX_LIST_BYTES = 2 * 1024 * 1024;
const REJECTED = new Set([401, 403]);
/** From here on servers keep no sessions. */
const STATELESS = "2026-07-28";

/** What a server said instead of an answer, without any text of the server. */
export class McpRefusal extends Error {
  /** The HTTP status, where that is what went wrong. */
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}

/** The server knows the session no more; what was asked has not begun. */
export class SessionLost extends McpRefusal {}

export interface TransportOptions {
  readonly address: McpAddress;
  /** What it is called with; null: nothing. */
  readonly secret: string | null;
  readonly privateHosts: readonly string[];
}

/** One session with a server. Nothing is listened to between requests. */
export class GuardedTransport implements MCPTransport {
  readonly supportsProtocolVersionDiscovery = true;
  readonly waitsForProtocolVersionDiscovery = true;
  readonly supportsMcpToolParameterHeaders = true;
  protocolVersion?: string;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #options: TransportOptions;
  readonly #closing = new AbortController();
  #session: string | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {}

  /** Ends the session at the server too; a missing answer is ignored. */
  async close(options: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const signal = AbortSignal.any([AbortSignal.timeout(2_000), ...(options.signal ? [options.signal] : [])]);
    if (this.#session !== undefined) await this.#request("DELETE", undefined, {}, signal).catch(() => {});
    this.#closing.abort();
    this.onclose?.();
  }

  /**
   * Sends a message and hands on what the server answers to it.
   * @throws McpRefusal, MCPClientError (for which the client tries an older protocol), ToolError, or an error of the connection
   */
  async send(message: JSONRPCMessage, options: SendOptions = {}): Promise<void> {
    const id = "method" in message && "id" in message ? message.id : undefined;
    const method = "method" in message ? message.method : "";
    const reading = new Reading(id, (part) => this.onmessage?.(part));
    const signal = AbortSignal.any([this.#closing.signal, ...(options.signal ? [options.signal] : [])]);
    const headers = {
      ...(this.#isStateless() && id !== undefined && standardHeaders(message)),
      ...(this.#isStateless() && options.headers),
      ...(method !== "initialize" && this.#session !== undefined && { "mcp-session-id": this.#session }),
    };
    const begin = ({ headers: given }: Omit<ExchangeResponse, "body">) => {
      if (method === "initialize") this.#session = given["mcp-session-id"];
    };
    const response = await this.#request("POST", message, headers, signal, (part, head) => {
      begin(head); // before the client hears the answer: what it sends next belongs to the session
      return reading.take(part, head);
    });
    begin(response);
    if (response.status < 200 || response.status > 299) {
      if (!REJECTED.has(response.status) && reading.refusal(response.body)) return;
      throw this.#explain(response.status, method);
    }
    if (id !== undefined) reading.end(response);
  }

  #isStateless(): boolean {
    return this.protocolVersion === STATELESS;
  }

  #request(
    method: string,
    message: JSONRPCMessage | undefined,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
    onBody?: (part: Uint8Array, head: Omit<ExchangeResponse, "body">) => boolean,
  ): Promise<ExchangeResponse> {
    const { address, privateHosts, secret } = this.#options;
    const { host, protocol } = address.url;
    const lists = message !== undefined && "method" in message && message.method === "tools/list";
    return requestOutside(
      address.url,
      {
        method,
        headers: {
          ...headers,
          ...(secret !== null && {
            [address.header ?? "authorization"]: address.header ? secret : `Bearer ${secret}`,
          }),
          ...(this.protocolVersion !== undefined && { "mcp-protocol-version": this.protocolVersion }),
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
        },
        ...(message !== undefined && { body: Buffer.from(JSON.stringify(message)) }),
      },
      {
        privateHosts,
        signal,
        maxBytes: lists ? MAX_LIST_BYTES : MAX_RESPONSE_BYTES,
        mayFollow: (next) => next.host === host && next.protocol === protocol,
        ...(onBody && { onBody }),
      },
    );
  }

  #explain(status: number, method: string): Error {
    const { secretName } = this.#options.address;
    if (REJECTED.has(status)) {
      const cure =
        secretName === undefined
          ? "name the secret it needs behind its address, as #NAME"
          : `replace the secret ${secretName}`;
      return new McpRefusal(`the server rejected the call (HTTP ${status}): ${cure}`, status);
    }
    const message = `the server answered HTTP ${status}`;
    if (method === "server/discover") return new MCPClientError({ message, statusCode: status });
    const lost = this.#session !== undefined && (status === 404 || status === 400);
    return lost ? new SessionLost("the server forgot the session", status) : new McpRefusal(message, status);
  }
}

/** The headers by which gateways route requests of the stateless protocol. */
function standardHeaders(message: JSONRPCMessage): Record<string, string> {
  if (!("method" in message)) return {};
  const { name } = (message.params ?? {}) as { name?: unknown };
  return {
    "mcp-method": message.method,
    ...(message.method === "tools/call" && typeof name === "string" && { "mcp-name": headerValue(name) }),
  };
}

/** A text as a header's value; what no header can hold in the form that the protocol gives it. */
function headerValue(text: string): string {
  const plain = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !/^=\?base64\?.*\?=$/.test(text);
  return plain ? text : `=?base64?${Buffer.from(text).toString("base64")}?=`;
}

/** Reads what answers one message: JSON, or events of which one is the answer. */
class Reading {
  readonly #id: string | number | undefined;
  readonly #hand: (message: JSONRPCMessage) => void;
  readonly #decoder = new TextDecoder();
  readonly #parser = createParser({
    onEvent: ({ event, data }) => {
      if (event === undefined || event === "message") this.#take(data);
    },
  });
  #answered = false;

  constructor(id: string | number | undefined, hand: (message: JSONRPCMessage) => void) {
    this.#id = id;
    this.#hand = hand;
  }

  /** Takes a part of a stream; true when the answer was there: a server may keep the stream open. */
  take(part: Uint8Array, { headers, status }: Omit<ExchangeResponse, "body">): boolean {
    if (status !== 200 || !headers["content-type"]?.startsWith("text/event-stream")) return false;
    this.#parser.feed(this.#decoder.decode(part, { stream: true }));
    return this.#answered;
  }

  /** The whole response is there. Throws McpRefusal where it holds no answer. */
  end({ body, headers }: ExchangeResponse): void {
    const type = (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
    if (type === "application/json") this.#take(body);
    else this.#parser.reset({ consume: true }); // an end of the stream ends its last event
    if (this.#answered) return;
    if (type === "text/event-stream") throw new McpRefusal("the server's stream ended without an answer");
    throw new McpRefusal(
      type === "application/json"
        ? "the server's answer is not one of MCP"
        : "the address does not speak MCP: check it",
    );
  }

  /** Whether a refusal's body is an error that answers the message, which is then handed on. */
  refusal(body: string): boolean {
    this.#take(body);
    return this.#answered;
  }

  #take(text: string): void {
    for (const message of messagesIn(text)) {
      const isAnswer = !("method" in message);
      if (isAnswer && (this.#answered || String(message.id) !== String(this.#id))) continue;
      this.#answered ||= isAnswer;
      this.#hand(message as unknown as JSONRPCMessage);
    }
  }
}

/** The messages of a text; none where it holds no message. */
function messagesIn(text: string): Record<string, unknown>[] {
  try {
    const value: unknown = JSON.parse(text);
    return (Array.isArray(value) ? value : [value]).filter(
      (one): one is Record<string, unknown> =>
        typeof one === "object" &&
        one !== null &&
        one.jsonrpc === "2.0" &&
        ("result" in one || "error" in one || "method" in one),
    );
  } catch {
    return [];
  }
}
