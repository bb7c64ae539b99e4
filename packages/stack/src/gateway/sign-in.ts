// Locks accounts after failed sign-ins, before Auth checks the password.

import type { IncomingMessage, ServerResponse } from "node:http";
import { reply } from "@agent-launchpad/local-supabase/gateway/in-process.ts";
import { sendJson } from "@agent-launchpad/local-supabase/gateway/replies.ts";
import type { SecurityWatch } from "./security.ts";

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

  /**
   * Serves one sign-in.
   * @param email the address that Auth reads, in the spelling that it stores
   * @param check has Auth check the password
   * @param unavailable answers where the lockout cannot be asked
   */
  return async function signIn(
    request: IncomingMessage,
    response: ServerResponse,
    { email, check, unavailable }: { email: string; check: () => Promise<Response>; unavailable: () => void },
  ): Promise<void> {
    await inTurn(email, async () => {
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
