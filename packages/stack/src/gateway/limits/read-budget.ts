// Refuses direct reads beyond a user's budget.

import type { IncomingMessage, ServerResponse } from "node:http";
import { sendJson } from "@agent-launchpad/local-supabase/gateway/replies.ts";
import { bearerOf } from "@agent-launchpad/local-supabase/gateway/well-formed.ts";
import type { JwtKeys } from "@agent-launchpad/local-supabase/jwt-keys.ts";
import { judgeToken } from "@agent-launchpad/local-supabase/tokens.ts";
import type { RestLimit, Verdict } from "./rest-limit.ts";

/**
 * Counts a read, and refuses it beyond its user's budget.
 * @param authorization as PostgREST gets it
 * @returns whether the request has been answered
 */
export function refuseRead(
  request: IncomingMessage,
  response: ServerResponse,
  authorization: string | undefined,
  { limit, jwtKeys }: { limit: RestLimit; jwtKeys: JwtKeys },
): boolean {
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  const judged = judgeToken(bearerOf(authorization) ?? "", jwtKeys);
  // A forged or anonymous caller spends nobody's budget: PostgREST answers.
  if (!judged?.genuine || judged.claims.role !== "authenticated" || !isUuid(judged.claims.sub)) return false;
  const verdict = limit.read(judged.claims.sub);
  if (!verdict) return false;
  const headers = headersOf(verdict);
  if (verdict.allowed) {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    return false;
  }
  const details = {
    limit_type: "supabase_queries",
    limit: verdict.limit,
    user_id: judged.claims.sub,
    reset_time: new Date(verdict.reset * 1000).toISOString(),
  };
  const retryAfter = String(Math.max(1, verdict.reset - Math.floor(Date.now() / 1000)));
  sendJson(
    response,
    429,
    {
      code: "RATE_LIMIT_EXCEEDED",
      details: JSON.stringify(details),
      hint: null,
      message: "Rate limit exceeded",
    },
    { ...headers, "retry-after": retryAfter },
  );
  return true;
}

function headersOf({ limit, used, reset }: Verdict): Record<string, string> {
  const remaining = String(Math.max(0, limit - used));
  return {
    "x-ratelimit-limit": String(limit),
    "x-ratelimit-remaining": remaining,
    "x-ratelimit-reset": String(reset),
    "supabase-ratelimit-remaining": remaining,
  };
}

function isUuid(text: string | undefined): text is string {
  return text !== undefined && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
