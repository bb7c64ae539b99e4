// From a person's message to the first token on the owner's channel, with a provider that answers at once; fifty messages at
// once; and the claim of fifty answers in one call against fifty calls.
import { launched } from "../../tests/helpers/agents.ts";
import { startProviderStub } from "../../tests/helpers/providers.ts";
import { Inbox, subscribed } from "../../tests/helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../../tests/helpers/stack.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { median, ms, quantile } from "../lib/stats.ts";

const CROWD = 50;

interface Told {
  event: string;
  payload: { replyTo?: string };
}

export const benchmark: Benchmark = {
  title: "message → first streamed token, fifty at once, batch claim",
  async run({ progress, rounds }) {
    const stub = await startProviderStub(() => "An answer of a few words");
    const stack = await startTestStack({ env: stub.environment });
    try {
      await stack.raiseRateLimits();
      const user = await stack.createUser();
      const agentId = await createAgent(user);
      return [
        ...(await measureTokens(stack, user, agentId, rounds(30), progress)),
        await measureDeployed(stack, user, agentId, rounds(30)),
        await measureCrowd(stack, user, agentId),
        await measureClaims(stack, user, agentId, rounds(5)),
      ];
    } finally {
      await stack.stop();
      await stub.close();
    }
  },
};

async function createAgent(user: TestUser): Promise<string> {
  const { data, error } = await user.client.from("agents").insert({ name: "Bench" }).select("id").single();
  if (error) throw error;
  return data.id;
}

async function say(user: TestUser, agentId: string, count = 1): Promise<string> {
  const rows = Array.from({ length: count }, (_, n) => ({ to_agent_id: agentId, content: `message ${n}` }));
  const { data, error } = await user.client.from("messages").insert(rows).select("id");
  if (error) throw error;
  return String(data[0]?.id);
}

/** Listens on the agent's private channel, where a person is. */
async function listen(user: TestUser, agentId: string) {
  const told = new Inbox<Told & { at: number }>();
  const channel = user.client
    .channel(`agent:${agentId}`, { config: { private: true } })
    .on("broadcast", { event: "*" }, (message) =>
      told.push({ ...(message as never as Told), at: performance.now() }),
    );
  await user.client.realtime.setAuth();
  await subscribed(channel);
  return { told, end: () => user.client.removeChannel(channel) };
}

/** A deployed agent's first token against that of one that is not, asked in turn. */
async function measureDeployed(
  stack: TestStack,
  user: TestUser,
  agentId: string,
  count: number,
): Promise<Row> {
  const deployedId = await launched(stack, user, { agentName: "deployed-bench" });
  const sides = await Promise.all([deployedId, agentId].map((id) => listen(user, id)));
  const ratios: number[] = [];
  const firsts: number[] = [];
  for (let round = 0; round <= count; round++) {
    const took: number[] = [];
    for (const [side, id] of [deployedId, agentId].entries()) {
      const started = performance.now();
      const question = await say(user, id);
      const of = (event: string) => (one: Told) => one.event === event && one.payload.replyTo === question;
      const first = await sides[side]?.told.first(of("reply.delta"));
      took.push((first?.at ?? Number.NaN) - started);
      await sides[side]?.told.first(of("reply.finished")); // the next one is measured alone
    }
    const [deployed = Number.NaN, plain = Number.NaN] = took;
    if (round === 0) continue; // cold
    firsts.push(deployed);
    ratios.push(deployed / plain);
  }
  for (const { end } of sides) await end();
  const ratio = median(ratios);
  return {
    measure: "  of a deployed agent",
    ours: ms(median(firsts)),
    against: "one that is not deployed",
    ratio,
    goal: "≤ 1.2×",
    met: ratio <= 1.2,
  };
}

async function measureTokens(
  stack: TestStack,
  user: TestUser,
  agentId: string,
  count: number,
  progress: (line: string) => void,
): Promise<Row[]> {
  const { told, end } = await listen(user, agentId);
  const firsts: number[] = [];
  const wholes: number[] = [];
  let cold = 0;
  for (let round = 0; round <= count; round++) {
    const started = performance.now();
    const id = await say(user, agentId);
    const of = (event: string) => (one: Told) => one.event === event && one.payload.replyTo === id;
    const first = (await told.first(of("reply.delta"))).at - started;
    const whole = (await told.first(of("reply.finished"))).at - started;
    if (round === 0) cold = first;
    else {
      firsts.push(first);
      wholes.push(whole);
    }
  }
  await end();
  await stack.sql("select 1");
  progress(`first token after ${ms(median(firsts))}; the very first, with the function cold, ${ms(cold)}`);
  return [
    {
      measure: "message → first token, p50",
      ours: ms(median(firsts)),
      goal: "≤ 250 ms",
      met: median(firsts) <= 250,
    },
    { measure: "  p95", ours: ms(quantile(firsts, 0.95)) },
    { measure: "  the function's first call", ours: ms(cold) },
    { measure: "message → whole answer, p50", ours: ms(median(wholes)) },
  ];
}

async function measureCrowd(stack: TestStack, user: TestUser, agentId: string): Promise<Row> {
  const before = await answered(stack, agentId);
  const started = performance.now();
  await say(user, agentId, CROWD);
  while ((await answered(stack, agentId)) < before + CROWD) {
    if (performance.now() - started > 60_000) throw new Error("not all were answered");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const took = performance.now() - started;
  await new Promise((resolve) => setTimeout(resolve, 500));
  const all = (await answered(stack, agentId)) - before;
  return {
    measure: `${CROWD} messages at once, all answered`,
    ours: `${ms(took)}, ${all} answers`,
    goal: "each once",
    met: all === CROWD,
  };
}

async function answered(stack: TestStack, agentId: string): Promise<number> {
  const [row] = await stack.sql<{ n: number }>(
    "select count(*)::int as n from public.messages where agent_id = $1",
    [agentId],
  );
  return row?.n ?? 0;
}

/** The claim alone, in SQL: without a call of the function nothing else claims. */
async function measureClaims(stack: TestStack, user: TestUser, agentId: string, count: number): Promise<Row> {
  await stack.sql("delete from vault.secrets where name = 'launchpad_functions_url'");
  const claim = "select jsonb_array_length(private.claim_replies('bench', $1, 60)) as n";
  const timed = async (batch: number) => {
    await stack.sql("delete from private.reply_jobs where agent_id = $1", [agentId]);
    await say(user, agentId, CROWD);
    const started = performance.now();
    for (let left = CROWD; left > 0; left -= batch) await stack.sql(claim, [batch]);
    return performance.now() - started;
  };
  const ratios: number[] = [];
  let batched = 0;
  for (let round = 0; round < count; round++) {
    batched = await timed(CROWD);
    ratios.push((await timed(1)) / batched);
  }
  const ratio = median(ratios);
  return {
    measure: `claim of ${CROWD} in one call`,
    ours: ms(batched),
    against: `${CROWD} calls`,
    ratio: 1 / ratio,
    goal: "≥ 5× faster",
    met: ratio >= 5,
  };
}
