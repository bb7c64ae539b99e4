// The project (Supabase) as a replica reaches it: one call of an RPC over a kept-alive connection, and why it failed.

import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import process from "node:process";

/** The project answered, and refuses: its status, and the code and message of its error. */
export class ProjectRefusal extends Error {
  readonly status: number;
  readonly code: string;
  /** Field → problem, where the error has them. */
  readonly details: Readonly<Record<string, string>> | undefined;

  constructor(status: number, code: string, message: string, details?: Record<string, string>) {
    super(message);
    this.name = "ProjectRefusal";
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

/** The project could not be reached, did not answer in time, or failed itself. */
export class ProjectUnavailable extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "ProjectUnavailable";
  }
}

export interface CallOptions {
  /** A user's token; without one the call is anonymous. */
  readonly bearer?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Project {
  /**
   * Calls a function of the database.
   * @returns its answer, parsed
   * @throws ProjectRefusal, ProjectUnavailable; the signal's reason when that ended the call
   */
  call<T>(rpc: string, args: Readonly<Record<string, unknown>>, options?: CallOptions): Promise<T>;
  /** Calls an edge function of the project, by its path; otherwise as `call`. */
  invoke<T>(path: string, args: Readonly<Record<string, unknown>>): Promise<T>;
  /** Closes the idle connections. */
  close(): void;
}

export interface ProjectAccess {
  readonly url: string;
  readonly key: string;
  /** `<agentId>.<credential>`: our gateway reserves a share of the database for runtimes that send it. */
  readonly runtime?: (() => string) | undefined;
}

const TIMEOUT_MS = 3_000;
/** The longest is a list of 50 tools, each with 16 KiB of schema and of configuration. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/**
 * JSON that Postgres keeps: without U+0000 and halves of characters, which models and tools may send. One of them would cost the
 * whole answer.
 */
export const storableJson = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "string" ? inner.replaceAll("\0", "").toWellFormed() : inner,
  );

/**
 * Makes the client.
 * @param access the project's address, and its publishable key (or the older anon key)
 * @param timeoutMs how long one call may take
 */
export function createProject(access: ProjectAccess, timeoutMs: number = TIMEOUT_MS): Project {
  const secure = access.url.startsWith("https:");
  const settings = { keepAlive: true, maxSockets: 16, maxFreeSockets: 4, timeout: 30_000, noDelay: true };
  // TLS is loaded where it is spoken: 1 MB of a replica beside its project.
  const { Agent, request: send } = secure
    ? process.getBuiltinModule("node:https")
    : { Agent: HttpAgent, request: httpRequest };
  const agent = new Agent(settings);

  /** `undefined`: the connection had died before the project saw the call. */
  function once<T>(path: string, body: string, { bearer, signal }: CallOptions): Promise<T | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<T | undefined>();
    const outgoing = send(`${access.url}/${path}`, {
      agent,
      method: "POST",
      signal,
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        apikey: access.key,
        ...(access.runtime !== undefined && { "x-launchpad-runtime": access.runtime() }),
        ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
      },
    });
    const timer = setTimeout(
      () => outgoing.destroy(new ProjectUnavailable(`The project did not answer within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    outgoing.on("close", () => clearTimeout(timer));
    outgoing.on("response", (answer) => {
      read<T>(answer).then(resolve, (error) => reject(signal?.aborted ? signal.reason : error));
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      if (signal?.aborted) return reject(signal.reason);
      if (error instanceof ProjectUnavailable) return reject(error);
      if (outgoing.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE")) {
        return resolve(undefined);
      }
      reject(new ProjectUnavailable("The project cannot be reached.", { cause: error }));
    });
    outgoing.end(body);
    return promise;
  }

  async function post<T>(
    path: string,
    args: Readonly<Record<string, unknown>>,
    options: CallOptions,
  ): Promise<T> {
    const body = storableJson(args);
    const answer = await once<T>(path, body, options);
    if (answer !== undefined) return answer;
    const again = await once<T>(path, body, options);
    if (again !== undefined) return again;
    throw new ProjectUnavailable("The project closed the connection twice.");
  }

  return {
    call: (rpc, args, options = {}) => post(`rest/v1/rpc/${rpc}`, args, options),
    invoke: (path, args) => post(`functions/v1/${path}`, args, {}),
    close: () => agent.destroy(),
  };
}

async function read<T>(answer: IncomingMessage): Promise<T> {
  const status = answer.statusCode ?? 0;
  let text = "";
  try {
    for await (const chunk of answer.setEncoding("utf8")) {
      text += chunk;
      if (text.length > MAX_ANSWER_BYTES) throw new Error("too long");
    }
  } catch (cause) {
    if (cause instanceof ProjectUnavailable) throw cause;
    throw new ProjectUnavailable("The project's answer broke off.", { cause });
  }
  if (status >= 500 || status === 0 || status === 408) {
    throw new ProjectUnavailable(`The project answered with ${status}.`);
  }
  let body: unknown;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch (cause) {
    throw new ProjectUnavailable(`The project answered ${status} without JSON.`, { cause });
  }
  if (status < 300) return body as T;
  const { code, message, details } = (body ?? {}) as Record<string, unknown>;
  throw new ProjectRefusal(status, String(code ?? ""), String(message ?? ""), fields(details));
}

/** SQL's errors carry their fields as a JSON text. */
function fields(details: unknown): Record<string, string> | undefined {
  if (typeof details !== "string") return undefined;
  try {
    const parsed: unknown = JSON.parse(details);
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, string>) : undefined;
  } catch {
    return undefined;
  }
}
