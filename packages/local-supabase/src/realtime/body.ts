// Reads the body of an HTTP request to Realtime.
import type { IncomingMessage } from "node:http";

/**
 * Reads a body up to `limit` bytes; undefined when it is longer, or breaks off. What is beyond the limit is read and thrown
 * away (the gateway bounds it): a connection closed over unread bytes is reset, and the answer would be lost.
 */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  return new Promise((resolve) => {
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) chunks.push(chunk);
      else resolve(undefined);
    });
    request.once("end", () => resolve(size > limit ? undefined : Buffer.concat(chunks)));
    request.once("error", () => resolve(undefined));
    request.once("close", () => resolve(undefined));
  });
}
