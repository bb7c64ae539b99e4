import type { IncomingMessage, ServerResponse } from "node:http";
import { type FetchHandler, fetchRequest, reply } from "./in-process.ts";
import { sendJson } from "./replies.ts";
import type { SecurityWatch } from "./security.ts";

/** A sign-in's body is an address and a password. */
const MOST_BODY = 64 * 1024;

/** Whether a request checks a password: `POST /auth/v1/token?grant_type=password`. */
export function isPasswordSignIn(method: string | undefined, target: string): boolean {
  const [path, search] = target.split("?", 2);
  if (method !== "POST" || path !== "/auth/v1/token") return false;
  return new URLSearchParams(search ?? "").get("grant_type") === "password";
}

/**
 * Puts the lockout before Auth, which here has no password-verification hook: a locked account's password is not even
 * checked. Attempts on one account go one after the other, so that many at once cannot all be the fifth.
 */
export function createSignInGuard(watch: SecurityWatch) {
  const queues = new Map<string, Promise<void>>();

  /** Runs `work` after all earlier work on the same account. */
  async function inTurn(account: string, work: () => Promise<void>): Promise<void> {
    const before = queues.get(account) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.then(
      () => {},
      () => {},
    );
    queues.set(account, settled);
    try {
      await mine;
    } finally {
      if (queues.get(account) === settled) queues.delete(account);
    }
  }

  return async function signIn(
    request: IncomingMessage,
    response: ServerResponse,
    handler: FetchHandler,
    target: { origin: string; path: string; authorization?: string },
    unavailable: () => void,
  ): Promise<void> {
    const body = await readBody(request);
    if (body === undefined) {
      sendJson(response, 413, { code: 413, error_code: "request_too_large", msg: "Body too large" });
      return;
    }
    const email = emailOf(body);
    const check = () => handler(fetchRequest(request, target, body));
    if (email === undefined) return await reply(response, await check());
    await inTurn(email.trim().toLowerCase(), async () => {
      const lock = await watch.beginSignIn(request, email).catch(() => undefined);
      // Without the database nobody knows whether the account is locked.
      if (lock === undefined) return unavailable();
      if (lock.locked) return refuseLocked(response, lock.retry_after);
      const answer = await check();
      const wrong = answer.status === 400 && (await isWrongPassword(answer.clone()));
      if (answer.ok || wrong) await watch.endSignIn(request, email, answer.ok).catch(() => undefined);
      await reply(response, answer);
    });
  };
}

/** Auth's own form of an error, as supabase-js reads it. */
function refuseLocked(response: ServerResponse, retryAfter: number): void {
  sendJson(
    response,
    429,
    {
      code: 429,
      error_code: "over_request_rate_limit",
      msg: `Too many failed sign-in attempts; try again in ${Math.max(1, Math.ceil(retryAfter / 60))} minutes`,
    },
    { "retry-after": String(Math.max(1, retryAfter)), "x-sb-error-code": "over_request_rate_limit" },
  );
}

async function isWrongPassword(answer: Response): Promise<boolean> {
  const body = (await answer.json().catch(() => undefined)) as Record<string, unknown> | undefined;
  const code = body?.error_code ?? body?.error ?? body?.code;
  return code === "invalid_credentials" || code === "invalid_grant";
}

function emailOf(body: string): string | undefined {
  try {
    const value: unknown = JSON.parse(body);
    const email = typeof value === "object" && value !== null && "email" in value ? value.email : undefined;
    return typeof email === "string" && email.trim() !== "" && email.length <= 320 ? email : undefined;
  } catch {
    return undefined; // Auth itself says what is wrong with it
  }
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BODY) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
