import type { IncomingMessage, ServerResponse } from "node:http";
import { headerOf, sendJson } from "../gateway/replies.ts";
import { mayWrite } from "./authorization.ts";
import { readBody } from "./body.ts";
import { answerChannels } from "./channels-endpoint.ts";
import { type Identity, verifyToken } from "./claims.ts";
import type { RealtimeContext } from "./context.ts";
import { isRecord } from "./frames.ts";

/** The form of `errors` in a 422: hosted's are those of Ecto. */
type Problems = Record<string, string[]>;

interface BatchMessage {
  topic: string;
  event: string;
  payload: Record<string, unknown>;
  private: boolean;
  id?: string;
}

/**
 * Answers a request below /realtime/v1. Takes the path after it and the identity of the API key, which a user's token in
 * Authorization replaces.
 */
export async function answerHttp(
  context: RealtimeContext,
  request: IncomingMessage,
  response: ServerResponse,
  target: { path: string; key: Identity; origin: string },
): Promise<void> {
  const url = new URL(`http://realtime${target.path}`); // not relative: a path may begin with //
  const path = url.pathname.replace(/\/+$/, "");
  if (request.method === "GET" && path === "/api/ping")
    return sendJson(response, 200, { message: "Success" });
  if (request.method === "GET" && (path === "/health" || /^\/api\/tenants\/[^/]+\/health$/.test(path))) {
    return sendJson(response, 200, { data: { healthy: true, db_connected: await isConnected(context) } });
  }
  if (request.method !== "POST") return sendJson(response, 404, { message: "Not Found" });

  const identity = identityOf(context, request, target.key);
  if (path === "/channels") return await answerChannels(context, request, response, { ...target, identity });
  if (!identity) return sendJson(response, 401, { message: "Unauthorized" });
  if (path === "/api/broadcast") return await answerBatch(context, request, response, identity);
  const single = /^\/api\/broadcast\/([^/]+)\/events\/([^/]+)$/.exec(path);
  if (single) {
    const names = { topic: decode(single[1]), event: decode(single[2]) };
    const isPrivate = url.searchParams.get("private") === "true";
    return await answerSingle(context, request, response, identity, { ...names, private: isPrivate });
  }
  return sendJson(response, 404, { message: "Not Found" });
}

/** Who calls: the token of Authorization, else the key; undefined when the token is refused. */
export function identityOf(
  context: RealtimeContext,
  request: IncomingMessage,
  key: Identity,
): Identity | undefined {
  const token = /^bearer\s+(.+)$/i.exec(headerOf(request, "authorization") ?? "")?.[1];
  if (token === undefined || token.startsWith("sb_")) return key;
  const identity = verifyToken(token, context.jwtSecret, context.now());
  return "problem" in identity ? undefined : identity;
}

async function answerBatch(
  context: RealtimeContext,
  request: IncomingMessage,
  response: ServerResponse,
  identity: Identity,
): Promise<void> {
  const body = await readBody(request, context.limits.frameBytes);
  if (!body) return tooLarge(response);
  const parsed = parseBatch(parseJson(body), context.limits.payloadBytes);
  if ("errors" in parsed) return sendJson(response, 422, parsed);
  const headers = JSON.stringify(request.headers);
  const rights = new Map<string, boolean>();
  for (const message of parsed.messages) {
    const { topic, event, payload, id } = message;
    if (message.private) {
      if (!rights.has(topic)) rights.set(topic, await mayBroadcast(context, identity, topic, headers));
      if (!rights.get(topic)) continue; // dropped without a word (batch_broadcast.ex)
    }
    const text = JSON.stringify({
      event,
      payload,
      type: "broadcast",
      ...(id === undefined ? {} : { meta: { id } }),
    });
    context.hub.broadcastText(topic, message.private, text);
  }
  accepted(response);
}

/** Reads `{messages: [{topic, event, payload, private?}]}`; the errors say for each message what is wrong with it. */
export function parseBatch(
  body: unknown,
  payloadBytes: number,
): { messages: BatchMessage[] } | { errors: { messages: unknown } } {
  const list = isRecord(body) ? body.messages : undefined;
  if (!Array.isArray(list) || list.length === 0) return { errors: { messages: ["can't be blank"] } };
  const messages: BatchMessage[] = [];
  const errors: Problems[] = [];
  for (const item of list as unknown[]) {
    const fields = isRecord(item) ? item : {};
    const problems: Problems = {};
    for (const name of ["topic", "event"]) {
      const value = fields[name];
      if (value === undefined || value === null || value === "") problems[name] = ["can't be blank"];
      else if (typeof value !== "string") problems[name] = ["is invalid"];
    }
    const { payload } = fields;
    if (payload === undefined || payload === null) problems.payload = ["can't be blank"];
    else if (!isRecord(payload)) problems.payload = ["is invalid"];
    else if (Buffer.byteLength(JSON.stringify(payload)) > payloadBytes)
      problems.payload = ["Payload size exceeds tenant limit"];
    errors.push(problems);
    messages.push({
      topic: String(fields.topic),
      event: String(fields.event),
      payload: isRecord(payload) ? payload : {},
      private: fields.private === true || fields.private === "true",
      ...(typeof fields.id === "string" ? { id: fields.id } : {}),
    });
  }
  return errors.some((problems) => Object.keys(problems).length > 0)
    ? { errors: { messages: errors } }
    : { messages };
}

async function answerSingle(
  context: RealtimeContext,
  request: IncomingMessage,
  response: ServerResponse,
  identity: Identity,
  message: { topic: string; event: string; private: boolean },
): Promise<void> {
  const type = headerOf(request, "content-type") ?? "";
  const isBinary = type.startsWith("application/octet-stream");
  if (!isBinary && !type.startsWith("application/json"))
    return sendJson(response, 415, { message: "Unsupported Media Type" });
  const body = await readBody(request, context.limits.frameBytes);
  if (!body) return tooLarge(response);
  if (body.length > context.limits.payloadBytes) {
    return sendJson(response, 422, { errors: { payload: ["Payload size exceeds tenant limit"] } });
  }
  if (!isBinary && parseJson(body) === undefined) return sendJson(response, 400, { message: "Bad Request" });
  if (message.private) {
    const headers = JSON.stringify(request.headers);
    if (!(await mayBroadcast(context, identity, message.topic, headers)))
      return sendJson(response, 403, { message: "Unauthorized" });
  }
  const { event } = message;
  context.hub.broadcast(message.topic, message.private, {
    event,
    encoding: isBinary ? "binary" : "json",
    body,
  });
  accepted(response);
}

async function mayBroadcast(
  context: RealtimeContext,
  identity: Identity,
  topic: string,
  headers: string,
): Promise<boolean> {
  try {
    return (await mayWrite(context.database, identity, topic, headers)).broadcast;
  } catch {
    return false;
  }
}

async function isConnected(context: RealtimeContext): Promise<boolean> {
  return await context.database.admin.query("select 1").then(
    () => true,
    () => false,
  );
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

function decode(part: string | undefined): string {
  try {
    return decodeURIComponent(part ?? "");
  } catch {
    return part ?? "";
  }
}

function accepted(response: ServerResponse): void {
  response.setHeader("access-control-allow-origin", "*");
  response.writeHead(202, { "content-length": 0 }).end();
}

function tooLarge(response: ServerResponse): void {
  sendJson(response, 413, { message: "Request Entity Too Large" }, { connection: "close" });
}
