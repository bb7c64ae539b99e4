/** The one call that a request makes: POST /rest/v1/rpc/<function>, as the caller. */
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

export interface RpcAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: Headers;
  /** The whole body: a connection that breaks in its middle is an error of ours, not a broken answer to the client. */
  readonly text: string;
}

export type Rpc = (request: RpcRequest) => Promise<RpcAnswer>;

/** Longer than the database's own statement timeout (8 s), shorter than any gateway's patience. */
const TIMEOUT_MS = 20_000;
const forwarded = ["authorization", "user-agent", "x-forwarded-for"];

/**
 * Makes the client. Connections are kept alive by the platform's fetch.
 * @param config where PostgREST is
 * @param send the platform's fetch, or a test's
 * @returns a function that rejects when PostgREST cannot be reached in time
 */
export function rpcClient(config: Config, send: typeof fetch = fetch): Rpc {
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
    // AbortSignal.timeout would hold its timer for the full time after every request: 190 MB against 120 MB under load.
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), TIMEOUT_MS);
    try {
      const response = await send(`${config.restUrl}/rpc/${rpc}`, {
        method: "POST",
        headers,
        body: args,
        redirect: "manual",
        signal: deadline.signal,
      });
      const { ok, status, headers: answered } = response;
      return { ok, status, headers: answered, text: await response.text() };
    } finally {
      clearTimeout(timer);
    }
  };
}
