// Reports sign-ins, forged tokens and refusals to the database.

import type { IncomingMessage } from "node:http";
import type { GatewayWatch } from "@agent-launchpad/local-supabase/gateway/extension.ts";
import type { Refusal } from "@agent-launchpad/local-supabase/gateway/refusals.ts";
import { headerOf } from "@agent-launchpad/local-supabase/gateway/replies.ts";
import type { Route } from "@agent-launchpad/local-supabase/gateway/routes.ts";
import type { JwtKeys } from "@agent-launchpad/local-supabase/jwt-keys.ts";
import { judgeToken } from "@agent-launchpad/local-supabase/tokens.ts";
import type { ServiceRpc } from "./service-rpc.ts";

/** Whether an account's sign-in is locked, and for how many more seconds. */
export interface Lock {
  locked: boolean;
  retry_after: number;
}

/** What the gateway tells the database of security (migration security_events): sign-ins, forged tokens, refusals. */
export interface SecurityWatch extends GatewayWatch {
  /** Asked before a password is checked. Throws when the database does not answer. */
  beginSignIn(request: IncomingMessage, email: string): Promise<Lock>;
  /** Told after a password was checked. Throws when the database does not answer. */
  endSignIn(request: IncomingMessage, email: string, ok: boolean): Promise<Lock>;
  close(): void;
}

export interface SecurityWatchOptions {
  jwtKeys: JwtKeys;
  service: ServiceRpc;
}

interface Report {
  kind: "forged_token" | "denied";
  method: string;
  path: string;
  ip: string;
  user_agent: string;
  count: number;
  [fact: string]: unknown;
}

/** Different reports that may wait; beyond that, new ones are dropped: the database coalesces them anyway. */
const MOST_PENDING = 500;
const MOST_BODY = 4096;
/** The statuses of refusals; other errors are the caller's mistakes or ours. */
const REFUSED = new Set([401, 403, 422, 429]);

/**
 * Starts the watch. Reports are sent one batch at a time; repeats that come meanwhile are counted together, so that a
 * flood of forged tokens costs the database a few calls a second at most.
 */
export function createSecurityWatch({ jwtKeys, service }: SecurityWatchOptions): SecurityWatch {
  const pending = new Map<string, Report>();
  let sending = false;
  let closed = false;

  function report(key: string, made: () => Omit<Report, "count">): void {
    const known = pending.get(key);
    if (known) known.count += 1;
    else if (pending.size < MOST_PENDING && !closed) pending.set(key, { ...made(), count: 1 } as Report);
    if (!sending) void send();
  }

  async function send(): Promise<void> {
    sending = true;
    try {
      while (pending.size > 0 && !closed) {
        const reports = [...pending.values()];
        pending.clear();
        await service.call("record_security_reports", { reports });
      }
    } catch {
      // The database is down: what was seen meanwhile is not kept. Requests fare no better then.
    } finally {
      sending = false;
    }
  }

  /** Without a user it is a visitor who forgot to sign in. */
  function userOf(request: IncomingMessage): string | undefined {
    const judged = judgeToken(bearerOf(request) ?? "", jwtKeys);
    return judged?.genuine && typeof judged.claims.sub === "string" ? judged.claims.sub : undefined;
  }

  function denied(
    request: IncomingMessage,
    route: Route,
    userId: string,
    { code, message }: Omit<Refusal, "status">,
  ): void {
    const facts = factsOf(request, route);
    report(`denied ${userId} ${code} ${route.kind}`, () => ({
      kind: "denied",
      user_id: userId,
      code,
      message: message.slice(0, 200),
      ...facts,
    }));
  }

  return {
    // A forged token is reported.
    look(request, route) {
      for (const token of tokensOf(request)) {
        const judged = judgeToken(token, jwtKeys);
        if (judged?.genuine !== false) continue;
        const { sub, role } = judged.claims;
        const facts = factsOf(request, route);
        report(`forged ${sub} ${role} ${facts.ip}`, () => ({ kind: "forged_token", sub, role, ...facts }));
      }
    },

    // What PostgREST refused was rolled back and left no trace in SQL; nor did what GraphQL or Storage refused.
    answered(request, route, answer) {
      if (route.kind !== "rest" || !REFUSED.has(answer.statusCode ?? 0)) return;
      const userId = userOf(request);
      if (userId === undefined) return;
      let text = "";
      answer.on("data", (chunk: Buffer) => {
        if (text.length < MOST_BODY) text += chunk.toString("utf8");
      });
      answer.once("end", () => {
        const { code, message = "" } = errorOf(text);
        // RPCs of users record their own refusals, in the transaction that answers.
        if (code === undefined || (route.path.startsWith("/rpc/") && code !== "42501")) return;
        denied(request, route, userId, { code, message });
      });
    },

    refused(request, route, refusal) {
      const userId = REFUSED.has(refusal.status) ? userOf(request) : undefined;
      if (userId !== undefined) denied(request, route, userId, refusal);
    },

    beginSignIn: (request, email) => service.call<Lock>("begin_sign_in", { email, ...clientOf(request) }),
    endSignIn: (request, email, ok) =>
      service.call<Lock>("record_auth_attempt", { email, ok, ...clientOf(request) }),

    close() {
      closed = true;
    },
  };
}

function clientOf(request: IncomingMessage): { ip: string; user_agent: string } {
  const ip = (request.socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  return { ip, user_agent: (headerOf(request, "user-agent") ?? "").slice(0, 500) };
}

function factsOf(request: IncomingMessage, route: Route) {
  const path = "path" in route ? (request.url ?? "/").split("?")[0]! : "/";
  return { method: request.method ?? "GET", path: path.slice(0, 200), ...clientOf(request) };
}

function bearerOf(request: IncomingMessage): string | undefined {
  return /^bearer\s+(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
}

function tokensOf(request: IncomingMessage): string[] {
  const key = headerOf(request, "apikey");
  return [bearerOf(request), key].filter((token) => token?.startsWith("ey") === true) as string[];
}

function errorOf(text: string): { code?: string; message?: string } {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null) return {};
    const { code, message } = body as Record<string, unknown>;
    return typeof code === "string" ? { code, message: String(message ?? "") } : {};
  } catch {
    return {}; // longer than kept, or not PostgREST's: nothing to learn from
  }
}
