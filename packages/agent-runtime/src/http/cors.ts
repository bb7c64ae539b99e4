// Which web pages may call the agent: those whose origin a key of the agent lists exactly, and all where it is public.
import type { IncomingMessage, ServerResponse } from "node:http";
import { AgentError } from "../errors.ts";
import type { Door } from "./door.ts";

/** A browser's question whether a page may ask. */
export const isPreflight = (request: IncomingMessage): boolean =>
  request.method === "OPTIONS" &&
  request.headers.origin !== undefined &&
  request.headers["access-control-request-method"] !== undefined;

/**
 * Answers a preflight.
 * @throws AgentError INSUFFICIENT_PERMISSIONS for an origin that no key lists; as the door
 */
export async function answerPreflight(
  request: IncomingMessage,
  response: ServerResponse,
  door: Door,
  methods: readonly string[],
): Promise<void> {
  const origin = request.headers.origin ?? "";
  response.setHeader("vary", "origin, access-control-request-method, access-control-request-headers");
  if (!(await door.welcomes(origin))) {
    throw new AgentError("INSUFFICIENT_PERMISSIONS", "No key of this agent lists this origin.");
  }
  response.writeHead(204, {
    "access-control-allow-origin": origin,
    "access-control-allow-methods": methods.join(", "),
    "access-control-allow-headers": "authorization, content-type, accept",
    "access-control-max-age": "600",
  });
  response.end();
}

/** Lets the page read the answer, also an error, where its origin is welcome. Never throws. */
export async function allowOrigin(
  request: IncomingMessage,
  response: ServerResponse,
  door: Door,
): Promise<void> {
  const { origin } = request.headers;
  if (response.headersSent || isPreflight(request)) return;
  response.setHeader("vary", "origin");
  if (origin === undefined || response.hasHeader("access-control-allow-origin")) return;
  const welcome = await door.welcomes(origin).catch(() => false);
  if (!welcome || response.headersSent) return;
  response.setHeader("access-control-allow-origin", origin);
  response.setHeader("access-control-expose-headers", "retry-after");
}
