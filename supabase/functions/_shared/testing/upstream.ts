/** A double of PostgREST for tests: judges tokens, counts calls, and answers as the project's RPCs do. */
import { errorCodes, isErrorCode } from "../contract/index.ts";
import { subjectOf } from "../token.ts";

export interface RecordedCall {
  readonly rpc: string;
  readonly path: string;
  readonly method: string;
  readonly headers: Headers;
  readonly text: string;
  readonly args: Record<string, unknown>;
}

export const USER_ID = "8c9e6679-7425-40de-944b-e07fc1f90ae7";

/**
 * A token that the double accepts.
 * @param claims its payload
 */
export function tokenFor(claims: Record<string, unknown> = { sub: USER_ID, role: "authenticated" }): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}.signature`;
}

export const rateHeaders = {
  "X-RateLimit-Limit": "100",
  "X-RateLimit-Remaining": "95",
  "X-RateLimit-Reset": "1900000000",
  "Supabase-RateLimit-Remaining": "950",
  "Supabase-Auth-Rate-Limit": "25",
};

type Answer = (call: RecordedCall) => Response;

/** Counts what it is asked; `answer` replaces its answer for accepted tokens, `down` makes it unreachable. */
export class Upstream {
  readonly calls: RecordedCall[] = [];
  answer: Answer | undefined;
  down = false;

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const text = await request.text();
    const { pathname } = new URL(request.url);
    if (this.down) throw new TypeError("connection refused");
    const call: RecordedCall = {
      rpc: pathname.split("/").at(-1) ?? "",
      path: pathname,
      method: request.method,
      headers: request.headers,
      text,
      args: JSON.parse(text) as Record<string, unknown>,
    };
    this.calls.push(call);
    return this.#respond(call);
  };

  #respond(call: RecordedCall): Response {
    const authorization = call.headers.get("authorization");
    if (authorization?.startsWith("Bearer ") && authorization.split(".").length !== 3) {
      return reply(401, {
        code: "PGRST301",
        message: "JWSError JWSInvalidSignature",
        details: null,
        hint: null,
      });
    }
    if (subjectOf(authorization) === null) {
      const message = `permission denied for function ${call.rpc}`;
      return reply(401, { code: "42501", message, details: null, hint: null });
    }
    if (!storable(call.text)) {
      const message = "unsupported Unicode escape sequence";
      return reply(400, { code: "22P05", message, details: null, hint: null });
    }
    if (this.answer !== undefined) return this.answer(call);
    if (call.rpc === "refuse_request") return refused(call.args);
    return reply(200, { rpc: call.rpc, args: call.args }, rateHeaders);
  }
}

/** What private.refuse answers. */
function refused({ code, message, details }: Record<string, unknown>): Response {
  if (!isErrorCode(code)) throw new Error(`refuse_request: ${String(code)} is no error code`);
  return codedError(code, String(message), details ?? null);
}

/**
 * An error as the RPCs answer it.
 * @param code the error's code
 * @param message its message
 * @param details field → problem, or other facts
 * @param headers further headers
 */
export function codedError(
  code: keyof typeof errorCodes,
  message: string,
  details: unknown = null,
  headers: Record<string, string> = {},
): Response {
  const text = details === null ? null : JSON.stringify(details);
  const all = { ...rateHeaders, "X-User-Isolation": "active", ...headers };
  return reply(errorCodes[code].status, { code, message, details: text, hint: null }, all);
}

export function reply(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
  });
}

/** Postgres keeps neither U+0000 nor a lone surrogate in jsonb or text. */
function storable(text: string): boolean {
  const fits = (value: string) => !value.includes("\u0000") && value.isWellFormed();
  let all = true;
  JSON.parse(text, (key, value: unknown) => {
    all &&= fits(key) && (typeof value !== "string" || fits(value));
    return value;
  });
  return all;
}
