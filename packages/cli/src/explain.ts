// Turns any error into one sentence with a cure, and an exit code.

import { CliError, codeOf, type Facts } from "./errors.ts";
import type { Outcome } from "./exit-codes.ts";

/** What an error of the API, of Auth or of PostgREST has in common. */
interface RemoteError {
  name?: string;
  message: string;
  code?: string;
  status?: number;
  requestId?: string;
  details?: unknown;
  retryAfter?: number;
}

/** Where the failed command was speaking to. */
export interface Place {
  url?: string | undefined;
  /** The local stack: then "is it running?" is the first question. */
  local?: boolean | undefined;
  /** Where the stack of this folder runs, when that is another address than the login's. */
  movedTo?: string | undefined;
  /** The login is LAUNCHPAD_TOKEN. */
  token?: boolean | undefined;
  /** The agent, as a command may name it. */
  agent?: string | undefined;
}

const SIGN_IN = "sign in with `launchpad login`";

/** Outcome of each code that the API answers with; the rest is judged by status. */
const outcomes: Record<string, Outcome> = {
  INVALID_JWT_TOKEN: "unauthenticated",
  INSUFFICIENT_PERMISSIONS: "forbidden",
  PERMISSION_DENIED: "forbidden",
  RLS_ACCESS_DENIED: "forbidden",
  AGENT_NOT_FOUND: "notFound",
  NOT_FOUND: "notFound",
  VALIDATION_ERROR: "invalid",
  INVALID_FRAMEWORK: "invalid",
  INVALID_MODEL: "invalid",
  PAYLOAD_TOO_LARGE: "invalid",
  CONFLICT: "conflict",
  IDEMPOTENCY_CONFLICT: "conflict",
  RATE_LIMIT_EXCEEDED: "limited",
  RESOURCE_LIMIT_EXCEEDED: "limited",
  AGENT_LIMIT_REACHED: "limited",
  SUPABASE_CONNECTION_ERROR: "unreachable",
  REAL_TIME_SUBSCRIPTION_FAILED: "unreachable",
  TIMEOUT: "unreachable",
  DEPLOYMENT_FAILED: "failed",
  ANSWER_FAILED: "failed",
  SECURITY_SCAN_FAILED: "refuted",
};

/**
 * Turns whatever was thrown into a sentence for people and an outcome for programs. Pure.
 * @param error anything
 * @param place where the command was speaking to
 */
export function explain(error: unknown, place: Place = {}): CliError {
  if (error instanceof CliError) return error;
  const network = networkReason(error);
  if (network !== undefined) return new CliError("unreachable", unreachable(place, network), factsOf(error));
  const postgrest = postgrestReason(error);
  if (postgrest !== undefined)
    return new CliError("unreachable", unreachable(place, postgrest), {
      cause: error,
      code: "SUPABASE_CONNECTION_ERROR",
    });
  if (isRemote(error)) return explainRemote(error, place);
  const message = error instanceof Error ? error.message : String(error);
  return new CliError("internal", `${sentence(message)} \`--debug\` shows where.`, { cause: error });
}

function explainRemote(error: RemoteError, place: Place): CliError {
  const facts = factsOf(error);
  const auth = /^Auth/.test(error.name ?? "") ? explainAuth(error, place) : undefined;
  if (auth) return auth;
  if (/invalid api key|no api key/i.test(error.message)) return wrongKey(place, facts);
  const outcome = outcomes[error.code ?? ""] ?? byStatus(error.status);
  return new CliError(outcome, remoteSentence(outcome, error, place), facts);
}

function remoteSentence(outcome: Outcome, error: RemoteError, place: Place): string {
  const said = sentence(error.message);
  switch (outcome) {
    case "unauthenticated":
      return place.token
        ? "The token in LAUNCHPAD_TOKEN is not valid here, or has expired; set another one."
        : `The login is not valid here, or has expired; ${SIGN_IN}.`;
    case "unreachable":
      return unreachable(place, error.message);
    case "limited":
      return error.retryAfter === undefined ? said : `${said} Try again in ${error.retryAfter} s.`;
    case "internal":
      if (error.code === "INVALID_RESPONSE")
        return `${place.url ?? "The address"} does not answer as Agent Launchpad does; check --url and that the function \`api\` is deployed.`;
      return `${said} Quote the request id when you report it.`;
    case "failed":
      return said + keyAdvice(codeOf(error.details), said, place.agent);
    default:
      return said;
  }
}

/** The secret that holds each provider's key. */
const keyNames: Record<string, string> = {
  openai: "OPENAI_API_KEY",
  anthropic: "ANTHROPIC_API_KEY",
  google: "GOOGLE_GENERATIVE_AI_API_KEY",
};

/**
 * What to do about an agent that has no model key, or a bad one; begins with a blank. Pure.
 * @param said the failure in words, which may name the key that is missing
 */
export function keyAdvice(code: string | undefined, said: string, agent = "<agent>"): string {
  const name =
    /\b[A-Z_]+_API_KEY\b/.exec(said)?.[0] ?? keyNames[/\b(openai|anthropic|google)\b/.exec(said)?.[1] ?? ""];
  if (code === "MODEL_UNCONFIGURED")
    return ` Set one with \`launchpad secrets set ${agent} ${name ?? "OPENAI_API_KEY"}\`.`;
  return code === "MODEL_AUTHENTICATION_FAILED"
    ? ` Set another with \`launchpad secrets set ${agent}${name ? ` ${name}` : ""}\`.`
    : "";
}

function explainAuth(error: RemoteError, place: Place): CliError | undefined {
  const facts = factsOf(error);
  if (error.name === "AuthRetryableFetchError" && !error.status)
    return new CliError("unreachable", unreachable(place, error.message), facts);
  if (/invalid api key|no api key/i.test(error.message)) return wrongKey(place, facts);
  switch (error.code) {
    case "invalid_credentials":
      return new CliError("unauthenticated", "E-mail or password is wrong; try again.", facts);
    case "email_not_confirmed":
      return new CliError("unauthenticated", "Confirm the address first: a mail has the link.", facts);
    case "otp_disabled":
      return new CliError(
        "unauthenticated",
        "No account uses this address. Add --sign-up to create one.",
        facts,
      );
    case "otp_expired":
      return new CliError(
        "unauthenticated",
        "The link or code is wrong or was used; ask for another.",
        facts,
      );
    case "user_already_exists":
      return new CliError("conflict", "This address has an account; sign in without --sign-up.", facts);
    case "refresh_token_not_found":
    case "refresh_token_already_used":
    case "session_not_found":
    case "session_expired":
      return new CliError("unauthenticated", `The login has expired; ${SIGN_IN}.`, facts);
    default:
      return undefined;
  }
}

function wrongKey(place: Place, facts: Facts): CliError {
  const where = place.url ?? "the project";
  return new CliError(
    "unauthenticated",
    `The key is not one of ${where}; copy its publishable key and give it with --key, LAUNCHPAD_KEY or \`launchpad login\`.`,
    { ...facts, code: "INVALID_API_KEY" },
  );
}

function unreachable(place: Place, reason: string): string {
  const where = place.url ?? "The project";
  const advice = place.movedTo
    ? `the stack of this folder runs at ${place.movedTo}: add \`--url ${place.movedTo}\` to \`launchpad login\` and sign in there`
    : place.local
      ? "start the stack with `npm start`, or name another project with --url"
      : "check the connection and the address (--url)";
  return `${where} cannot be reached (${reason.replace(/\.$/, "")}); ${advice}.`;
}

function byStatus(status: number | undefined): Outcome {
  if (status === undefined) return "internal";
  if (status === 401) return "unauthenticated";
  if (status === 403) return "forbidden";
  if (status === 404) return "notFound";
  if (status === 409) return "conflict";
  if (status === 429) return "limited";
  if (status >= 502 && status <= 504) return "unreachable";
  return status >= 400 && status < 500 ? "invalid" : "internal";
}

const networkReasons: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "names cannot be looked up",
  ECONNRESET: "the connection was reset",
  EPIPE: "the connection was closed",
  ETIMEDOUT: "no answer in time",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no network",
  UND_ERR_CONNECT_TIMEOUT: "no answer in time",
  UND_ERR_SOCKET: "the connection was closed",
  CERT_HAS_EXPIRED: "its certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed",
};

/** Why the network failed, from the innermost cause; undefined when it is no failure of the network. */
function networkReason(error: unknown): string | undefined {
  for (let each = error, depth = 0; each instanceof Error && depth < 6; each = each.cause, depth += 1) {
    const known = networkReasons[codeOf(each) ?? ""];
    if (known !== undefined) return known;
    if (each instanceof AggregateError) {
      const inner = networkReason(each.errors[0]);
      if (inner !== undefined) return inner;
    }
    if (each.name === "TimeoutError") return "no answer in time";
  }
  if (!(error instanceof TypeError) || error.message !== "fetch failed") return undefined;
  return error.cause instanceof Error ? error.cause.message : "the request failed";
}

/** The same of an error of supabase-js's PostgREST client, which keeps of the cause only its text. */
function postgrestReason(error: unknown): string | undefined {
  if (!isRemote(error) || error.status !== 0 || !/fetch failed/.test(error.message)) return undefined;
  const code = typeof error.details === "string" ? /\(([A-Z_]+)\)/.exec(error.details)?.[1] : undefined;
  return networkReasons[code ?? ""] ?? "the request failed";
}

function isRemote(error: unknown): error is RemoteError {
  if (typeof error !== "object" || error === null) return false;
  const { message, status, code, name } = error as Record<string, unknown>;
  if (typeof message !== "string") return false;
  return (
    typeof status === "number" ||
    (typeof code === "string" && (name === undefined || !/^E[A-Z]+$/.test(code)))
  );
}

function factsOf(error: unknown): Facts {
  const { code, requestId, details } = (error ?? {}) as Partial<RemoteError>;
  const fields = fieldsOf(details);
  return {
    cause: error,
    ...(typeof code === "string" && code !== "" ? { code: code.toUpperCase() } : {}),
    ...(typeof requestId === "string" ? { requestId } : {}),
    ...(fields ? { details: fields } : {}),
  };
}

/** Field → problem: an object from `/api`, a JSON text from PostgREST. */
function fieldsOf(details: unknown): Record<string, unknown> | undefined {
  if (typeof details === "object" && details !== null && !Array.isArray(details))
    return details as Record<string, unknown>;
  if (typeof details !== "string" || !details.startsWith("{")) return undefined;
  try {
    return fieldsOf(JSON.parse(details));
  } catch {
    return undefined; // a text that only looks like JSON
  }
}

function sentence(text: string): string {
  const first = text.trim().replace(/\s*\n\s*/g, " ");
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
