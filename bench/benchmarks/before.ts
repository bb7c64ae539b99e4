// This build beside an earlier one: two stacks at once, asked in turn, so that what the machine does meanwhile hits both.
// LAUNCHPAD_BENCH_BEFORE names a checkout of the earlier build with its packages installed; without it nothing is measured.
import { randomUUID } from "node:crypto";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { startProviderStub } from "../../tests/helpers/providers.ts";
import { Inbox, subscribed } from "../../tests/helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../../tests/helpers/stack.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { median, ms } from "../lib/stats.ts";

interface Told {
  event: string;
  payload: { replyTo?: string };
  at: number;
}

/** One build, ready to be asked. */
interface Side {
  readonly stack: TestStack;
  firstToken(): Promise<number>;
  /** The same of a deployed agent. */
  deployedToken(): Promise<number>;
  message(): Promise<number>;
}

export const benchmark: Benchmark = {
  title: "this build beside an earlier one",
  async run({ rounds, progress }) {
    const before = process.env.LAUNCHPAD_BENCH_BEFORE;
    if (before === undefined) {
      progress("LAUNCHPAD_BENCH_BEFORE is not set");
      return [];
    }
    const helper = pathToFileURL(join(resolve(before), "tests/helpers/stack.ts")).href;
    const earlier = (await import(helper)) as { startTestStack: typeof startTestStack };
    const stub = await startProviderStub(() => "An answer of a few words");
    const sides: Side[] = [];
    try {
      for (const start of [earlier.startTestStack, startTestStack]) {
        sides.push(await prepare(await start({ env: stub.environment })));
      }
      const rows: Row[] = [];
      rows.push(await pair("message → first token", "firstToken", sides, rounds(60), 5));
      rows.push(await pair("  of a deployed agent", "deployedToken", sides, rounds(60), 5));
      rows.push(await pair("POST /message, warm", "message", sides, rounds(60) * 3, 2));
      return rows;
    } finally {
      for (const { stack } of sides) await stack.stop();
      await stub.close();
    }
  },
};

async function pair(
  measure: string,
  what: "firstToken" | "deployedToken" | "message",
  sides: readonly Side[],
  count: number,
  more: number,
): Promise<Row> {
  const took: number[][] = [[], []];
  for (let round = 0; round < count + 5; round++) {
    for (const index of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const one = (await sides[index]?.[what]()) ?? Number.NaN;
      if (round >= 5) took[index]?.push(one);
    }
  }
  const [old = [], now = []] = took;
  const difference = median(now.map((value, round) => value - (old[round] ?? Number.NaN)));
  return {
    measure: `${measure}, p50`,
    ours: ms(median(now)),
    against: `${ms(median(old))} before; ${difference > 0 ? "+" : "−"}${ms(Math.abs(difference))} (median of pairs)`,
    ratio: median(now) / median(old),
    goal: `≤ +${more} ms`,
    met: difference <= more,
  };
}

async function prepare(stack: TestStack): Promise<Side> {
  await stack.raiseRateLimits();
  const user = await stack.createUser();
  const { data, error } = await user.client.from("agents").insert({ name: "Bench" }).select("id").single();
  if (error) throw error;
  const deployed = await launch(stack, user);
  /** Asks an agent and waits for its first token, then for its end. */
  const tokens = async (agentId: string) => {
    const channel = await listen(user, agentId);
    return async () => {
      const started = performance.now();
      const { data: said, error: refused } = await user.client
        .from("messages")
        .insert({ to_agent_id: agentId, content: "hello" })
        .select("id")
        .single();
      if (refused) throw refused;
      const of = (event: string) => (one: Told) => one.event === event && one.payload.replyTo === said.id;
      const first = (await channel.first(of("reply.delta"))).at - started;
      await channel.first(of("reply.finished"));
      return first;
    };
  };
  return {
    stack,
    firstToken: await tokens(String(data.id)),
    deployedToken: await tokens(deployed),
    async message() {
      const started = performance.now();
      const { status, body } = await stack.agentFetch(deployed, "/message", {
        method: "POST",
        token: user.token,
        body: JSON.stringify({ text: "hello", conversationId: randomUUID() }),
      });
      if (status !== 200) throw new Error(`/message answered ${status}: ${body}`);
      return performance.now() - started;
    },
  };
}

async function listen(user: TestUser, agentId: string): Promise<Inbox<Told>> {
  const told = new Inbox<Told>();
  const channel = user.client
    .channel(`agent:${agentId}`, { config: { private: true } })
    .on("broadcast", { event: "*" }, (message) =>
      told.push({ ...(message as never as Told), at: performance.now() }),
    );
  await user.client.realtime.setAuth();
  await subscribed(channel);
  return told;
}

/** A deployed agent that answers. */
async function launch(stack: TestStack, user: TestUser): Promise<string> {
  const response = await stack.fetch("/api/agents", {
    method: "POST",
    token: user.token,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ agentName: "bench", resources: { memory: "256Mi", cpu: "100m" } }),
  });
  const { agentId } = (await response.json()) as { agentId: string };
  for (let tries = 0; tries < 600; tries++) {
    const [row] = await stack.sql<{ phase: string }>(
      "select phase from private.agent_deployments where agent_id = $1",
      [agentId],
    );
    if (row?.phase === "DEPLOYED") return agentId;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error("the agent was not deployed within 30 s");
}
