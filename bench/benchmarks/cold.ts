// The first calls of a connection to Postgres, as PostgREST makes them: a new backend knows no table, no function and no plan. A
// launch is rolled back.
import pg from "pg";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { AGENT } from "../lib/stack.ts";
import { median, ms } from "../lib/stats.ts";

const AGENTS = 50;
const CALLS = 7;

interface Rpc {
  readonly name: string;
  readonly parameter: string;
  readonly type: string;
  readonly args: object;
  readonly end: "commit" | "rollback";
  readonly goal: number;
}

const RPCS: readonly Rpc[] = [
  {
    name: "list_agents",
    parameter: "limit",
    type: "integer",
    args: { limit: AGENTS },
    end: "commit",
    goal: 8,
  },
  {
    name: "launch_agent",
    parameter: "definition",
    type: "jsonb",
    args: { definition: { agentName: "bench-cold", ...AGENT } },
    end: "rollback",
    goal: 15,
  },
];

export const benchmark: Benchmark = {
  title: "the first calls of a new connection to Postgres",
  async run({ stack, rounds }) {
    const bench = await stack();
    const user = await bench.createUser();
    await bench.define(user, AGENTS);
    const rows: Row[] = [];
    for (const rpc of RPCS) {
      const took: number[][] = [];
      for (let round = -2; round < rounds(15); round++) {
        const calls = await callsOfOne(bench.stack.info.dbUrl, user.id, rpc);
        if (round >= 0) took.push(calls);
      }
      const [first, ...later] = Array.from({ length: CALLS }, (_, call) =>
        median(took.map((calls) => calls[call]!)),
      ) as [number, ...number[]];
      rows.push(
        {
          measure: `${rpc.name}, first call`,
          ours: ms(first),
          goal: `≤ ${rpc.goal} ms`,
          met: first <= rpc.goal,
        },
        { measure: `  calls 2 to ${CALLS}`, ours: later.map(ms).join(", ") },
      );
    }
    return rows;
  },
};

/** How long each of the first calls of one connection takes, its transaction included. */
async function callsOfOne(url: string, userId: string, rpc: Rpc): Promise<number[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const took: number[] = [];
    for (let call = 0; call < CALLS; call++) {
      const started = performance.now();
      await client.query("begin");
      const status = await ask(client, userId, rpc);
      await client.query(rpc.end);
      took.push(performance.now() - started);
      if (!status.startsWith("20")) throw new Error(`${rpc.name} answered ${status}`);
    }
    return took;
  } finally {
    await client.end();
  }
}

/** One request in the form of PostgREST 12: its settings, the pre-request, the call, each as a prepared statement. */
async function ask(client: pg.Client, userId: string, { name, parameter, type, args }: Rpc): Promise<string> {
  await client.query({
    name: "settings",
    text: `select set_config('search_path', 'public, extensions', true), set_config('role', 'authenticated', true),
      set_config('request.jwt.claims', $1, true), set_config('request.method', 'POST', true),
      set_config('request.path', $2, true), set_config('request.headers', '{}', true)`,
    values: [JSON.stringify({ sub: userId, role: "authenticated" }), `/rpc/${name}`],
  });
  await client.query({ name: "pre-request", text: "select private.pre_request()" });
  const { rows } = await client.query<{ status: string }>({
    name: "call",
    text: `with source as (
        select public.${name}("${parameter}" => body."${parameter}") as scalar
        from json_to_record($1::json) as body ("${parameter}" ${type}) limit 1)
      select coalesce(json_agg(s.scalar) -> 0, 'null') as body, current_setting('response.headers', true) as headers,
        current_setting('response.status', true) as status from source s`,
    values: [JSON.stringify(args)],
  });
  return rows[0]?.status ?? "";
}
