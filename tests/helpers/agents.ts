// What scenarios about agents share: calling /api as a user, and waiting for a phase by its event.
import assert from "node:assert/strict";
import { PATIENCE_MS } from "./processes.ts";
import type { TestStack, TestUser } from "./stack.ts";

/** An answer of /api with its body parsed. */
export interface ApiAnswer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: bodies are judged field by field in tests
  body: any;
}

/** Calls /api as a user (or as nobody) with a JSON body; the answer must be JSON with a request id, whatever it is. */
export async function api(
  stack: TestStack,
  caller: TestUser | string | undefined,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<ApiAnswer> {
  const token = typeof caller === "string" ? caller : caller?.token;
  const response = await stack.fetch(`/api${path}`, {
    method,
    ...(token === undefined ? {} : { token }),
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  assert.match(response.headers.get("content-type") ?? "", /^application\/json/, `${method} ${path} is JSON`);
  assert.ok(response.headers.get("x-request-id"), `${method} ${path} has a request id`);
  assert.ok(response.headers.has("x-ratelimit-remaining"), `${method} ${path} has rate-limit headers`);
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** A token with this user's claims, signed with a key that is not the project's. */
export function forgedToken(user: TestUser): string {
  const [header, payload] = user.token.split(".");
  return `${header}.${payload}.${Buffer.from("not the right signature, 32 bytes").toString("base64url")}`;
}

/**
 * Waits until an agent has an event that leads to `phase` after event `sinceSeq`.
 * Reads the event log, so that a phase that came and went is not missed. Throws with the log after a minute.
 */
export async function reached(stack: TestStack, agentId: string, phase: string, sinceSeq = 0): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const events = await stack.sql<{ to_phase: string; seq: string; message: string }>(
      "select to_phase, seq, message from public.agent_events where agent_id = $1 order by seq",
      [agentId],
    );
    if (events.some((e) => e.to_phase === phase && Number(e.seq) > sinceSeq)) return;
    if (Date.now() > deadline) {
      throw new Error(`${agentId} did not reach ${phase}: ${JSON.stringify(events)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** The number of the newest event of an agent. */
export async function lastSeq(stack: TestStack, agentId: string): Promise<number> {
  const [row] = await stack.sql<{ seq: string }>(
    "select coalesce(max(seq), 0) as seq from public.agent_events where agent_id = $1",
    [agentId],
  );
  return Number(row?.seq);
}

/** Launches an agent and waits until it is DEPLOYED; returns its id. */
export async function launched(
  stack: TestStack,
  user: TestUser,
  definition: Record<string, unknown> = {},
): Promise<string> {
  const { status, body } = await api(stack, user, "POST", "/agents", {
    agentName: "test-agent",
    resources: { memory: "256Mi", cpu: "100m" },
    ...definition,
  });
  assert.equal(status, 201, JSON.stringify(body));
  await reached(stack, body.agentId, "DEPLOYED");
  return body.agentId;
}
