// Answers POST /realtime/v1/channels.

import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { headerOf, sendJson } from "../gateway/replies.ts";
import { AuthorizationError, mayRead } from "./authorization.ts";
import { readBody } from "./body.ts";
import type { Identity } from "./claims.ts";
import { atTurn, type RealtimeContext } from "./context.ts";
import { parseChangeParams } from "./filters.ts";
import { isRecord } from "./frames.ts";
import { changesOfTopic, nameProblem } from "./join.ts";
import type { Owner } from "./owners.ts";
import { compileSubscription, SubscriptionError, TableCache } from "./subscriptions.ts";

/**
 * `POST /realtime/v1/channels {topic}` of the Launchpad specification, which hosted Supabase does not have: the WebSocket's
 * address, what to subscribe to, and whether this caller may. `realtime:<schema>:<table>[:<filter>]` means changes of a table;
 * `{topic, private: true}` a private channel; any other topic is a public channel, open to everyone with a key.
 */
export async function answerChannels(
  context: RealtimeContext,
  request: IncomingMessage,
  response: ServerResponse,
  target: { identity: Identity | undefined; owner: Owner; origin: string },
): Promise<void> {
  const { identity } = target;
  const fail = (status: number, code: string, message: string) => {
    const requestId = headerOf(request, "x-request-id") ?? `req-${randomBytes(6).toString("hex")}`;
    const timestamp = new Date(context.now()).toISOString();
    const error = {
      code,
      message,
      timestamp,
      requestId,
      user_id: identity?.sub ?? null,
      supabase_details: null,
    };
    sendJson(response, status, { error }, { "x-request-id": requestId });
  };
  if (!identity) return fail(401, "INVALID_JWT_TOKEN", "The token is invalid or has expired");
  const refuse = (message: string) => fail(422, "REAL_TIME_SUBSCRIPTION_FAILED", message);

  const body = await readBody(request, 65_536);
  const asked = parse(body);
  const topic = isRecord(asked) ? asked.topic : undefined;
  if (typeof topic !== "string" || topic.replace(/^realtime:/, "") === "")
    return refuse('Name a topic: {"topic": "realtime:public:agent_metrics:agent_id=eq.<id>"}');
  const name = topic.replace(/^realtime:/, "");
  const problem = nameProblem(name, context.limits.nameBytes);
  if (problem) return refuse(`The topic name ${problem}`);
  const answer = {
    websocket_url: `${target.origin.replace(/^http/, "ws")}/realtime/v1/websocket`,
    topic: `realtime:${name}`,
    can_join: true,
    user_id: identity.sub ?? null,
  };
  const isPrivate = isRecord(asked) && asked.private === true;
  try {
    if (isPrivate) {
      const rights = await atTurn(context, target.owner, () =>
        mayRead(context.database, identity, name, JSON.stringify(request.headers)),
      );
      if (!rights.broadcast && !rights.presence)
        return refuse(`You do not have permissions to read from this Channel topic: ${name}`);
      return sendJson(response, 200, { ...answer, private: true, postgres_changes: [] });
    }
    const [changes] = /^[^:]+:[^:]+/.test(name) ? changesOfTopic(name) : [];
    if (!changes || !(await isSchema(context, String(changes.schema)))) {
      return sendJson(response, 200, { ...answer, private: false, postgres_changes: [] });
    }
    const unfit = await atTurn(context, target.owner, () => problemOf(context, identity, changes));
    if (unfit !== undefined) return refuse(unfit);
    return sendJson(response, 200, { ...answer, private: false, postgres_changes: [changes] });
  } catch (error) {
    if (error instanceof AuthorizationError && error.policyFailed)
      return refuse(`You do not have permissions to read from this Channel topic: ${name}`);
    return fail(
      503,
      "SUPABASE_CONNECTION_ERROR",
      "The database is not reachable at the moment; try again shortly",
    );
  }
}

async function problemOf(
  context: RealtimeContext,
  identity: Identity,
  changes: Record<string, unknown>,
): Promise<string | undefined> {
  const params = parseChangeParams(changes);
  if ("error" in params) return params.error;
  try {
    await compileSubscription(
      new TableCache(context.database.admin, identity.role),
      identity,
      params,
      context.limits,
    );
    return undefined;
  } catch (error) {
    if (error instanceof SubscriptionError) return error.message;
    throw error;
  }
}

/** Whether the first part of a topic is a schema: `room:1` is a topic, `public:agents` a table. */
async function isSchema(context: RealtimeContext, name: string): Promise<boolean> {
  if (name === "*") return true;
  const { rowCount } = await context.database.admin.query("select from pg_namespace where nspname = $1", [
    name,
  ]);
  return (rowCount ?? 0) > 0;
}

function parse(body: Buffer | undefined): unknown {
  try {
    return JSON.parse(body?.toString("utf8") ?? "") as unknown;
  } catch {
    return undefined;
  }
}
