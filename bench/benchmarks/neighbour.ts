// P18: what a user feels of a hostile neighbour. The victim asks one door after the other, quiet and while the neighbour does
// his worst, in alternating rounds.
import { Agent } from "node:http";
import type { TestUser } from "../../tests/helpers/stack.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { ask, type Call } from "../lib/load.ts";
import type { BenchStack } from "../lib/stack.ts";
import { median, ms, quantile } from "../lib/stats.ts";

/** Requests to a door in a round. */
const ASKED = 60;
/** The neighbour's connections. */
const CONNECTIONS = 20;

/** The doors at which the victim asks. */
function doorsOf({ stack, headers }: BenchStack, victim: TestUser): Record<string, Call> {
  const { apiUrl, publishableKey, secretKey } = stack.info;
  const json = { "content-type": "application/json" };
  return {
    "/rest/v1": { url: `${apiUrl}/rest/v1/agents?select=id,name`, headers: headers(victim) },
    "/api": { url: `${apiUrl}/api/agents`, headers: headers(victim) },
    "/graphql/v1": {
      url: `${apiUrl}/graphql/v1`,
      method: "POST",
      headers: headers(victim),
      body: JSON.stringify({ query: "{ agentsCollection { edges { node { id } } } }" }),
    },
    "sign-in": {
      url: `${apiUrl}/auth/v1/token?grant_type=password`,
      method: "POST",
      headers: { ...json, apikey: publishableKey },
      body: JSON.stringify({ email: victim.email, password: victim.password }),
    },
    "the platform's own": {
      url: `${apiUrl}/rest/v1/rpc/count_reads`,
      method: "POST",
      headers: { ...json, apikey: secretKey },
      body: '{"reads": {}}',
    },
  };
}

/** A read that keeps a processor busy for seconds: words are looked for in megabytes of the neighbour's own messages. */
async function slowRead({ stack, headers }: BenchStack, neighbour: TestUser): Promise<Call> {
  await stack.sql(
    `insert into public.messages (user_id, conversation_id, sender_kind, status, content)
     select $1, gen_random_uuid(), 'agent', 'complete', (select string_agg(md5(g || 'x' || i), ' ') from generate_series(1, 600) i)
     from generate_series(1, 600) g`,
    [neighbour.id],
  );
  return {
    url: `${stack.info.apiUrl}/rest/v1/messages?select=id&content=fts.nothing`,
    headers: headers(neighbour),
  };
}

export const benchmark: Benchmark = {
  title: `a user's waits beside ${CONNECTIONS} slow reads of another`,
  async run({ stack, progress, rounds }) {
    const bench = await stack();
    const [victim, neighbour] = await Promise.all([bench.createUser(), bench.createUser()]);
    await bench.define(victim, 5);
    const worst = await slowRead(bench, neighbour);
    const doors = doorsOf(bench, victim);
    const agent = new Agent({ keepAlive: true });
    const measure = async (call: Call): Promise<number[]> => {
      const latencies: number[] = [];
      for (let n = 0; n < ASKED; n++) {
        const { status, took, text } = await ask(call, agent);
        if (status !== 200) throw new Error(`${call.url} answered ${status}: ${text.slice(0, 300)}`);
        latencies.push(took);
      }
      return latencies;
    };
    const quiet = new Map<string, number[]>();
    const beside = new Map<string, number[]>();
    const round = async (into: Map<string, number[]>) => {
      for (const [name, call] of Object.entries(doors)) {
        into.set(name, [...(into.get(name) ?? []), ...(await measure(call))]);
      }
    };
    for (const call of Object.values(doors)) await ask(call, agent);
    const count = rounds(3);
    for (let n = 1; n <= count; n++) {
      await round(quiet);
      let on = true;
      const attack = Array.from({ length: CONNECTIONS }, async () => {
        while (on) await ask(worst, agent);
      });
      await round(beside);
      on = false;
      await Promise.all(attack);
      progress(`round ${n}/${count}`);
    }
    agent.destroy();
    return Object.keys(doors).map((name): Row => {
      const [calm, loud] = [quiet.get(name) ?? [], beside.get(name) ?? []];
      const ratio = quantile(loud, 0.99) / quantile(calm, 0.99);
      return {
        measure: `${name}: p99 (p50)`,
        ours: `${ms(quantile(loud, 0.99))} (${ms(median(loud))})`,
        against: `${ms(quantile(calm, 0.99))} (${ms(median(calm))}) quiet`,
        ratio,
        goal: "≤ 3×",
        met: ratio <= 3,
      };
    });
  },
};
