/** The one reader of bodies that a guard or a service in this process reads. */
import type { IncomingMessage } from "node:http";
import type { Fault } from "../target.ts";
import { type Arrivals, hasBody, lengthOf } from "./arrival.ts";

/** What came of reading a body: its bytes, that it is too long, or that memory has no room for it now. */
export type Read = { bytes: Buffer; release: () => void } | "too_large" | "busy";

/** Reads a whole body up to `limit` bytes. The bytes count against what may be held until `release`. */
export async function readBody(
  request: IncomingMessage,
  limit: number,
  { here }: Pick<Arrivals, "here">,
): Promise<Read> {
  if (!hasBody(request)) return { bytes: Buffer.alloc(0), release: () => {} };
  const length = lengthOf(request.headers);
  if (length > limit) return "too_large";
  const release = here(length || limit);
  if (!release) return "busy";
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // Listened to by hand: leaving a `for await` would destroy the request, and the answer with it.
    await new Promise<void>((resolve, reject) => {
      request.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= limit) chunks.push(chunk);
        else resolve();
      });
      request.once("end", resolve);
      request.once("error", reject);
      request.once("close", () => reject(new Error("the client left before the end of its body")));
    });
  } catch (error) {
    release();
    throw error;
  }
  if (size <= limit) return { bytes: Buffer.concat(chunks), release };
  release();
  return "too_large";
}

/** Deeper values make recursive programs overflow, Postgres among them. */
const DEEPEST = 100;

/**
 * Reads JSON in the one way that all programs agree on: UTF-8 without a byte-order mark, no NUL and no half characters
 * (Postgres holds neither), not too deep. Of a name given twice the last counts; pass on what `JSON.stringify` makes of it.
 */
export function readJson(bytes: Uint8Array): { value: unknown } | Fault {
  const bad = (message: string, cure: string): Fault => ({ field: "body", message, cure });
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bad("The body is not valid UTF-8", "Encode the JSON as UTF-8.");
  }
  if (text.startsWith("\ufeff"))
    return bad("The body begins with a byte-order mark", "Send JSON without it.");
  if (isTooDeep(text))
    return bad(`The body is nested more than ${DEEPEST} levels deep`, "Send a flatter value.");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad("The body is not valid JSON", "Send a JSON document.");
  }
  if (/\\u(?:0000|d[89a-f])/i.test(text) && !isStorable(value))
    return bad("The body has a NUL or half of a surrogate pair", "Remove it: text cannot hold it.");
  return { value };
}

/** Counts brackets outside of strings; what is no JSON may be judged wrongly, and is refused anyway. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
    } else if (code === 0x5b || code === 0x7b) {
      depth += 1;
      if (depth > DEEPEST) return true;
    } else if (code === 0x5d || code === 0x7d) depth -= 1;
  }
  return false;
}

function isStorable(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed() && !value.includes("\0");
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([name, inner]) => isStorable(name) && isStorable(inner));
}
