import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CORS_HEADERS } from "./cors.ts";
import { requestHeaders } from "./headers.ts";

/** A service that runs inside this process and speaks the web's Request and Response. */
export type FetchHandler = (request: Request) => Promise<Response>;

/**
 * Serves one request by a fetch handler. Takes the gateway's origin, the path the handler sees and, where the
 * caller's own is not to be used, the Authorization header. Throws what the handler throws before it answers.
 */
export async function serveInProcess(
  request: IncomingMessage,
  response: ServerResponse,
  handler: FetchHandler,
  target: { origin: string; path: string; authorization?: string },
): Promise<void> {
  await reply(response, await handler(fetchRequest(request, target)));
}

/** The request as a fetch handler sees it; with `body` where the caller has read it already. */
export function fetchRequest(
  request: IncomingMessage,
  target: { origin: string; path: string; authorization?: string },
  body?: string,
): Request {
  const list = requestHeaders(request, target.authorization);
  const headers = new Headers();
  for (let i = 0; i < list.length; i += 2) {
    if (list[i]!.toLowerCase() !== "transfer-encoding") headers.append(list[i]!, list[i + 1]!);
  }
  const hasBody = request.method !== "GET" && request.method !== "HEAD";
  return new Request(new URL(target.path, target.origin), {
    method: request.method ?? "GET",
    headers,
    ...(hasBody ? { body: body ?? (Readable.toWeb(request) as ReadableStream), duplex: "half" } : {}),
  });
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
