// What a request shows of its caller: a sleeping agent wakes only for those whom its own door would let in.

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";

/**
 * - `key`: a key of the agent's form; the database knows whether it is one.
 * - `token`: a token of the form of a user's; the database verifies its signature.
 * - `origin`: a browser asks whether a page of this origin may call (a preflight carries no credentials).
 * - `nothing`: a stranger, whom public agents alone let in. So is a signature of the platform's: it covers the body, which
 *   nobody has read yet, and the platform wakes an agent in the database before it calls.
 */
export type Shown = "key" | "token" | "origin" | "nothing";

/** Who calls, as far as the head of the request says. */
export interface Caller {
  readonly shows: Shown;
  /** The key, the token or the origin itself. */
  readonly proof: string;
  /** Tells callers apart without keeping what they show. */
  readonly id: string;
  /** Where it calls from, as the proxy in front says it, or as the connection does. Left out: not known. */
  readonly address?: string;
}

// As the runtime's door reads them (packages/agent-runtime/src/http/door.ts).
const BEARER = /^Bearer +(\S+) *$/i;
const KEY = /^lp_[A-Za-z0-9_-]{20,200}$/;
const TOKEN = /^[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{1,12000}\.[A-Za-z0-9_-]{1,2000}$/;
const MOST_OF_ORIGIN = 400;
const MOST_OF_ADDRESS = 64;

export const STRANGER: Caller = { shows: "nothing", proof: "", id: "" };

/** A request's head, and its connection. */
type Head = Pick<IncomingMessage, "headers" | "method"> & {
  socket?: Pick<IncomingMessage["socket"], "remoteAddress">;
};

/** The caller of a request; whatever has no known form shows nothing. */
export function callerOf(head: Head): Caller {
  const address = addressOf(head);
  return { ...shownBy(head), ...(address === undefined ? {} : { address }) };
}

/** The last entry is the one that the proxy in front wrote; those before are the caller's own words. */
function addressOf({ headers, socket }: Head): string | undefined {
  const last = [headers["x-forwarded-for"] ?? []].flat().join(",").split(",").at(-1)?.trim();
  return last ? last.slice(0, MOST_OF_ADDRESS) : socket?.remoteAddress;
}

function shownBy({ headers, method }: Head): Caller {
  const secret = BEARER.exec(headers.authorization ?? "")?.[1];
  if (secret !== undefined) {
    if (KEY.test(secret)) return caller("key", secret);
    return TOKEN.test(secret) ? caller("token", secret) : STRANGER;
  }
  const { origin } = headers;
  const asks = method === "OPTIONS" && headers["access-control-request-method"] !== undefined;
  return asks && origin !== undefined ? caller("origin", origin.slice(0, MOST_OF_ORIGIN)) : STRANGER;
}

/** A caller who shows something. */
export function caller(shows: Exclude<Shown, "nothing">, proof: string): Caller {
  const id = createHash("sha256").update(`${shows} ${proof}`).digest("base64");
  return { shows, proof, id };
}
