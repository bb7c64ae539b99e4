/** The one call that a request makes: POST /rest/v1/rpc/<function>, as the caller. */
import { type Connection, createConnections } from "./connections.ts";
import type { Config } from "./env.ts";

export interface RpcCall {
  readonly rpc: string;
  /** JSON text of the arguments. */
  readonly args: string;
}

export interface RpcRequest extends RpcCall {
  readonly requestId: string;
  /** The client's headers, of which a few travel on. */
  readonly client: Headers;
  /** The client's key, from the header or the query. */
  readonly apikey: string;
  readonly idempotencyKey: string | null;
}

/** What is asked of an answer's headers. */
export interface AnswerHeaders {
  get(name: string): string | null | undefined;
}

export interface RpcAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** The whole body: a connection that breaks in its middle is an error of ours, not a broken answer to the client. */
  readonly body: Uint8Array<ArrayBuffer>;
}

export type Rpc = (request: RpcRequest) => Promise<RpcAnswer>;

/** What the runtime has to reach PostgREST with. */
export interface Network {
  readonly fetch: typeof fetch;
  /** Absent where the runtime has no plain connections; then fetch does. */
  readonly connect?: ((to: { hostname: string; port: number }) => Promise<Connection>) | undefined;
}

type Send = (path: string, headers: Record<string, string>, body: string) => Promise<RpcAnswer>;

/** Longer than the database's own statement timeout (8 s), shorter than any gateway's patience. */
const TIMEOUT_MS = 20_000;
/**
 * PostgREST closes a connection on which it left more of a body unread than this, as it does with a forged token: the next
 * request on it would be lost.
 */
const MOST_LEFT_UNREAD = 8192;
const forwarded = ["authorization", "user-agent", "x-forwarded-for"];

/**
 * Makes the client. Connections are kept alive: by the platform's fetch, or, where PostgREST's own address is known, here.
 * @param config where PostgREST is
 * @param network the platform's fetch and connect, or a test's
 * @returns a function that rejects when PostgREST cannot be reached in time
 */
export function rpcClient(config: Config, network: Network): Rpc {
  const send =
    config.direct && network.connect !== undefined
      ? sendDirectly(config.restUrl, network.connect)
      : sendByFetch(config.restUrl, network.fetch);
  return async ({ rpc, args, requestId, client, apikey, idempotencyKey }) => {
    const headers: Record<string, string> = {
      "content-type": "application/json",
      accept: "application/json",
      apikey,
      "x-request-id": requestId,
    };
    for (const name of forwarded) {
      const value = client.get(name);
      if (value !== null) headers[name] = value;
    }
    if (idempotencyKey !== null) headers["idempotency-key"] = idempotencyKey;
    return await send(`/rpc/${rpc}`, headers, args);
  };
}

function sendByFetch(restUrl: string, send: typeof fetch): Send {
  return async (path, headers, body) => {
    // AbortSignal.timeout would hold its timer for the full time after every request: 190 MB against 120 MB under load.
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), TIMEOUT_MS);
    try {
      const init = { method: "POST", headers, body, redirect: "manual", signal: deadline.signal } as const;
      const response = await send(restUrl + path, init);
      const { ok, status, headers: answered } = response;
      return { ok, status, headers: answered, body: new Uint8Array(await response.arrayBuffer()) };
    } finally {
      clearTimeout(timer);
    }
  };
}

function sendDirectly(restUrl: string, connect: NonNullable<Network["connect"]>): Send {
  const { hostname, port, host, pathname } = new URL(restUrl);
  // A URL writes an IPv6 address in brackets.
  const to = { hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) };
  const connections = createConnections({ connect: () => connect(to), timeoutMs: TIMEOUT_MS });
  const base = pathname.replace(/\/$/, "");
  return async (path, headers, text) => {
    const body = new TextEncoder().encode(text);
    const request = requestBytes(`${base}${path}`, { host, ...headers }, body);
    const {
      status,
      headers: answered,
      body: answer,
    } = await connections.send(request, body.length > MOST_LEFT_UNREAD);
    return { ok: status >= 200 && status < 300, status, headers: answered, body: answer };
  };
}

/** What may stand in a header's value; a line break would begin another header. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * A POST as it is sent.
 * @throws TypeError for a value that no header may have, as fetch does
 */
export function requestBytes(
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
): Uint8Array {
  let head = `POST ${path} HTTP/1.1\r\ncontent-length: ${body.length}\r\n`;
  for (const [name, value] of Object.entries(headers)) {
    if (!HEADER_VALUE.test(value)) throw new TypeError(`the header ${name} cannot be sent`);
    head += `${name}: ${value}\r\n`;
  }
  head += "\r\n";
  const bytes = new Uint8Array(head.length + body.length);
  const { read } = new TextEncoder().encodeInto(head, bytes);
  // One byte per character: where UTF-8 takes two, the values are written again by their numbers.
  if (read < head.length || /[\x80-\xff]/.test(head)) {
    for (let at = 0; at < head.length; at++) bytes[at] = head.charCodeAt(at);
  }
  bytes.set(body, head.length);
  return bytes;
}
