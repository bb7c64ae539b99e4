// Reads the body of a message, and who signed it. What it may say is in message.ts.

import type { IncomingMessage } from "node:http";
import { AgentError } from "../errors.ts";
import { isGenuine } from "../signature.ts";

export const MAX_BODY_BYTES = 1024 * 1024;
const MAX_DISCARDED_BYTES = 8 * MAX_BODY_BYTES;

/**
 * Only JSON: a web page of another origin can send any other type without asking the browser first.
 * @throws AgentError UNSUPPORTED_MEDIA_TYPE
 */
export function requireJson(request: IncomingMessage): void {
  const type = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type === "application/json") return;
  throw new AgentError(
    "UNSUPPORTED_MEDIA_TYPE",
    "Send the message as JSON, with Content-Type: application/json.",
  );
}

/** Whether the platform signed these very bytes. */
export function isSigned(request: IncomingMessage, body: Buffer, messageKey: string | undefined): boolean {
  const get = (name: string) => String(request.headers[name] ?? "");
  return messageKey !== undefined && isGenuine(messageKey, { get }, body, Date.now());
}

/**
 * Reads on past the limit, discarding, so that a sender who is only a little over it gets to read the refusal.
 * @throws AgentError PAYLOAD_TOO_LARGE
 */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // The iterator must not destroy the request when the loop ends early: the answer goes over the same socket.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
    if (size > MAX_DISCARDED_BYTES) break;
  }
  if (size <= MAX_BODY_BYTES) return Buffer.concat(chunks);
  throw new AgentError("PAYLOAD_TOO_LARGE", `A body may have at most ${MAX_BODY_BYTES} bytes.`);
}
