// Passes requests to services that run inside this process.

import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CORS_HEADERS } from "./cors.ts";
import { requestHeaders } from "./headers.ts";

/** A service that runs inside this process and speaks the web's Request and Response. */
export type FetchHandler = (request: Request) => Promise<Response>;

/** What a fetch handler gets of a request. */
export interface Handed {
  /** The gateway's own. */
  origin: string;
  /** The canonical path and query. */
  path: string;
  /** Where the caller's own is not to be used. */
  authorization?: string | undefined;
  /** Where it was read already; the request has no other body then. `null`: none. */
  body?: string | Buffer | null;
  /** For a body that is passed on as it comes: called when it is longer than `limit` bytes. */
  limit?: number;
}

/** The client's body was longer than its limit. */
export class BodyTooLarge extends Error {}

/**
 * Serves one request by a fetch handler. Throws BodyTooLarge, and what the handler throws before it answers.
 */
export async function serveInProcess(
  request: IncomingMessage,
  response: ServerResponse,
  handler: FetchHandler,
  handed: Handed,
): Promise<void> {
  const { made, overrun } = fetchRequest(request, handed);
  const answer = await handler(made).catch((error: unknown) => {
    throw overrun() ? new BodyTooLarge() : error;
  });
  if (overrun()) throw new BodyTooLarge();
  await reply(response, answer);
}

/** The request as a fetch handler sees it, and whether its body turned out to be too long. */
export function fetchRequest(
  request: IncomingMessage,
  { origin, path, authorization, body, limit = Number.POSITIVE_INFINITY }: Handed,
): { made: Request; overrun: () => boolean } {
  const list = requestHeaders(request, authorization);
  const headers = new Headers();
  for (let i = 0; i < list.length; i += 2) {
    if (list[i]!.toLowerCase() !== "transfer-encoding") headers.append(list[i]!, list[i + 1]!);
  }
  if (body !== undefined) headers.delete("content-length");
  if (typeof body === "string") headers.set("content-type", "application/json");
  const hasBody = request.method !== "GET" && request.method !== "HEAD" && body !== null;
  let over = false;
  async function* counted(): AsyncGenerator<Buffer> {
    let size = 0;
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length;
      over = size > limit;
      if (over) throw new BodyTooLarge();
      yield chunk;
    }
  }
  const stream = () => Readable.toWeb(Readable.from(counted(), { objectMode: false })) as ReadableStream;
  const made = new Request(new URL(origin + path), {
    method: request.method ?? "GET",
    headers,
    ...(hasBody ? { body: (body ?? stream()) as BodyInit, duplex: "half" } : {}),
  });
  return { made, overrun: () => over };
}

/** Answers the client with a handler's answer. */
export async function reply(response: ServerResponse, answer: Response): Promise<void> {
  const list: string[] = [];
  for (const [name, value] of answer.headers) {
    if (!name.startsWith("access-control-")) list.push(name, value);
  }
  for (const [name, value] of CORS_HEADERS) list.push(name, value);
  response.writeHead(answer.status, list);
  if (answer.body && response.req.method !== "HEAD") {
    await pipeline(Readable.fromWeb(answer.body as Parameters<typeof Readable.fromWeb>[0]), response).catch(
      () => {
        response.destroy(); // the client left, or the handler's stream broke off
      },
    );
  } else {
    response.end();
  }
}
