// Turns an API server's error responses into errors with words people can act on.

import { KubeError, type KubeErrorCode } from "./api.ts";

/** What was asked: for the sentence that tells why it did not work. */
export interface Asked {
  verb: string;
  resource: string;
  namespace: string;
  name: string;
}

interface Status {
  reason?: string;
  message?: string;
  details?: {
    retryAfterSeconds?: number;
    causes?: { reason?: string; message?: string; field?: string }[];
  };
}

/** The most of a server's own words that is handed on. */
const MOST = 600;

/** Puts an answer that is not a success into words. */
export function failureOf(
  asked: Asked,
  status: number,
  body: string,
  retryAfter: string | undefined,
): KubeError {
  const told = parseStatus(body);
  const causes = told.details?.causes ?? [];
  const words = (told.message ?? body).replaceAll(/\s+/g, " ").trim().slice(0, MOST);
  const code = codeOf(status, told, words);
  const seconds = Number(retryAfter ?? told.details?.retryAfterSeconds ?? Number.NaN);
  return new KubeError(code, sentence(code, asked, words), {
    status,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
    conflicts: causes
      .filter(({ reason }) => reason === "FieldManagerConflict")
      .map(({ field, message }) => ({
        field: field ?? "",
        manager: /conflict with "([^"]*)"/.exec(message ?? "")?.[1] ?? "somebody",
      })),
  });
}

/**
 * Words of a refusal that judges nothing: the API server or what it asked (a quota, a policy engine) could not decide just
 * now. They come with 400, 403 and 422 as a verdict does, and the same object is taken a moment later.
 */
const PASSING = new RegExp(
  [
    "not yet ready to handle request",
    "status unknown for quota",
    "retry after the service account is created",
    "fail(ed|ure)? (to )?(call|calling|connect|load|fetch|get|list|evaluate|process|substitute|resolve)",
    "failed to configure (policy|binding)",
    "resulted in error",
    "no params found",
    "context deadline exceeded|deadline has elapsed|timed? ?out|timeout",
    "connection (refused|reset)|no such host|no endpoints available|unexpected EOF|TLS handshake",
    "Internal error occurred|currently unable to handle|etcdserver|leader changed",
  ].join("|"),
  "i",
);

/** Whether the refusal is no verdict; a missing right is one, whatever the words of its object. */
function isPassing(words: string): boolean {
  return !/ cannot \w+ resource /.test(words) && PASSING.test(words);
}

function codeOf(status: number, told: Status, words: string): KubeErrorCode {
  switch (status) {
    case 400:
    case 422:
      return isPassing(words) ? "BUSY" : "INVALID";
    case 413:
    case 415:
      return "INVALID";
    case 401:
      return "UNAUTHORIZED";
    case 403: {
      const ending = told.details?.causes?.some(({ reason }) => reason === "NamespaceTerminating");
      if (ending === true || words.includes("because it is being terminated")) return "TERMINATING";
      if (words.includes("exceeded quota")) return "QUOTA";
      return isPassing(words) ? "BUSY" : "FORBIDDEN";
    }
    case 404:
      return "NOT_FOUND";
    case 409:
      return "CONFLICT";
    case 410:
      return "GONE";
    case 429:
    case 503:
    case 504:
      return "BUSY";
    default:
      return status >= 500 ? "SERVER" : "INVALID";
  }
}

function sentence(code: KubeErrorCode, { verb, resource, namespace, name }: Asked, words: string): string {
  const what = `${verb} ${resource}${name === "" ? "" : ` "${name}"`}${namespace === "" ? "" : ` in namespace ${namespace}`}`;
  switch (code) {
    case "UNAUTHORIZED":
      return `The Kubernetes API server does not know who the controller is (to ${what}): its token or certificate is not valid.`;
    case "FORBIDDEN":
      return `The controller may not ${what}: ${words}`;
    case "TERMINATING":
      return `The namespace ${namespace} is being deleted; nothing can be made in it until it is gone.`;
    case "QUOTA":
      return `The quota of namespace ${namespace} does not allow to ${what}: ${words}`;
    case "NOT_FOUND":
      return `Could not ${what}, since there is no such thing: ${words}`;
    case "BUSY":
      return `The Kubernetes API server is busy (${what}): ${words}`;
    default:
      return `The Kubernetes API server would not ${what}: ${words}`;
  }
}

function parseStatus(body: string): Status {
  try {
    const parsed: unknown = JSON.parse(body);
    return parsed !== null && typeof parsed === "object" ? (parsed as Status) : {};
  } catch {
    return {};
  }
}

/** Puts a call that got no answer into words. */
export function unreachable(server: string, { verb, resource }: Asked, cause: unknown): KubeError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  const name = cause instanceof Error ? cause.name : "";
  const why =
    name === "TimeoutError" || name === "AbortError" || code === "UND_ERR_HEADERS_TIMEOUT"
      ? "did not answer in time"
      : (code ?? "").includes("CERT") ||
          (code ?? "").startsWith("ERR_TLS") ||
          code === "ERR_SSL_WRONG_VERSION_NUMBER"
        ? `has a certificate that is not trusted (${code})`
        : `cannot be reached${code === undefined ? "" : ` (${code})`}`;
  return new KubeError(
    "UNREACHABLE",
    `The Kubernetes API server at ${server} ${why} (${verb} ${resource}).`,
    {
      cause,
    },
  );
}
