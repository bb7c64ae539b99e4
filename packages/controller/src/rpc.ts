// One call of a function of the project's database over PostgREST: what every part of the controller asks goes this way.
import { createPost, type Post } from "./http-post.ts";

export type DatabaseErrorKind =
  /** No answer: refused, reset, timed out. */
  | "unreachable"
  /** The key is no key of the project, or not its secret one. Keys may be rotated: it may work later. */
  | "key"
  /** 5xx, or 408/429: it may work later. */
  | "unavailable"
  /** Any other 4xx: the same call will be refused again. */
  | "refused"
  /** An answer that does not fit the contract. */
  | "contract";

/** What a person is told of a key that does not work. */
export const KEY_REFUSED =
  "The project refuses the controller's key: set LAUNCHPAD_SECRET_KEY to a secret key (sb_secret_…) of the project at LAUNCHPAD_SUPABASE_URL.";

/** A call to the database that did not work. The message never holds a key, a row or a secret. */
export class DatabaseError extends Error {
  readonly kind: DatabaseErrorKind;
  readonly code: string | undefined;
  readonly status: number | undefined;

  constructor(
    kind: DatabaseErrorKind,
    message: string,
    facts: { code?: string; status?: number; cause?: unknown } = {},
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "DatabaseError";
    this.kind = kind;
    this.code = facts.code;
    this.status = facts.status;
  }
}

export interface RpcOptions {
  /** The names of the arguments: with them PostgREST hands the JSON on as it is, and does not parse it (ADR 0263). */
  names?: readonly string[] | undefined;
  /** Whose call it is, where it is a user's. */
  bearer?: string;
}

/**
 * Calls a function of the database.
 * @param args its arguments, or their JSON
 * @returns its answer, parsed; null for an empty one
 * @throws DatabaseError
 */
export type Rpc = (
  name: string,
  args: object | string,
  timeoutMs: number,
  options?: RpcOptions,
) => Promise<unknown>;

/** The project's functions, called with its secret key. No client library: no call needs a query builder. */
export function createRpc(url: string, key: string, post: Post = createPost()): Rpc {
  const own = { apikey: key, authorization: `Bearer ${key}`, "content-type": "application/json" };
  return async (name, args, timeoutMs, { bearer, names } = {}) => {
    const body = typeof args === "string" ? args : JSON.stringify(args);
    const headers = bearer === undefined ? own : { ...own, authorization: `Bearer ${bearer}` };
    const path = names === undefined ? name : `${name}?columns=${names.join(",")}`;
    const { status, text } = await post(`${url}/rest/v1/rpc/${path}`, headers, body, timeoutMs).catch(
      (cause: unknown) => {
        throw new DatabaseError("unreachable", `${name}: the database does not answer`, { cause });
      },
    );
    if (status < 200 || status >= 300) throw refusal(name, status, text, bearer !== undefined);
    return parseJson(name, text);
  };
}

function parseJson(name: string, text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    throw new DatabaseError("contract", `${name} did not answer JSON`);
  }
}

function refusal(name: string, status: number, text: string, ofUser: boolean): DatabaseError {
  let code: string | undefined;
  let message = "";
  try {
    const body = JSON.parse(text) as { code?: unknown; message?: unknown };
    if (typeof body.code === "string") code = body.code;
    if (typeof body.message === "string") message = body.message.slice(0, 300);
  } catch {
    // A proxy's error page: its status says enough.
  }
  const facts = code === undefined ? { status } : { status, code };
  const said = [`${name}:`, status, code, message].filter(Boolean).join(" ");
  // The functions are the secret key's alone: under another role PostgREST says 42501.
  if (!ofUser && (status === 401 || (status === 403 && code === "42501")))
    return new DatabaseError("key", `${KEY_REFUSED} (${said})`, facts);
  const later = status >= 500 || status === 408 || status === 429;
  return new DatabaseError(later ? "unavailable" : "refused", said, facts);
}
