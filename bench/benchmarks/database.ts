// P1, P2, P3, P6: lists and logs under row-level security among many, and ingestion by HTTP against one COPY and its earlier form. 100k agents and 500k
// lines; with --full a million and five million (some minutes).
import { Agent } from "node:http";
import pg from "pg";
import type { LogRow } from "../../packages/controller/src/contract.ts";
import { LOG_FIELDS, logColumns } from "../../packages/controller/src/shipping/log-columns.ts";
import {
  explain,
  type Generated,
  generate,
  newestAgents,
  newestLogs,
  type Plan,
} from "../../tests/helpers/generated.ts";
import type { Benchmark, Context, Row } from "../lib/benchmark.ts";
import { copyFrom } from "../lib/copy.ts";
import { createEarlierIngest, EARLIER_INGEST } from "../lib/earlier-ingest.ts";
import { ask } from "../lib/load.ts";
import type { BenchStack } from "../lib/stack.ts";
import { median } from "../lib/stats.ts";

const ITERATIONS = 400;
const INGEST = 100_000;
const BATCH = 1000;
const CONNECTIONS = 4;

const us = (milliseconds: number) => `${Math.round(milliseconds * 1000)} µs`;

/** A request's settings, as PostgREST makes them, its pre-request, and the statement; in one transaction. */
class Caller {
  readonly #client: pg.Client;
  readonly #owner: string;

  constructor(client: pg.Client, owner: string) {
    this.#client = client;
    this.#owner = owner;
  }

  /**
   * Runs `work` as the user under row-level security, or after the same statements as a role that no policy binds: the two
   * differ by the policies alone.
   */
  async run<T>(secured: boolean, work: (client: pg.Client) => Promise<T>, preRequest = true): Promise<T> {
    const claims = JSON.stringify({ sub: this.#owner, role: "authenticated" });
    await this.#client.query("begin read only");
    await this.#client.query({
      name: "settings",
      text: `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true),
               set_config('request.method', 'GET', true), set_config('request.path', '/agents', true),
               set_config('request.headers', '{}', true)`,
      values: [claims],
    });
    if (preRequest) await this.#client.query({ name: "pre", text: "select private.pre_request()" });
    await this.#client.query({
      name: "role",
      text: "select set_config('role', $1, true)",
      values: [secured ? "authenticated" : "service_role"],
    });
    const result = await work(this.#client);
    await this.#client.query("commit");
    return result;
  }

  plan(sql: string): Promise<Plan> {
    return this.run(true, (client) => explain(client, sql));
  }

  async #timed(secured: boolean, name: string, text: string, preRequest: boolean): Promise<number> {
    const began = performance.now();
    await this.run(secured, (client) => client.query({ name, text }), preRequest);
    return performance.now() - began;
  }

  /** Medians of paired runs. */
  async compare(a: Parameters<Caller["time"]>, b: Parameters<Caller["time"]>): Promise<[number, number]> {
    const took: [number[], number[]] = [[], []];
    for (let i = 0; i < ITERATIONS; i++) {
      const order = i % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const);
      for (const which of order) took[which].push(await this.time(...(which === 0 ? a : b)));
    }
    return [median(took[0]), median(took[1])];
  }

  time(secured: boolean, name: string, text: string, preRequest = true): Promise<number> {
    return this.#timed(secured, name, text, preRequest);
  }
}

async function lists(caller: Caller, small: Plan, data: Generated, amounts: string): Promise<Row[]> {
  const list = await caller.plan(newestAgents());
  const [secured, owner] = await caller.compare(
    [true, "list", newestAgents()],
    [false, "list-owner", newestAgents(data.owner)],
  );
  const [withPre, without] = await caller.compare(
    [false, "list-owner", newestAgents(data.owner), true],
    [false, "list-owner", newestAgents(data.owner), false],
  );
  const logs = await caller.plan(newestLogs(data.agentId));
  const [securedLogs, ownerLogs] = await caller.compare(
    [true, "logs", newestLogs(data.agentId)],
    [false, "logs-owner", newestLogs(data.agentId, data.owner)],
  );
  return [
    {
      measure: `P1 newest 20 of ${amounts} agents`,
      ours: `${list.buffers} buffers`,
      goal: "≤ 25",
      met: list.buffers <= 25,
    },
    {
      measure: "P1 its request under row-level security",
      ours: us(secured),
      against: `${us(owner)} owner's query`,
      ratio: owner / secured,
      goal: "≥ 0.90×",
      met: owner / secured >= 0.9,
    },
    {
      measure: "   the pre-request's own cost",
      ours: us(withPre),
      against: `${us(without)} without`,
      ratio: withPre / without,
    },
    {
      measure: `P2 against 10k agents`,
      ours: `${list.buffers} buffers`,
      against: `${small.buffers}`,
      ratio: list.buffers / small.buffers,
      goal: "≤ 1.3×",
      met: list.buffers <= 1.3 * small.buffers,
    },
    {
      measure: "P3 newest 100 lines of an agent",
      ours: `${logs.buffers} buffers`,
      goal: "≤ 110",
      met: logs.buffers <= 110,
    },
    {
      measure: "P3 its request under row-level security",
      ours: us(securedLogs),
      against: `${us(ownerLogs)} owner's query`,
      ratio: securedLogs / ownerLogs,
      goal: "≤ 1.5×",
      met: securedLogs <= 1.5 * ownerLogs,
    },
  ];
}

/** 100,000 lines: by the controller's RPC over HTTP, by the RPC it had before, and by one COPY of the same rows into the same table. */
async function ingestion(
  bench: BenchStack,
  client: pg.Client,
  data: Generated,
  { progress, rounds }: Context,
): Promise<Row[]> {
  await client.query(
    `insert into private.agent_deployments (agent_id, user_id, desired, revision, target_replicas, most_replicas, cpu_millicores, memory_bytes,
       phase, generation, observed_generation)
     values ($1, $2, 'stopped', 1, 0, 0, 100, 134217728, 'STOPPED', 1, 1) on conflict do nothing`,
    [data.agentId, data.owner],
  );
  const { apiUrl, secretKey } = bench.stack.info;
  const headers = { apikey: secretKey, "content-type": "application/json" };
  const message = "a line as agents say it, with some words in it and a number at the end ";
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const timestamp = new Date().toISOString();
  const rate = (began: number) => INGEST / ((performance.now() - began) / 1000);

  /** Sends batches over the connections, and says how many lines a second were stored. */
  const send = async (path: string, bodies: string[]) => {
    const began = performance.now();
    await Promise.all(
      Array.from({ length: CONNECTIONS }, async () => {
        for (let body = bodies.pop(); body !== undefined; body = bodies.pop()) {
          const { status, text } = await ask(
            { url: `${apiUrl}/rest/v1/rpc/${path}`, method: "POST", headers, body },
            agent,
          );
          if (status !== 200) throw new Error(`${path} answered ${status}: ${text.slice(0, 300)}`);
        }
      }),
    );
    return rate(began);
  };
  const batches = (replica: string): LogRow[][] =>
    Array.from({ length: INGEST / BATCH }, (_, batch) =>
      Array.from({ length: BATCH }, (_, i) => ({
        agentId: data.agentId,
        replica,
        sequence: batch * BATCH + i,
        timestamp,
        level: "INFO",
        message: message + i,
        source: "bench",
        metadata: {},
      })),
    );
  const byHttp = (replica: string) =>
    send(
      `ingest_log_lines?columns=${LOG_FIELDS.join(",")}`,
      batches(replica).map((rows) => JSON.stringify(logColumns(rows.map((row) => JSON.stringify(row))))),
    );
  const byEarlier = (replica: string) =>
    send(
      EARLIER_INGEST,
      batches(replica).map((rows) => JSON.stringify({ rows })),
    );
  const byCopy = async (replica: string) => {
    const lines = Array.from({ length: INGEST }, (_, i) =>
      [data.agentId, data.owner, timestamp, "INFO", message + (i % BATCH), "bench", "{}", replica, i].join(
        "\t",
      ),
    );
    const rows = Buffer.from(`${lines.join("\n")}\n`);
    const began = performance.now();
    await copyFrom(
      client,
      'copy public.agent_logs (agent_id, user_id, "timestamp", level, message, source, metadata, replica, sequence) from stdin',
      rows,
    );
    return rate(began);
  };

  const ways = { http: byHttp, earlier: byEarlier, copy: byCopy };
  const rates: Record<keyof typeof ways, number[]> = { http: [], earlier: [], copy: [] };
  const count = rounds(5);
  try {
    await createEarlierIngest(client);
    await until(() => send(EARLIER_INGEST, ['{"rows":[]}']));
    for (let round = 1; round <= count; round++) {
      const order = Object.entries(ways) as [keyof typeof ways, typeof byHttp][];
      for (const [name, run] of round % 2 === 0 ? order : order.reverse()) {
        rates[name].push(await run(`${name}-${round}`));
        await client.query("checkpoint").catch(() => undefined);
      }
      const said = order.map(([name]) => `${name} ${rates[name].at(-1)?.toFixed(0)}`).join(", ");
      progress(`round ${round}/${count}, rows/s: ${said}`);
    }
  } finally {
    agent.destroy();
  }
  const against = (other: keyof typeof ways) =>
    median(rates.http.map((one, round) => one / (rates[other][round] ?? Number.NaN)));
  const [copy, earlier] = [against("copy"), against("earlier")];
  return [
    {
      measure: `P6 ingest by HTTP, ${CONNECTIONS} connections, batches of ${BATCH}`,
      ours: `${median(rates.http).toFixed(0)} rows/s`,
      against: `${median(rates.copy).toFixed(0)} one COPY`,
      ratio: copy,
      goal: "≥ 0.65×",
      met: copy >= 0.65,
    },
    {
      measure: "   the same, against an object a line (before ADR 0250)",
      ours: `${median(rates.http).toFixed(0)} rows/s`,
      against: `${median(rates.earlier).toFixed(0)} rows/s`,
      ratio: earlier,
      goal: "≥ 1.3×",
      met: earlier >= 1.3,
    },
  ];
}

/** Until PostgREST knows the function. */
async function until(call: () => Promise<unknown>): Promise<void> {
  for (let tries = 100; ; tries--) {
    try {
      await call();
      return;
    } catch (error) {
      if (tries === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

export const benchmark: Benchmark = {
  title: "the database among many agents and lines",
  async run(context) {
    const { stack, progress, full } = context;
    const [agents, logs, amounts] = full ? [1_000_000, 5_000_000, "1M"] : [100_000, 500_000, "100k"];
    const bench = await stack();
    const client = new pg.Client({ connectionString: bench.stack.info.dbUrl });
    await client.connect();
    try {
      await client.query("set statement_timeout = 0; set random_page_cost = 1.1"); // as the role authenticator has it
      const few = await generate(client, { agents: 10_000, logs: 0 }, progress);
      const caller = new Caller(client, few.owner);
      const small = await caller.plan(newestAgents());
      await client.query("truncate public.agents cascade");
      const data = await generate(client, { agents, logs }, progress);
      const rows = await lists(caller, small, data, amounts);
      rows.push(...(await ingestion(bench, client, data, context)));
      return rows;
    } finally {
      await client.end();
    }
  },
};
