// Any process dies at any time: no intent is lost, no replica doubled, no process left, the event log complete.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, launched, reached } from "../helpers/agents.ts";
import { eventually, stillRunning, tree } from "../helpers/processes.ts";
import { canListProcesses, replicaCounts, replicas } from "../helpers/replicas.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const options = { skip: !canListProcesses };
const small = { memory: "128Mi", cpu: "50m" };

describe("faults", options, () => {
  let stack: TestStack;
  let owner: TestUser;
  let stackPid: number;

  beforeAll(async () => {
    stack = await startTestStack({ env: {} });
    stackPid = stack.process?.pid ?? 0;
    await stack.raiseRateLimits();
    owner = await stack.createUser();
    await stack.sql(
      "update public.quotas set max_agents = 500, max_replicas = 500, max_cpu = 500000, max_memory = 1e12",
    );
  });
  let ended = false;
  afterAll(async () => {
    if (!ended) await stack.stop();
  });

  const call = (method: string, path: string, body?: unknown) => api(stack, owner, method, path, body);

  /** Calls until the stack answers as it should: what a client with retries does while something restarts. */
  async function insist(method: string, path: string, body?: unknown, key?: string): Promise<unknown> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const answer = await api(stack, owner, method, path, body, key ? { "idempotency-key": key } : {});
      // A crowd of requests of one user is told to wait for its answers.
      if (answer.status < 500 && answer.status !== 429) {
        assert.ok(answer.status < 300, `${method} ${path}: ${JSON.stringify(answer.body)}`);
        return answer.body;
      }
      assert.ok(Date.now() < deadline, `${method} ${path} kept failing: ${JSON.stringify(answer.body)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async function kill(part: string): Promise<void> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const found = tree(stackPid).find(({ pid, command }) => pid !== stackPid && command.includes(part));
      if (found) return void process.kill(found.pid, "SIGKILL");
      assert.ok(Date.now() < deadline, `${part} is not running`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** Waits until everything wanted is observed and exactly the wanted replicas run; fails with the difference. */
  async function converged(): Promise<void> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      let problem: unknown;
      try {
        const rows = await stack.sql<{
          agent_id: string;
          wanted: number;
          settled: boolean;
          phase: string;
          ready: number;
        }>(
          `select agent_id, phase, ready_replicas as ready, generation = observed_generation as settled,
                  case when desired = 'running' then target_replicas else 0 end as wanted
           from private.agent_deployments`,
        );
        const running = replicaCounts(stackPid);
        const wrong = rows.filter(
          (row) =>
            !row.settled ||
            (running.get(row.agent_id) ?? 0) !== row.wanted ||
            (row.wanted > 0 && row.ready !== row.wanted),
        );
        const known = new Set(rows.map((row) => row.agent_id));
        const strangers = [...running.keys()].filter((id) => !known.has(id));
        if (wrong.length === 0 && strangers.length === 0) return;
        problem = { wrong, strangers, running: [...running] };
      } catch (error) {
        problem = error; // Postgres may still be starting
      }
      if (Date.now() > deadline) assert.fail(`not converged: ${JSON.stringify(problem)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async function eventsAreComplete(): Promise<void> {
    const gaps = await stack.sql(
      "select agent_id from public.agent_events group by agent_id having max(seq) <> count(*) or min(seq) <> 1",
    );
    assert.deepEqual(gaps, []);
    const broken = await stack.sql(
      `select e.agent_id, e.seq, e.from_phase, before.to_phase
       from public.agent_events e
       join lateral (select p.to_phase from public.agent_events p
                     where p.agent_id = e.agent_id and p.seq < e.seq and p.to_phase is not null order by p.seq desc limit 1) before on true
       where e.from_phase is distinct from before.to_phase and e.to_phase is not null and e.from_phase is not null`,
    );
    assert.deepEqual(broken, [], "each transition begins where the one before ended");
  }

  test("every webhook lost: an agent is deployed by the next poll", async () => {
    const id = "launchpad_controller_url";
    const [secret] = await stack.sql<{ id: string; decrypted_secret: string }>(
      "select id, decrypted_secret from vault.decrypted_secrets where name = $1",
      [id],
    );
    await stack.sql("select vault.update_secret($1, 'http://127.0.0.1:9')", [secret?.id]);
    try {
      const agent = await launched(stack, owner, { resources: small });
      await call("DELETE", `/agents/${agent}`);
    } finally {
      await stack.sql("select vault.update_secret($1, $2)", [secret?.id, secret?.decrypted_secret]);
    }
    await converged();
  });

  test("the controller killed again and again under work", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      const body = (await insist("POST", "/agents", { agentName: `c${i}`, resources: small }, `c-${i}`)) as {
        agentId: string;
      };
      ids.push(body.agentId);
      await kill("packages/controller/src/main.ts");
      await insist("POST", `/agents/${ids[Math.floor(i / 2)]}/scale`, { replicas: (i % 2) + 1 });
    }
    await insist("DELETE", `/agents/${ids[4]}`);
    await converged();
    await eventsAreComplete();
    for (const id of ids.slice(0, 4)) await insist("DELETE", `/agents/${id}`);
    await converged();
  });

  test("Postgres killed under work: no acknowledged intent is lost", async () => {
    const agent = await launched(stack, owner, { resources: small });
    for (const replicas of [2, 1, 2]) {
      await insist("POST", `/agents/${agent}/scale`, { replicas });
      await kill("postgres -D");
    }
    await converged();
    const [row] = await stack.sql<{ target_replicas: number }>(
      "select target_replicas from private.agent_deployments where agent_id = $1",
      [agent],
    );
    assert.equal(row?.target_replicas, 2);
    await eventsAreComplete();
    await insist("DELETE", `/agents/${agent}`);
    await converged();
  });

  test("PostgREST and the function killed: JSON errors, then answers again", async () => {
    for (const part of ["postgrest", "functions/serve.ts"]) {
      await kill(part);
      const body = (await insist("GET", "/agents")) as { total: number };
      assert.equal(typeof body.total, "number");
    }
  });

  test("a replica killed comes back, and the agent shows it", async () => {
    const agent = await launched(stack, owner, { resources: { ...small, replicas: 2 } });
    const replica = replicas(stackPid).find((r) => r.agentId === agent);
    assert.ok(replica);
    process.kill(replica.pid, "SIGKILL");
    // On a busy machine it lives on for a moment, and everything would look as it should.
    await eventually("the killed replica ends", () => stillRunning([replica]).length === 0);
    await converged();
    await insist("DELETE", `/agents/${agent}`);
    await converged();
  });

  test("100 create, scale and delete races: nothing is doubled, nothing is left", async () => {
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const body = (await insist("POST", "/agents", { agentName: `r${i}`, resources: small })) as {
          agentId: string;
        };
        await insist("POST", `/agents/${body.agentId}/scale`, { replicas: (i % 2) + 1 });
        if (i % 8 !== 0) await insist("DELETE", `/agents/${body.agentId}`);
      }),
    );
    await converged();
    await eventsAreComplete();
    const stopped = (await insist("POST", "/agents/stop-all")) as { agents: string[] };
    for (const id of stopped.agents) await reached(stack, id, "STOPPED");
    await converged();
  });

  test("the stack ends and leaves no process", async () => {
    await launched(stack, owner, { resources: small });
    const running = tree(stackPid);
    assert.ok(running.length > 5);
    ended = true;
    await stack.stop();
    assert.deepEqual(stillRunning(running), []);
  });
});
