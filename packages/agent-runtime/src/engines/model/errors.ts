// Turns model errors into what a caller reads.

import { AISDKError, APICallError, LoadAPIKeyError, NoContentGeneratedError, RetryError } from "ai";
import { UnknownHostError } from "../../../../../supabase/functions/_shared/addresses.ts";
import { AgentError } from "../../errors.ts";
import { refusedAddress } from "../../outside/fetch.ts";
import { secretSpellings } from "../../spellings.ts";

/**
 * Turns whatever a model call threw into what the caller reads. The provider's own words stay in the log (as the cause):
 * they may quote keys or internals; the owner gets them by {@link withProviderWords}.
 * @param timedOut whether the message's time was over
 */
export function mapModelError(error: unknown, framework: string, timedOut: boolean): AgentError {
  const cause = RetryError.isInstance(error) ? error.lastError : error;
  if (cause instanceof AgentError) return cause;
  if (timedOut) return new AgentError("MODEL_TIMEOUT", `${framework} did not answer in time.`, { cause });
  if (LoadAPIKeyError.isInstance(cause)) {
    return new AgentError("MODEL_UNCONFIGURED", `No key for ${framework} is set.`, { cause });
  }
  if (NoContentGeneratedError.isInstance(cause)) {
    return new AgentError("MODEL_BAD_RESPONSE", `${framework} answered without a reply.`, { cause });
  }
  const refused = refusedAddress(cause);
  if (refused instanceof UnknownHostError) {
    const cure = "Check the network, and the address if you set one.";
    const message = `${framework} cannot be reached: its host name was not found. ${cure}`;
    return new AgentError("MODEL_UNAVAILABLE", message, { cause });
  }
  if (refused !== undefined) {
    const cure = "An operator can allow it with LAUNCHPAD_AGENT_PRIVATE_HOSTS.";
    const message = `The address set for ${framework} is not allowed: ${refused.message} ${cure}`;
    return new AgentError("MODEL_UNAVAILABLE", message, { cause });
  }
  const status = statusOf(cause);
  if (status === null) {
    if (AISDKError.isInstance(cause)) {
      // What the SDK itself throws while reading an answer: a body that is not JSON, or not of the known form.
      return new AgentError("MODEL_BAD_RESPONSE", `${framework} sent an answer that cannot be understood.`, {
        cause,
      });
    }
    if (isUnsendable(cause)) {
      const message = `The key for ${framework} has characters that no key has; set it again.`;
      return new AgentError("MODEL_AUTHENTICATION_FAILED", message);
    }
    return new AgentError("INTERNAL_ERROR", "The agent failed to answer.", { cause });
  }
  if (status === undefined)
    return new AgentError("MODEL_UNAVAILABLE", `${framework} cannot be reached.`, { cause });
  if (isSpent(cause, status)) {
    const message = `${framework} refuses every request: the account of this key has nothing left to spend (${status}).`;
    return new AgentError("MODEL_QUOTA_EXHAUSTED", message, { cause });
  }
  if (status === 429) {
    const seconds = readRetryAfter(
      APICallError.isInstance(cause) ? cause.responseHeaders?.["retry-after"] : undefined,
    );
    return new AgentError("MODEL_RATE_LIMITED", `${framework} refuses more requests for now (429).`, {
      cause,
      retryAfterSeconds: seconds ?? 10,
    });
  }
  if (status === 401 || status === 403) {
    return new AgentError("MODEL_AUTHENTICATION_FAILED", `${framework} refused the key (${status}).`, {
      cause,
    });
  }
  if (status === 404)
    return new AgentError("MODEL_NOT_FOUND", `${framework} does not know the model (404).`, { cause });
  if (status === 408 || status === 504) {
    return new AgentError("MODEL_TIMEOUT", `${framework} did not answer in time (${status}).`, { cause });
  }
  if (status >= 500)
    return new AgentError("MODEL_UNAVAILABLE", `${framework} is failing (${status}).`, { cause });
  if (status >= 400) {
    return new AgentError("MODEL_REQUEST_REJECTED", `${framework} rejected the request (${status}).`, {
      cause,
    });
  }
  return new AgentError("MODEL_BAD_RESPONSE", `${framework} sent an answer that cannot be understood.`, {
    cause,
  });
}

/** The most that is repeated of a provider's own words. */
const MAX_WORDS = 400;
/** Codes whose cause is in what the owner set: only the provider knows which part it refuses. */
const EXPLAINED = new Set([
  "MODEL_REQUEST_REJECTED",
  "MODEL_NOT_FOUND",
  "MODEL_QUOTA_EXHAUSTED",
  "MODEL_AUTHENTICATION_FAILED",
  "MODEL_RATE_LIMITED",
]);

/**
 * The failure as the agent's owner is told of it: with the provider's own words, one line, without keys. Nobody else gets
 * them: they may quote the agent's instructions. The cause becomes a text without keys, for the log.
 */
export function withProviderWords(failure: AgentError, secrets: readonly string[]): AgentError {
  const { cause } = failure;
  let words = EXPLAINED.has(failure.code) ? withoutKeys(wordsOf(cause), secrets) : "";
  words = words.replaceAll(/[\s\p{Cc}]+/gu, " ").trim();
  if (words.length > MAX_WORDS) words = `${words.slice(0, MAX_WORDS)} …`;
  const { code, details, retryAfterSeconds } = failure;
  const message = `${failure.message}${failure.code === "MODEL_NOT_FOUND" ? withoutKeys(requested(cause), secrets) : ""}`;
  return new AgentError(code, words === "" ? message : `${message} It says: ${words}`, {
    ...(details && { details }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    ...(cause !== undefined && { cause: withoutKeys(String(cause), secrets) }),
  });
}

/** Which model was requested where, as far as a failed call says so; begins with a blank. */
function requested(cause: unknown): string {
  const { url, requestBodyValues } = (cause ?? {}) as { url?: unknown; requestBodyValues?: unknown };
  if (typeof url !== "string" || !URL.canParse(url)) return "";
  const { origin, pathname } = new URL(url);
  const { model } = (requestBodyValues ?? {}) as { model?: unknown };
  // Google's addresses name the model.
  const what = typeof model === "string" ? `Model ${model.slice(0, 200)}` : "It";
  return ` ${what} was requested at ${origin}${pathname}.`;
}

/** A provider's words without keys: those called with, what looks like one, and what the provider itself masked (`abcd***wxyz`). */
function withoutKeys(words: string, secrets: readonly string[]): string {
  let clean = words;
  // Anything shorter cannot be a key, and would blot out ordinary words.
  for (const secret of secrets.filter(({ length }) => length >= 8).flatMap(secretSpellings)) {
    clean = clean.replaceAll(secret, "[secret]");
  }
  return clean
    .replaceAll(/\bsk-[\w*.-]+|\b(?:sk|AIza|key|Bearer)[-_ ]?[\w*.-]{12,}/g, "[secret]")
    .replaceAll(/[^\s"'`*]*\*{3,}[^\s"'`]*/g, "[secret]");
}

/** What a provider said of a call it refused: by its own form of an error, or as whatever else its body is. */
function wordsOf(cause: unknown): string {
  if (!APICallError.isInstance(cause)) {
    const { message, statusCode } = (cause ?? {}) as { message?: unknown; statusCode?: unknown };
    return typeof message === "string" && typeof statusCode === "number" ? message : "";
  }
  const { data, message, responseBody = "" } = cause;
  // Without data the body was not of the provider's form, and the message is the status in words.
  if (data !== undefined || responseBody.trim() === "" || /^\s*</.test(responseBody)) return message;
  try {
    const { error, detail, message: said } = JSON.parse(responseBody);
    const found = [error, detail, said].find((value) => value !== undefined && value !== null);
    return typeof found === "string" ? found : JSON.stringify(found ?? JSON.parse(responseBody));
  } catch {
    return responseBody;
  }
}

/** Whether a header could not be made: the key is the one header whose value people give. (Node's words, and Deno's.) */
function isUnsendable(cause: unknown): boolean {
  return cause instanceof TypeError && /ByteString|header/i.test(cause.message);
}

/** The HTTP status a call failed with; undefined where the provider was not reached, null where it was no failed call. */
function statusOf(cause: unknown): number | undefined | null {
  if (APICallError.isInstance(cause)) return cause.statusCode;
  // An error inside a stream, as the AI SDK passes it on.
  const { statusCode } = (cause ?? {}) as { statusCode?: unknown };
  if (typeof statusCode === "number") return statusCode;
  // Google's own SDK, which elizaOS's plugin uses, throws its own errors and passes fetch's on.
  const { name, status, message } = (cause ?? {}) as { name?: unknown; status?: unknown; message?: unknown };
  if (name === "ApiError" && typeof status === "number") return status;
  return name === "TypeError" && message === "fetch failed" ? undefined : null;
}

/** How providers say that waiting does not help: a person has to pay, or to raise a limit. (OpenAI, Anthropic, Google.) */
const SPENT =
  /insufficient_quota|billing_(hard_limit_reached|not_active|error)|credit balance is too low|\blimit: 0\b/;

function isSpent(cause: unknown, status: number): boolean {
  if (status === 402) return true;
  if (status !== 429 && status !== 400 && status !== 403) return false;
  const { responseBody, data, message } = cause as {
    responseBody?: string;
    data?: unknown;
    message?: string;
  };
  return SPENT.test(`${responseBody ?? JSON.stringify(data) ?? ""} ${message}`);
}

function readRetryAfter(value: string | undefined): number | undefined {
  const seconds = Number(value);
  return value !== undefined && Number.isFinite(seconds) && seconds >= 0
    ? Math.min(Math.ceil(seconds), 3600)
    : undefined;
}
