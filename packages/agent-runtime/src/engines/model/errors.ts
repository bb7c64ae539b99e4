import { APICallError, LoadAPIKeyError, NoContentGeneratedError, RetryError } from "ai";
import { AgentError } from "../../errors.ts";

/**
 * Turns whatever a model call threw into what the caller is told. The provider's own words stay in the log (as the cause):
 * they may quote keys or internals.
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
  if (!APICallError.isInstance(cause)) {
    // What the SDK throws of its own while reading an answer: a body that is no JSON, or not of the known form.
    return new AgentError("MODEL_BAD_RESPONSE", `${framework} sent an answer that cannot be understood.`, {
      cause,
    });
  }
  const status = cause.statusCode;
  if (status === undefined)
    return new AgentError("MODEL_UNAVAILABLE", `${framework} cannot be reached.`, { cause });
  if (status === 429) {
    const seconds = readRetryAfter(cause.responseHeaders?.["retry-after"]);
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

function readRetryAfter(value: string | undefined): number | undefined {
  const seconds = Number(value);
  return value !== undefined && Number.isFinite(seconds) && seconds >= 0
    ? Math.min(Math.ceil(seconds), 3600)
    : undefined;
}
