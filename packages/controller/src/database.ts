import { z } from "zod";
import {
  type ClaimBatch,
  claimKeySchema,
  claimSchema,
  classesSchema,
  type Database,
  environmentSchema,
  fleetSchema,
  goneSchema,
  heartbeatSchema,
  ingestResultSchema,
  releasedSchema,
  reportResultSchema,
} from "./contract.ts";
import { createPost, type Post } from "./http-post.ts";

export type DatabaseErrorKind =
  /** No answer: refused, reset, timed out. */
  | "unreachable"
  /** The key is no key of the project, or not its secret one. Keys may be rotated: it may work later. */
  | "key"
  /** 5xx, or 408/429: it may work later. */
  | "unavailable"
  /** Any other 4xx: the same call will be refused again. */
  | "refused"
  /** An answer that does not fit the contract. */
  | "contract";

/** What a person is told of a key that does not work. */
export const KEY_REFUSED =
  "The project refuses the controller's key: set LAUNCHPAD_SECRET_KEY to a secret key (sb_secret_…) of the project at LAUNCHPAD_SUPABASE_URL.";

/** A call to the database that did not work. The message never holds a key, a row or a secret. */
export class DatabaseError extends Error {
  readonly kind: DatabaseErrorKind;
  readonly code: string | undefined;
  readonly status: number | undefined;

  constructor(
    kind: DatabaseErrorKind,
    message: string,
    facts: { code?: string; status?: number; cause?: unknown } = {},
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "DatabaseError";
    this.kind = kind;
    this.code = facts.code;
    this.status = facts.status;
  }
}

export interface DatabaseOptions {
  url: string;
  key: string;
  timeoutMs?: number;
  /** Ingestion of a large batch may take longer than a claim. */
  ingestTimeoutMs?: number;
  post?: Post;
  /** Told of every call: the name, whether it worked, and how long it took. */
  onCall?: (name: string, worked: boolean, milliseconds: number) => void;
}

/**
 * The SQL interface over PostgREST. No client library: eleven calls need no query builder, and spooled rows go out as
 * the texts they are, without a parse.
 */
export function createDatabase(options: DatabaseOptions): Database {
  const { url, key, timeoutMs = 10_000, ingestTimeoutMs = 30_000, onCall } = options;
  const post = options.post ?? createPost();
  const headers = { apikey: key, authorization: `Bearer ${key}`, "content-type": "application/json" };

  async function call<T>(name: string, body: string, schema: z.ZodType<T>, limit = timeoutMs): Promise<T> {
    const started = performance.now();
    let worked = false;
    try {
      const text = await send(name, body, limit);
      const parsed = schema.safeParse(parseJson(name, text));
      if (!parsed.success) {
        const problem = parsed.error.issues[0];
        throw new DatabaseError(
          "contract",
          `${name} answered something else than agreed: ${problem?.path.join(".")} ${problem?.message}`,
        );
      }
      worked = true;
      return parsed.data;
    } finally {
      onCall?.(name, worked, performance.now() - started);
    }
  }

  async function send(name: string, body: string, limit: number): Promise<string> {
    try {
      const { status, text } = await post(`${url}/rest/v1/rpc/${name}`, headers, body, limit);
      if (status >= 200 && status < 300) return text;
      throw refusal(name, status, text);
    } catch (cause) {
      if (cause instanceof DatabaseError) throw cause;
      throw new DatabaseError("unreachable", `${name}: the database does not answer`, { cause });
    }
  }

  return {
    async claimDeployments(worker, maxCount, leaseSeconds) {
      const rows = await call(
        "claim_deployments",
        JSON.stringify({ worker, max_count: maxCount, lease_seconds: leaseSeconds }),
        z.array(z.unknown()),
      );
      return readClaims(rows);
    },
    heartbeat: (worker, leaseSeconds, report) =>
      call(
        "heartbeat_controller",
        JSON.stringify({ worker, lease_seconds: leaseSeconds, report }),
        heartbeatSchema,
      ),
    classes: () => call("controller_classes", "{}", classesSchema),
    releaseWorker: async (worker) =>
      (await call("release_worker", JSON.stringify({ worker }), releasedSchema)).released,
    reportDeployment: (agentId, generation, leaseToken, report) =>
      call(
        "report_deployment",
        JSON.stringify({ agent_id: agentId, generation, lease_token: leaseToken, report }),
        reportResultSchema,
      ),
    async releaseDeployment(agentId, leaseToken, error) {
      const body = { agent_id: agentId, lease_token: leaseToken, error: error ?? null };
      await call("release_deployment", JSON.stringify(body), z.unknown());
    },
    agentEnvironment: async (agentId, generation, leaseToken) =>
      (await call(
        "agent_environment",
        JSON.stringify({ agent_id: agentId, generation, lease_token: leaseToken }),
        environmentSchema.nullable(),
      )) ?? {},
    installation: () => call("controller_installation", "{}", fleetSchema),
    advanceRollout: (rollout, wave, decision, reason) =>
      call(
        "advance_rollout",
        JSON.stringify({ rollout, wave, decision, reason: reason ?? null }),
        fleetSchema,
      ),
    goneWorkloads: (held) => call("gone_workloads", JSON.stringify({ held }), goneSchema),
    ingestLogs: (rows) =>
      call("ingest_agent_logs", `{"rows":[${rows.join(",")}]}`, ingestResultSchema, ingestTimeoutMs),
    ingestMetrics: (rows) =>
      call("ingest_agent_metrics", `{"rows":[${rows.join(",")}]}`, ingestResultSchema, ingestTimeoutMs),
  };
}

/** Reads claimed rows one by one: a row that cannot be read is handed back alone. */
export function readClaims(rows: readonly unknown[]): ClaimBatch {
  const batch: ClaimBatch = { claims: [], unreadable: [] };
  for (const row of rows) {
    const claim = claimSchema.safeParse(row);
    if (claim.success && (claim.data.desired !== "running" || claim.data.spec !== null)) {
      batch.claims.push(claim.data);
      continue;
    }
    const key = claimKeySchema.safeParse(row);
    if (!key.success) continue;
    const issue = claim.error?.issues[0];
    const problem = issue ? `${issue.path.join(".")}: ${issue.message}` : "spec: missing";
    batch.unreadable.push({ ...key.data, problem });
  }
  return batch;
}

function parseJson(name: string, text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    throw new DatabaseError("contract", `${name} did not answer JSON`);
  }
}

function refusal(name: string, status: number, text: string): DatabaseError {
  let code: string | undefined;
  let message = "";
  try {
    const body = JSON.parse(text) as { code?: unknown; message?: unknown };
    if (typeof body.code === "string") code = body.code;
    if (typeof body.message === "string") message = body.message.slice(0, 300);
  } catch {
    // A proxy's error page: its status says enough.
  }
  const facts = code === undefined ? { status } : { status, code };
  const said = [`${name}:`, status, code, message].filter(Boolean).join(" ");
  // The functions are the secret key's alone: under another role PostgREST says 42501.
  if (status === 401 || (status === 403 && code === "42501"))
    return new DatabaseError("key", `${KEY_REFUSED} (${said})`, facts);
  const later = status >= 500 || status === 408 || status === 429;
  return new DatabaseError(later ? "unavailable" : "refused", said, facts);
}
