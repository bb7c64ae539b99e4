/** Serves a request with a body that was read here, and refuses those that cannot be read. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { refuse } from "../replies.ts";
import type { Route } from "../routes.ts";
import type { Arrivals } from "./arrival.ts";
import { readBody, readJson } from "./read.ts";

interface Reading {
  route: Route;
  /** Bytes. */
  limit: number;
  arrivals: Arrivals;
}

/** Has `serve` answer with the whole body; answers itself where it is too long or there is no room for it. */
export async function withBody(
  request: IncomingMessage,
  response: ServerResponse,
  { route, limit, arrivals }: Reading,
  serve: (bytes: Buffer) => void | Promise<void>,
): Promise<void> {
  const read = await readBody(request, limit, arrivals);
  if (typeof read === "string") return refuse(request, response, route, read);
  try {
    await serve(read.bytes);
  } finally {
    read.release();
  }
}

/** As withBody, with the canonical text of a JSON body; null without a body. */
export async function withJson(
  request: IncomingMessage,
  response: ServerResponse,
  reading: Reading,
  serve: (body: string | null) => void | Promise<void>,
): Promise<void> {
  await withBody(request, response, reading, async (bytes) => {
    if (bytes.length === 0) return await serve(null);
    const read = readJson(bytes);
    if ("cure" in read) return refuse(request, response, reading.route, read);
    await serve(JSON.stringify(read.value));
  });
}
