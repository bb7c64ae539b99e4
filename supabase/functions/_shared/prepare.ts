/** From an HTTP request to the one RPC call it becomes, or to the refusal that is called instead. */
import { isJsonType, MAX_BODY_BYTES, readBody } from "./body.ts";
import { AGENT_ID, type ErrorCode } from "./contract/index.ts";
import { isIdempotencyKey } from "./headers.ts";
import { parseJson, storageProblems } from "./json.ts";
import type { RpcCall } from "./postgrest.ts";
import { type Problems, problemsOf, safeText } from "./problems.ts";
import { readQuery } from "./query.ts";
import type { Route, Source } from "./route.ts";

/** A request that the function itself must refuse; SQL counts it and speaks for the function. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Problems;
  readonly headers?: Record<string, string>;
}

export type Prepared = { readonly call: RpcCall } | { readonly refusal: Refusal };

/**
 * Checks a request against its route's contract, naming every wrong field at once.
 * @param route the row of the route table that matched
 * @param request the client's request
 * @param parameters the path's parameters
 */
export async function prepare(
  route: Route,
  request: Request,
  parameters: Readonly<Record<string, string>>,
): Promise<Prepared> {
  const id = parameters.agentId;
  if (id !== undefined && !AGENT_ID.test(id)) return { refusal: noSuchAgent(id) };
  const query = readQuery(route.query, searchOf(request.url));
  const body = route.body === undefined ? { text: "{}", value: {} } : await checkBody(route.body, request);
  if ("refusal" in body) return body;
  const headerProblems = idempotencyProblems(request);
  const bodyProblems = "problems" in body ? body.problems : {};
  const problems = { ...headerProblems, ...query.problems, ...bodyProblems };
  if (Object.keys(problems).length > 0) {
    const parts = [headerProblems, query.problems, bodyProblems].map((part) => Object.keys(part).length > 0);
    return { refusal: { code: "VALIDATION_ERROR", message: messageFor(parts), details: problems } };
  }
  const given = {
    path: parameters,
    query: query.values,
    body: "value" in body ? body : { text: "{}", value: {} },
  };
  return { call: { rpc: route.rpc, args: argumentsOf(route.args, given) } };
}

/**
 * The call that refuses in the function's place.
 * @param refusal what is wrong
 */
export const refusalCall = ({ code, message, details }: Refusal): RpcCall => ({
  rpc: "refuse_request",
  args: JSON.stringify({ code, message, details: details ?? null }),
});

function searchOf(url: string): URLSearchParams {
  const at = url.indexOf("?");
  return new URLSearchParams(at === -1 ? "" : url.slice(at));
}

function noSuchAgent(id: string): Refusal {
  const message = `Agent with ID '${safeText(id, 100)}' not found or access denied`;
  return { code: "AGENT_NOT_FOUND", message };
}

function messageFor([header, query, body]: boolean[]): string {
  if (body === true && header !== true && query !== true) return "Invalid request body";
  if (query === true && header !== true && body !== true) return "Invalid query parameters";
  return header === true && query !== true && body !== true ? "Invalid request header" : "Invalid request";
}

function idempotencyProblems(request: Request): Problems {
  const key = request.method === "POST" ? request.headers.get("idempotency-key") : null;
  return key === null || isIdempotencyKey(key)
    ? {}
    : { "Idempotency-Key": "Must be 1 to 255 visible ASCII characters" };
}

interface Body {
  /** As the client wrote it: it reaches SQL unchanged. */
  readonly text: string;
  readonly value: unknown;
}
type Checked = Body | { readonly problems: Problems } | { readonly refusal: Refusal };

async function checkBody(
  { schema, required, mistaken, maxBytes = MAX_BODY_BYTES }: NonNullable<Route["body"]>,
  request: Request,
): Promise<Checked> {
  const read = await readBody(request, maxBytes);
  if ("refusal" in read) return { refusal: unreadable(read.refusal, maxBytes) };
  const { text } = read;
  if (text.trim() === "") {
    return required ? { problems: { body: "Required" } } : { text: "{}", value: {} };
  }
  if (!isJsonType(request.headers.get("content-type"))) return { refusal: notJsonType };
  const parsed = parseJson(text);
  if ("fault" in parsed) {
    const { line, column, position, problem } = parsed.fault;
    const at = `line ${line}, column ${column} (position ${position})`;
    return { problems: { body: `Malformed JSON at ${at}: ${problem}` } };
  }
  const { value } = parsed;
  const unfit = storageProblems(value);
  if (Object.keys(unfit).length > 0) return { problems: unfit };
  const mistake = mistaken?.(value);
  if (mistake !== undefined) return { problems: { ...mistake } };
  const result = schema.safeParse(value);
  return result.success ? { text, value } : { problems: problemsOf(result.error.issues, value, "body") };
}

const notJsonType: Refusal = {
  code: "UNSUPPORTED_MEDIA_TYPE",
  message: "The body must be declared as Content-Type: application/json",
  details: { "Content-Type": "Must be application/json" },
};

function unreadable(why: "too large" | "not utf-8" | "broken off", most: number): Refusal {
  if (why === "too large") {
    return { code: "PAYLOAD_TOO_LARGE", message: `The body must be at most ${most} bytes` };
  }
  const problem = why === "not utf-8" ? "Is not UTF-8 text" : "Broke off before its end";
  return { code: "VALIDATION_ERROR", message: "Invalid request body", details: { body: problem } };
}

interface Given {
  readonly path: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: Body;
}

function argumentsOf(args: Route["args"], given: Given): string {
  const members = Object.entries(args).map(
    ([name, source]) => `${JSON.stringify(name)}:${argument(source, given)}`,
  );
  return `{${members.join(",")}}`;
}

/** Absent arguments are null, so that PostgREST finds the function by its full list of names. */
function argument(source: Source, given: Given): string {
  if (source.in === "path") return JSON.stringify(given.path[source.name]);
  if (source.in === "query") return JSON.stringify(given.query[source.name] ?? null);
  if (source.name === undefined) return given.body.text;
  return JSON.stringify((given.body.value as Record<string, unknown>)[source.name] ?? null);
}
