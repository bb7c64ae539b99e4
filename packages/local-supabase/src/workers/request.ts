// Sends one queued HTTP request.

import { reasonOf } from "../errors.ts";

/** A row of net.http_request_queue. */
export interface QueuedRequest {
  id: string;
  method: string;
  url: string;
  headers: Record<string, unknown> | null;
  body: Uint8Array<ArrayBuffer> | null;
  timeout_milliseconds: number;
}

/** A row of net._http_response. */
export interface Answer {
  id: string;
  status_code: number | null;
  content_type: string | null;
  headers: Record<string, string> | null;
  content: string | null;
  timed_out: boolean;
  error_msg: string | null;
}

/** A response larger than this is refused, so that no answer can fill the stack's memory. */
export const MAX_RESPONSE_BYTES = 10 * 1024 * 1024;

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_RESPONSE_BYTES) throw new Error(`the response is larger than ${MAX_RESPONSE_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8").replaceAll("\0", ""); // PostgreSQL's text has no NUL
}

/** Why a fetch failed: undici hides the reason in `cause`. */
function failure(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error
    ? cause.message || String(("code" in cause && cause.code) || cause)
    : reasonOf(error);
}

/** Sends a queued request, following redirects. Never throws: what goes wrong becomes part of the answer. */
export async function sendRequest(request: QueuedRequest, stop: AbortSignal): Promise<Answer> {
  const none = { id: request.id, status_code: null, content_type: null, headers: null, content: null };
  const timeout = AbortSignal.timeout(Math.max(1, request.timeout_milliseconds));
  try {
    const headers = new Headers({ "user-agent": "pg_net/0.20.0" });
    for (const [name, value] of Object.entries(request.headers ?? {})) headers.set(name, String(value));
    const response = await fetch(request.url, {
      method: request.method.toUpperCase(),
      headers,
      body: request.body,
      redirect: "follow",
      signal: AbortSignal.any([timeout, stop]),
    });
    return {
      id: request.id,
      status_code: response.status,
      content_type: response.headers.get("content-type"),
      headers: Object.fromEntries(response.headers),
      content: await readText(response),
      timed_out: false,
      error_msg: null,
    };
  } catch (error) {
    if (timeout.aborted) {
      return {
        ...none,
        timed_out: true,
        error_msg: `Timeout of ${request.timeout_milliseconds} ms reached.`,
      };
    }
    return { ...none, timed_out: false, error_msg: failure(error) };
  }
}
