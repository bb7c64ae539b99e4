// HTTP below /realtime/v1: broadcasts, health, and `POST /channels`.
import type { IncomingMessage, ServerResponse } from "node:http";
import { reasonOf } from "../errors.ts";
import { headerOf, sendJson } from "../gateway/replies.ts";
import { AuthorizationError, mayWrite } from "./authorization.ts";
import { readBody } from "./body.ts";
import { answerChannels } from "./channels-endpoint.ts";
import { type Identity, verifyToken } from "./claims.ts";
import { atTurn, type RealtimeContext } from "./context.ts";
import { isRecord, toJson } from "./frames.ts";
import { nameProblem } from "./join.ts";
import type { Limits } from "./limits.ts";
import { ownerOf } from "./owners.ts";

/** The form of `errors` in a 422: hosted's are those of Ecto. */
type Problems = Record<string, string[]>;

interface BatchMessage {
  topic: string;
  event: string;
  /** As JSON. */
  payload: string;
  private: boolean;
  id?: string;
}

interface Target {
  /** What follows /realtime/v1. */
  path: string;
  /** The identity of the API key, which a user's token in Authorization replaces. */
  key: Identity;
  origin: string;
  address: string;
}

interface Caller {
  identity: Identity;
  owner: string;
}

const SINGLE = /^\/api\/broadcast\/([^/]+)\/events\/([^/]+)$/;
const READABLE = /^(\/api\/ping|\/health|\/api\/tenants\/[^/]+\/health)$/;
const WRITABLE = /^(\/channels|\/api\/broadcast|\/api\/broadcast\/[^/]+\/events\/[^/]+)$/;

/** Answers a request below /realtime/v1. */
export async function answerHttp(
  context: RealtimeContext,
  request: IncomingMessage,
  response: ServerResponse,
  target: Target,
): Promise<void> {
  try {
    await answer(context, request, response, target);
  } catch (error) {
    if (!(error instanceof AuthorizationError)) throw error;
    const message = "The database is not reachable at the moment; try again shortly";
    sendJson(response, 503, { message }, { "retry-after": "1" });
  }
}

async function answer(
  context: RealtimeContext,
  request: IncomingMessage,
  response: ServerResponse,
  target: Target,
): Promise<void> {
  const url = new URL(`http://realtime${target.path}`); // not relative: a path may begin with //
  const path = url.pathname.replace(/\/+$/, "");
  const method = request.method === "HEAD" ? "GET" : request.method;
  const allowed = READABLE.test(path) ? "GET" : WRITABLE.test(path) ? "POST" : undefined;
  if (!allowed) return sendJson(response, 404, { message: "Not Found" });
  if (method !== allowed)
    return sendJson(response, 405, { message: "Method Not Allowed" }, { allow: allowed });
  if (path === "/api/ping") return sendJson(response, 200, { message: "Success" });
  if (allowed === "GET")
    return sendJson(response, 200, { data: { healthy: true, db_connected: await isConnected(context) } });

  const identity = identityOf(context, request, target.key);
  const owner = ownerOf(identity ?? target.key, target.address);
  if (!context.spending.request(owner, context.now())) return tooMany(response, 1);
  if (path === "/channels")
    return await answerChannels(context, request, response, { ...target, identity, owner });
  if (!identity) return sendJson(response, 401, { message: "Unauthorized" });
  const refusal = await refusalOf(context, identity);
  if (refusal !== undefined) return sendJson(response, 403, { message: refusal });
  const owed = context.spending.waitMs(owner, context.now());
  if (owed > 0) return tooMany(response, Math.ceil(owed / 1000));
  const caller = { identity, owner };
  const single = SINGLE.exec(path);
  if (!single) return await answerBatch(context, request, response, caller);
  const names = { topic: decode(single[1]), event: decode(single[2]) };
  const isPrivate = url.searchParams.get("private") === "true";
  return await answerSingle(context, request, response, caller, { ...names, private: isPrivate });
}

/** Why the account behind a token may not call. Throws AuthorizationError when the database is not reachable. */
async function refusalOf(context: RealtimeContext, { sub }: Identity): Promise<string | undefined> {
  try {
    return await context.standing.refusal(sub);
  } catch (error) {
    throw new AuthorizationError(reasonOf(error), false);
  }
}

/** Who calls: the token of Authorization, else the key; undefined when the token is refused. */
export function identityOf(
  context: RealtimeContext,
  request: IncomingMessage,
  key: Identity,
): Identity | undefined {
  const token = /^bearer\s+(.+)$/i.exec(headerOf(request, "authorization") ?? "")?.[1];
  if (token === undefined || token.startsWith("sb_")) return key;
  const identity = verifyToken(token, context.jwtKeys, context.now());
  return "problem" in identity ? undefined : identity;
}

async function answerBatch(
  context: RealtimeContext,
  request: IncomingMessage,
  response: ServerResponse,
  caller: Caller,
): Promise<void> {
  const body = await readBody(request, context.limits.frameBytes);
  if (!body) return tooLarge(response);
  const value = parseJson(body);
  if (value === undefined) return badRequest(response, "The body is not valid JSON");
  const parsed = parseBatch(value, context.limits);
  if ("errors" in parsed) return sendJson(response, 422, parsed);
  const headers = JSON.stringify(request.headers);
  const rights = new Map<string, boolean>();
  for (const message of parsed.messages) {
    const { topic, event, payload, id } = message;
    if (message.private) {
      if (!rights.has(topic)) rights.set(topic, await mayBroadcast(context, caller, topic, headers));
      if (!rights.get(topic)) continue; // dropped without a word (batch_broadcast.ex)
    }
    const meta = id === undefined ? "" : `,"meta":{"id":${JSON.stringify(id)}}`;
    const text = `{"event":${JSON.stringify(event)},"payload":${payload},"type":"broadcast"${meta}}`;
    const sent = context.hub.broadcastText(topic, message.private, text);
    context.spending.spend(caller.owner, sent, context.now());
  }
  accepted(response);
}

/** Reads `{messages: [{topic, event, payload, private?}]}`; the errors say for each message what is wrong with it. */
export function parseBatch(
  body: unknown,
  limits: Pick<Limits, "payloadBytes" | "messagesPerRequest" | "nameBytes">,
): { messages: BatchMessage[] } | { errors: { messages: unknown } } {
  const list = isRecord(body) ? body.messages : undefined;
  if (!Array.isArray(list) || list.length === 0) return { errors: { messages: ["can't be blank"] } };
  const { payloadBytes, messagesPerRequest, nameBytes } = limits;
  if (list.length > messagesPerRequest)
    return { errors: { messages: [`should have at most ${messagesPerRequest} item(s)`] } };
  const messages: BatchMessage[] = [];
  const errors: Problems[] = [];
  for (const item of list as unknown[]) {
    const fields = isRecord(item) ? item : {};
    const problems: Problems = {};
    for (const name of ["topic", "event"]) {
      const value = fields[name];
      if (value === undefined || value === null || value === "") problems[name] = ["can't be blank"];
      else if (typeof value !== "string") problems[name] = ["is invalid"];
      else {
        const problem = nameProblem(value, nameBytes);
        if (problem) problems[name] = [problem];
      }
    }
    const json = isRecord(fields.payload) ? toJson(fields.payload) : undefined;
    if (fields.payload === undefined || fields.payload === null) problems.payload = ["can't be blank"];
    else if (json === undefined) problems.payload = ["is invalid"];
    else if (Buffer.byteLength(json) > payloadBytes) problems.payload = ["Payload size exceeds tenant limit"];
    errors.push(problems);
    messages.push({
      topic: String(fields.topic),
      event: String(fields.event),
      payload: json ?? "{}",
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
  caller: Caller,
  message: { topic: string | undefined; event: string | undefined; private: boolean },
): Promise<void> {
  const { topic, event } = message;
  if (topic === undefined || event === undefined)
    return badRequest(response, "The path is not valid percent-encoding");
  for (const [name, value] of Object.entries({ topic, event })) {
    const problem = nameProblem(value, context.limits.nameBytes);
    if (problem) return sendJson(response, 422, { errors: { [name]: [problem] } });
  }
  const type = headerOf(request, "content-type") ?? "";
  const isBinary = type.startsWith("application/octet-stream");
  if (!isBinary && !type.startsWith("application/json"))
    return sendJson(response, 415, { message: "Unsupported Media Type" });
  const body = await readBody(request, context.limits.frameBytes);
  if (!body) return tooLarge(response);
  if (body.length > context.limits.payloadBytes) {
    return sendJson(response, 422, { errors: { payload: ["Payload size exceeds tenant limit"] } });
  }
  if (!isBinary && parseJson(body) === undefined) return badRequest(response, "The body is not valid JSON");
  if (message.private) {
    const headers = JSON.stringify(request.headers);
    if (!(await mayBroadcast(context, caller, topic, headers)))
      return sendJson(response, 403, { message: "Unauthorized" });
  }
  const encoding = isBinary ? "binary" : "json";
  const sent = context.hub.broadcast(topic, message.private, { event, encoding, body });
  context.spending.spend(caller.owner, sent, context.now());
  accepted(response);
}

/** Throws when the database is not reachable; a policy that fails allows nothing. */
async function mayBroadcast(
  context: RealtimeContext,
  { identity, owner }: Caller,
  topic: string,
  headers: string,
): Promise<boolean> {
  try {
    const rights = await atTurn(context, owner, () => mayWrite(context.database, identity, topic, headers));
    return rights.broadcast;
  } catch (error) {
    if (error instanceof AuthorizationError && error.policyFailed) return false;
    throw error;
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

/** A part of a path; undefined where it is not valid percent-encoding. */
function decode(part: string | undefined): string | undefined {
  try {
    return decodeURIComponent(part ?? "");
  } catch {
    return undefined;
  }
}

function badRequest(response: ServerResponse, message: string): void {
  sendJson(response, 400, { message });
}

function tooMany(response: ServerResponse, seconds: number): void {
  sendJson(response, 429, { message: "Too many requests" }, { "retry-after": String(seconds) });
}

function accepted(response: ServerResponse): void {
  response.setHeader("access-control-allow-origin", "*");
  response.writeHead(202, { "content-length": 0 }).end();
}

function tooLarge(response: ServerResponse): void {
  sendJson(response, 413, { message: "Request Entity Too Large" });
}
