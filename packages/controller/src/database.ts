// Calls the database's controller functions over PostgREST.

import { z } from "zod";
import {
  type CallerRefusal,
  type Claim,
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
  sleepResultSchema,
  wakeResultSchema,
} from "./contract.ts";
import type { Post } from "./http-post.ts";
import { createRpc, DatabaseError } from "./rpc.ts";
import { LOG_FIELDS, type LogColumns, logColumns } from "./shipping/log-columns.ts";

export { DatabaseError, type DatabaseErrorKind, KEY_REFUSED } from "./rpc.ts";

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

/** The SQL interface over PostgREST. */
export function createDatabase(options: DatabaseOptions): Database {
  const { url, key, timeoutMs = 10_000, ingestTimeoutMs = 30_000, onCall } = options;
  const rpc = createRpc(url, key, options.post);

  async function call<T>(
    name: string,
    body: string,
    schema: z.ZodType<T>,
    limit = timeoutMs,
    names?: readonly string[],
  ): Promise<T> {
    const started = performance.now();
    let worked = false;
    try {
      const parsed = schema.safeParse(await rpc(name, body, limit, { names }));
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
    sleepDeployment: (agentId, generation, leaseToken) =>
      call(
        "sleep_deployment",
        JSON.stringify({ agent_id: agentId, generation, lease_token: leaseToken }),
        sleepResultSchema,
      ),
    wakeDeployment: (agentId, cause, credential) =>
      call("wake_deployment", JSON.stringify({ agent_id: agentId, cause, credential }), wakeResultSchema),
    async judgeToken(agentId, token) {
      const started = performance.now();
      let worked = false;
      try {
        await rpc("judge_caller", { agent_id: agentId, need: "read" }, timeoutMs, { bearer: token });
        worked = true;
        return undefined;
      } catch (error) {
        if (!(error instanceof DatabaseError) || error.kind !== "refused") throw error;
        worked = true;
        return callerRefusal(agentId, error.code);
      } finally {
        onCall?.("judge_caller", worked, performance.now() - started);
      }
    },
    installation: () => call("controller_installation", "{}", fleetSchema),
    advanceRollout: (rollout, wave, decision, reason) =>
      call(
        "advance_rollout",
        JSON.stringify({ rollout, wave, decision, reason: reason ?? null }),
        fleetSchema,
      ),
    goneWorkloads: (held) => call("gone_workloads", JSON.stringify({ held }), goneSchema),
    ingestLogs: async (rows) =>
      call(
        "ingest_log_lines",
        JSON.stringify(readLines(rows)),
        ingestResultSchema,
        ingestTimeoutMs,
        LOG_FIELDS,
      ),
    ingestMetrics: (rows) =>
      call("ingest_agent_metrics", `{"rows":[${rows.join(",")}]}`, ingestResultSchema, ingestTimeoutMs, [
        "rows",
      ]),
  };
}

/** @throws {DatabaseError} `refused` when a line is damaged: the shipper finds it and leaves it out */
function readLines(rows: readonly string[]): LogColumns {
  try {
    return logColumns(rows);
  } catch (cause) {
    throw new DatabaseError("refused", "ingest_log_lines: a line is not JSON", { cause });
  }
}

const NEEDS_SPEC = new Set<Claim["desired"]>(["running", "asleep"]);

/** Reads claimed rows one by one: a row that cannot be read is handed back alone. */
export function readClaims(rows: readonly unknown[]): ClaimBatch {
  const batch: ClaimBatch = { claims: [], unreadable: [] };
  for (const row of rows) {
    const claim = claimSchema.safeParse(row);
    if (claim.success && (!NEEDS_SPEC.has(claim.data.desired) || claim.data.spec !== null)) {
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

/** What the bearer of a token is told that does not let it in. */
function callerRefusal(agentId: string, code: string | undefined): CallerRefusal {
  if (code === "AGENT_NOT_FOUND") {
    return { status: 404, code, message: `Agent with ID '${agentId}' not found or access denied` };
  }
  if (code === "INSUFFICIENT_PERMISSIONS" || code === "PERMISSION_DENIED") {
    const needed = "This needs the permission agents:read";
    return { status: 403, code: "INSUFFICIENT_PERMISSIONS", message: needed };
  }
  // Signed by somebody else, expired, or no user's.
  return { status: 401, code: "INVALID_API_KEY", message: "The token is missing, invalid or expired" };
}
