// What Auth answers, brought to what hosted Auth does where @supabase/lite does less: refusals of the database in Auth's form, a
// changed password that ends other sessions, tokens of banned accounts, and answers that do not tell which addresses have an account.
import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { compare, hash } from "bcryptjs";
import type { FetchHandler } from "../gateway/in-process.ts";

/** What the database said in the request under way. */
const said = new AsyncLocalStorage<{ error?: unknown }>();

/** Keeps the database's error of a query, for the request that made it. Called by the connection. */
export function noteError(error: unknown): void {
  const under = said.getStore();
  if (under) under.error = error;
}

/** Answers that depend on whether an account exists leave at multiples of this; the work takes 5 to 120 ms. */
const STEP_MS = 250;
/** Cost of the passwords that lite stores. */
const COST = 10;

/** Requests that act on an address and answer the same for every address. */
const MAILS = new Set(["/otp", "/magiclink", "/recover", "/resend"]);

export interface AuthAnswersOptions {
  /** Whether an account has this address and a password. */
  hasPassword: (email: string) => Promise<boolean>;
  /** Whether this `Authorization` is a genuine token of an account that is banned. */
  isBanned: (authorization: string | null) => Promise<boolean>;
  now?: () => number;
}

/** Takes Auth's own handler; gives one that answers as hosted does. */
export function withHostedAnswers(
  handler: FetchHandler,
  { hasPassword, isBanned, now = performance.now.bind(performance) }: AuthAnswersOptions,
): FetchHandler {
  const ask = withRefusals(handler);
  let decoy: Promise<string> | undefined;

  /** A wrong password costs the same whether there was one to compare with or not. */
  async function passwordSignIn(request: Request, body: Record<string, unknown>): Promise<Response> {
    const { email, password } = body;
    if (typeof password !== "string") return invalid("password must be a string");
    decoy ??= hash("a password that nobody has", COST);
    const [answer, known] = await Promise.all([
      ask(request),
      typeof email === "string" ? hasPassword(email) : true,
      decoy,
    ]);
    if (answer.status === 400 && !known) await compare(password, await decoy);
    return answer;
  }

  async function sendMail(request: Request): Promise<Response> {
    const began = now();
    const answer = await ask(request);
    await sleep(STEP_MS - ((now() - began) % STEP_MS));
    const tells =
      answer.status === 422 ? "otp_disabled" : answer.status === 429 ? "over_email_send_rate_limit" : "";
    if (tells === "" || (await codeOf(answer)) !== tells) return answer;
    return Response.json({});
  }

  /** Other sessions are refused their next refresh, as on hosted. */
  async function updateUser(request: Request, body: Record<string, unknown>): Promise<Response> {
    const answer = await ask(request);
    if (!answer.ok || typeof body.password !== "string") return answer;
    const ended = await ask(
      new Request(new URL("/auth/v1/logout?scope=others", request.url), {
        method: "POST",
        headers: { authorization: request.headers.get("authorization") ?? "" },
      }),
    );
    // The password is changed; whoever relies on the others' end must know that they did not.
    return ended.ok ? answer : ended;
  }

  return async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const path = pathname.replace(/^\/auth\/v1/, "");
    if (path !== "/logout" && (await isBanned(request.headers.get("authorization")))) return banned();
    const isSignIn = path === "/token" && searchParams.get("grant_type") === "password";
    if (request.method === "POST" && MAILS.has(path)) return await sendMail(request);
    if (!(request.method === "POST" && isSignIn) && !(request.method === "PUT" && path === "/user"))
      return await ask(request);
    const text = await request.text();
    const again = new Request(request, { body: text });
    const body = objectOf(text);
    if (body === undefined) return await ask(again); // Auth itself says what is wrong with it
    return isSignIn ? await passwordSignIn(again, body) : await updateUser(again, body);
  };
}

/** Lite answers 500 to what a rule of the database refuses. */
function withRefusals(handler: FetchHandler): FetchHandler {
  return async (request) => {
    const noted: { error?: unknown } = {};
    const answer = await said.run(noted, () => handler(request));
    if (answer.status < 500 || !(noted.error instanceof Error)) return answer;
    const { message } = noted.error;
    if (message === "user_banned") return banned();
    const rule = "code" in noted.error && noted.error.code === "PGRST" ? objectOf(message) : undefined;
    const details = typeof rule?.details === "string" ? objectOf(rule.details) : undefined;
    if (rule?.code !== "VALIDATION_ERROR") return answer;
    return invalid(
      Object.entries(details ?? {})
        .map(([field, problem]) => `${field}: ${String(problem)}`)
        .join("; "),
    );
  };
}

const banned = () => refusal(403, "user_banned", "User is banned");
const invalid = (message: string) => refusal(400, "validation_failed", message);

/** Auth's own form of an error, as supabase-js reads it. */
function refusal(status: number, code: string, message: string): Response {
  return Response.json(
    { code: status, error_code: code, msg: message },
    { status, headers: { "x-sb-error-code": code } },
  );
}

async function codeOf(answer: Response): Promise<unknown> {
  return objectOf(await answer.clone().text())?.error_code;
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
