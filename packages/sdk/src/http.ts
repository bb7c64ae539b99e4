/** One request, repeated where that is safe. Everything the SDK sends over HTTP goes through here. */

import { Late, sleep, within } from "./deadline.ts";
import { AgentLaunchpadError, invalid } from "./errors.ts";
import { failureOf } from "./failure.ts";
import type { PostOptions, RateLimit, Retry } from "./options.ts";
import { type RetryLimits, retryDelay } from "./retry.ts";
import { notSignedIn } from "./session.ts";
import { once } from "./unrepeated-request.ts";
import { VERSION } from "./version.ts";

export interface HttpSettings extends RetryLimits {
  /** Below which `/api` is. */
  apiUrl: string;
  /** Below which `/rest/v1` is; undefined where it is not known. */
  projectUrl: string | undefined;
  apiKey: string;
  token(): Promise<string | undefined>;
  fetch: typeof fetch;
  /** Milliseconds for one attempt; 0: no limit. */
  timeout: number;
  /** Milliseconds for a call with all its attempts and waits; 0: no limit. */
  totalTimeout: number;
  onRetry: ((retry: Retry) => void) | undefined;
}

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Request {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Begins with a slash: `/api/…` or `/rest/v1/…`. */
  path: string;
  query?: Query | undefined;
  body?: unknown;
  headers?: Record<string, string> | undefined;
  options?: PostOptions | undefined;
  /** Whether it may be carried out twice without harm. Left out: GET, and POST below `/api`, which has a key. */
  repeatable?: boolean | undefined;
}

const REST = "/rest/v1/";
const KEY = /^[\x21-\x7e]{1,255}$/;

export class Http {
  readonly #settings: HttpSettings;
  /** From the last answer that told it. */
  rateLimit: RateLimit | undefined;

  constructor(settings: HttpSettings) {
    this.#settings = settings;
  }

  /**
   * Sends a request until it is answered for good.
   * @returns the answer's JSON, or undefined where it has no body
   * @throws AgentLaunchpadError; the signal's reason where it was aborted
   */
  async send<T>(request: Request): Promise<T> {
    const { method, path, options = {} } = request;
    options.signal?.throwIfAborted();
    const { maxRetries, maxRetryWait, timeout, totalTimeout } = this.#settings;
    const total = options.totalTimeout ?? totalTimeout;
    const end = total > 0 ? performance.now() + total : Number.POSITIVE_INFINITY;
    const limits: RetryLimits = { maxRetries: options.maxRetries ?? maxRetries, maxRetryWait };
    const prepared = this.#prepare(request);
    for (let count = 1; ; count += 1) {
      const limit = Math.min(limitOf(options.timeout ?? timeout), end - performance.now());
      const attempt = { sent: false };
      try {
        return (await within(limit, options.signal, (signal) =>
          this.#attempt(prepared, attempt, signal),
        )) as T;
      } catch (cause) {
        options.signal?.throwIfAborted();
        const error = cause instanceof Late ? timedOut(prepared.url, limit, attempt.sent) : cause;
        if (!(error instanceof AgentLaunchpadError)) throw error;
        const failed = { count, repeatable: prepared.repeatable, unsent: !attempt.sent, error };
        const wait = retryDelay(failed, limits, Math.random());
        if (wait === undefined || wait >= end - performance.now()) throw error;
        this.#settings.onRetry?.({ method, path, attempt: count, wait, error });
        await sleep(wait, options.signal);
      }
    }
  }

  #prepare(request: Request): Prepared {
    const { method, path, body, headers, options = {} } = request;
    const ofApi = !path.startsWith(REST);
    // Only `/api` keeps keys of requests; an INSERT into a table would be done twice.
    const key = method === "POST" && ofApi ? idempotencyKeyOf(options) : undefined;
    return {
      method,
      url: this.#urlOf(request),
      body: body === undefined ? null : JSON.stringify(body),
      repeatable: request.repeatable ?? (method === "GET" || key !== undefined),
      headers: {
        accept: "application/json",
        apikey: this.#settings.apiKey,
        "x-client-info": `agent-launchpad-js/${VERSION}`,
        ...headers,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(key === undefined ? {} : { "idempotency-key": key }),
      },
    };
  }

  #urlOf({ path, query = {} }: Request): string {
    const { apiUrl, projectUrl } = this.#settings;
    const base = path.startsWith(REST) ? projectUrl : apiUrl;
    if (base === undefined) throw invalid("supabaseUrl", "Must be the project's URL");
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) parameters.set(name, String(value));
    }
    const text = parameters.toString();
    return text === "" ? base + path : `${base}${path}?${text}`;
  }

  async #attempt(
    { url, method, headers, body, repeatable }: Prepared,
    attempt: { sent: boolean },
    signal: AbortSignal,
  ): Promise<unknown> {
    const token = await this.#settings.token();
    if (token === undefined) throw notSignedIn();
    signal.throwIfAborted();
    attempt.sent = true;
    const own = repeatable ? undefined : once();
    try {
      const init = { method, headers: { ...headers, authorization: `Bearer ${token}` }, body, signal };
      const response = await this.#settings.fetch(url, { ...init, ...own?.init });
      const text = await response.text();
      this.#note(response.headers);
      if (response.ok) return text === "" ? undefined : parsed(text, url, response.status);
      throw failureOf(response.status, response.headers, text, Date.now());
    } catch (error) {
      throw error instanceof AgentLaunchpadError ? error : unreachable(url, error);
    } finally {
      own?.done();
    }
  }

  #note(headers: Headers): void {
    const limit = Number(headers.get("x-ratelimit-limit") ?? 0);
    if (!(limit > 0)) return;
    const remaining = Number(headers.get("x-ratelimit-remaining") ?? 0);
    this.rateLimit = { limit, remaining, reset: new Date(Number(headers.get("x-ratelimit-reset")) * 1000) };
  }
}

/** A request as each of its attempts sends it. */
interface Prepared {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string | null;
  repeatable: boolean;
}

const limitOf = (timeout: number): number => (timeout > 0 ? timeout : Number.POSITIVE_INFINITY);

function idempotencyKeyOf({ idempotencyKey }: PostOptions): string {
  if (idempotencyKey === undefined) return randomId();
  if (!KEY.test(idempotencyKey)) throw invalid("idempotencyKey", "Must be 1 to 255 visible ASCII characters");
  return idempotencyKey;
}

function parsed(text: string, url: string, status: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AgentLaunchpadError({
      code: "INVALID_RESPONSE",
      message: `${new URL(url).origin} did not answer as the Agent Launchpad API does: check baseUrl`,
      status,
      cause,
    });
  }
}

function timedOut(url: string, limit: number, sent: boolean): AgentLaunchpadError {
  const seconds = Math.max(0, Math.round(limit)) / 1000;
  return new AgentLaunchpadError({
    code: "TIMEOUT",
    message: sent
      ? `${new URL(url).origin} did not answer within ${seconds} s`
      : `Supabase Auth did not renew the session within ${seconds} s`,
  });
}

const unreachable = (url: string, cause: unknown) =>
  new AgentLaunchpadError({
    code: "SUPABASE_CONNECTION_ERROR",
    message: `Cannot reach ${new URL(url).origin}: check the address and the network`,
    cause,
  });

/** 128 random bits; browsers have randomUUID on secure pages alone. */
export function randomId(): string {
  let id = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) id += byte.toString(16).padStart(2, "0");
  return id;
}

/**
 * The properties that are not undefined.
 * @param object any object
 */
export function defined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<T>;
}
