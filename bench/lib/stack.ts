// The stack that benchmarks run against.

import { Agent } from "node:http";
import { startTestStack, type TestStack, type TestUser } from "../../tests/helpers/stack.ts";
import { ask, type Call } from "./load.ts";

export interface BenchStack {
  readonly stack: TestStack;
  /** A new user with quotas that no benchmark reaches. */
  createUser(): Promise<TestUser>;
  /** Headers of a request of a user. */
  headers(user: TestUser): Record<string, string>;
  /** A JSON request; throws unless it is answered with 2xx. */
  json(user: TestUser, method: string, path: string, body?: unknown): Promise<{ body: Json; took: number }>;
  /** Makes definitions without deploying them. */
  define(user: TestUser, count: number): Promise<void>;
  /** Creates an agent ({@link AGENT} and the given definition) and waits until it is DEPLOYED; the milliseconds of both. */
  launch(user: TestUser, definition?: Json): Promise<{ agentId: string; answered: number; deployed: number }>;
  /** Resolves when so many runtimes wait for an agent. */
  poolHas(size: number): Promise<void>;
  /** Deletes an agent and waits until its replicas are gone. */
  remove(user: TestUser, agentId: string): Promise<void>;
  stop(): Promise<void>;
}

export type Json = Record<string, unknown>;

/** The agent that benchmarks launch: the default engine, nothing but a character. */
export const AGENT = {
  description: "A benchmark's agent",
  character: {
    name: "Bench",
    bio: "Answers quickly",
    personality: "Brief",
    adjectives: ["quick"],
    topics: ["time"],
  },
  plugins: [],
  platforms: [],
  resources: { memory: "256Mi", cpu: "250m", replicas: 1 },
};

const POLL_MS = 5;
const DEADLINE_MS = 300_000;

/**
 * Starts its own stack on free ports, with rate limits out of the way.
 * @param dataDir where its data stays; without it they are gone with the stack
 */
export async function startBenchStack(
  env: Record<string, string> = {},
  dataDir?: string,
): Promise<BenchStack> {
  const stack = await startTestStack({ env, ...(dataDir !== undefined && { dataDir }) });
  await stack.raiseRateLimits();
  const agent = new Agent({ keepAlive: true });
  let names = 0;

  const headers = (user: TestUser) => ({
    apikey: stack.info.publishableKey,
    authorization: `Bearer ${user.token}`,
    "content-type": "application/json",
  });
  const json = async (user: TestUser, method: string, path: string, body?: unknown) => {
    const call: Call = {
      url: `${stack.info.apiUrl}${path}`,
      method,
      headers: headers(user),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    };
    const { status, text, took } = await ask(call, agent);
    if (status < 200 || status > 299)
      throw new Error(`${method} ${path} answered ${status}: ${text.slice(0, 500)}`);
    return { body: text === "" ? {} : (JSON.parse(text) as Json), took };
  };
  /** The phase is read from its table: a poll through the API would compete with what is measured. */
  const waitFor = async (agentId: string, phase: string): Promise<void> => {
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      const rows = await stack.sql<{ phase: string; conditions: unknown }>(
        "select phase::text, conditions from private.agent_deployments where agent_id = $1",
        [agentId],
      );
      const now = rows[0]?.phase ?? "(none)";
      if (now === phase) return;
      if (now === "FAILED" || performance.now() > deadline) {
        throw new Error(`agent ${agentId} is ${now}, not ${phase}: ${JSON.stringify(rows[0]?.conditions)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };

  return {
    stack,
    headers,
    json,
    async createUser() {
      const user = await stack.createUser();
      await stack.sql(
        "update public.quotas set max_agents = 100000, max_replicas = 100000 where user_id = $1",
        [user.id],
      );
      return user;
    },
    async define(user, count) {
      const rows = Array.from({ length: count }, (_, index) => ({
        name: `defined-${++names}-${index}`,
        framework: "openai",
      }));
      for (const row of rows) await json(user, "POST", "/rest/v1/agents", { ...row, user_id: user.id });
    },
    async launch(user, definition = {}) {
      const started = performance.now();
      const { body, took } = await json(user, "POST", "/api/agents", {
        agentName: `bench-${++names}`,
        ...AGENT,
        ...definition,
      });
      const agentId = String(body.agentId);
      await waitFor(agentId, "DEPLOYED");
      return { agentId, answered: took, deployed: performance.now() - started };
    },
    async poolHas(size) {
      const [controller] = await stack.sql<{ url: string }>(
        "select report->>'url' as url from private.controllers",
      );
      const deadline = performance.now() + DEADLINE_MS;
      for (;;) {
        const metrics = await (await fetch(`${controller?.url}/metrics`)).text();
        if (metrics.includes(`\nlaunchpad_pool_waiting ${size}\n`)) return;
        if (performance.now() > deadline) throw new Error(`no ${size} runtimes wait for an agent`);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    },
    async remove(user, agentId) {
      await json(user, "DELETE", `/api/agents/${agentId}`);
      await waitFor(agentId, "DELETED");
    },
    async stop() {
      agent.destroy();
      await stack.stop();
    },
  };
}
