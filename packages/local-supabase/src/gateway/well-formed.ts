/** What a request must be before it is routed: a method that is served, headers that can be read in one way only. */
import type { IncomingMessage } from "node:http";
import type { Fault } from "./target.ts";

export const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
const SERVED: ReadonlySet<string> = new Set(METHODS);

/** Headers of which programs read the first, the last or both joined: they may come once. */
const ONCE = new Set([
  "host",
  "authorization",
  "apikey",
  "content-type",
  "content-length",
  "content-encoding",
  "transfer-encoding",
  "content-profile",
  "accept-profile",
  "idempotency-key",
]);

/**
 * Judges method and headers. Bodies that are compressed are refused: no service here takes them, and a guard would read
 * other bytes than the service.
 * @returns why the request is refused; undefined where nothing is wrong with it
 */
export function faultOf(
  request: Pick<IncomingMessage, "method" | "rawHeaders" | "headers"> & { url?: string | undefined },
): Fault | undefined {
  if (!SERVED.has(request.method ?? ""))
    return {
      status: 405,
      field: "method",
      message: `The method ${request.method} is not supported`,
      cure: `Use one of ${METHODS.join(", ")}.`,
    };
  const repeated = repeatedHeader(request.rawHeaders);
  if (repeated !== undefined)
    return { field: repeated, message: `The header ${repeated} comes more than once`, cure: "Send it once." };
  const coding = request.headers["content-encoding"];
  const chunks = request.url?.startsWith("/storage/v1/s3/") ? "aws-chunked" : "identity"; // S3's framing of a body
  if (coding !== undefined && !["identity", chunks].includes(coding.trim().toLowerCase()))
    return {
      field: "content-encoding",
      message: "Compressed request bodies are not supported",
      cure: "Send the body without Content-Encoding.",
    };
  const transfer = request.headers["transfer-encoding"];
  if (transfer !== undefined && transfer.trim().toLowerCase() !== "chunked")
    return {
      field: "transfer-encoding",
      message: "Only chunked transfer encoding is supported",
      cure: "Send Content-Length, or Transfer-Encoding: chunked alone.",
    };
  return undefined;
}

function repeatedHeader(rawHeaders: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase();
    if (!ONCE.has(name)) continue;
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}

/**
 * The one token of an Authorization header: the scheme in any case, spaces, a token without spaces.
 * @returns undefined without the header, `"unreadable"` where it is another scheme or has something beside the token
 */
export function bearerOf(authorization: string | undefined): string | "unreadable" | undefined {
  if (authorization === undefined || authorization.trim() === "") return undefined;
  return /^bearer +([\x21-\x7e]+)$/i.exec(authorization.trim())?.[1] ?? "unreadable";
}
