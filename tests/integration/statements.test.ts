// How many statements the requests of /api run in the database, nested ones included: what a change adds shows here.
import assert from "node:assert/strict";
import type pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let client: pg.PoolClient;

/** Calls an RPC as PostgREST does; answers what functions ran meanwhile, as auto_explain tells it. */
async function statements(name: string, call: string, values: unknown[]) {
  const settings = `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true),
    set_config('request.method', 'POST', true), set_config('request.path', $2, true),
    set_config('request.headers', '{}', true)`;
  const own: [text: string, values: unknown[]][] = [
    [settings, [JSON.stringify({ sub: alice, role: "authenticated" }), `/rpc/${name}`]],
    ["select private.pre_request()", []],
    [`select ${call} as body`, values],
    ["select current_setting('response.status') as status", []],
  ];
  const ran: string[] = [];
  const note = ({ message }: { message?: string | undefined }) => {
    const text = message?.match(/Query Text: ([\s\S]*?)\n(?=\S)/)?.[1];
    if (text !== undefined && !own.some(([mine]) => mine === text))
      ran.push(text.replaceAll(/\s+/g, " ").trim());
  };
  await client.query("begin");
  await client.query("set local auto_explain.log_min_duration = 0");
  client.on("notice", note);
  let status = "";
  for (const [text, given] of own) status = (await client.query(text, given)).rows[0].status;
  await client.query("commit");
  client.off("notice", note);
  return { ran, status };
}

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
  await db.pool.query("update public.quotas set max_agents = 52, max_replicas = 52 where user_id = $1", [
    alice,
  ]);
  await db.pool.query(
    "insert into public.agents (user_id, name) select $1, 'agent ' || n from generate_series(1, 25) n",
    [alice],
  );
  for (let n = 0; n < 25; n++) {
    const { body } = await rpc(db, user(alice), "launch_agent", {
      definition: { agentName: `launched ${n}` },
    });
    if (n < 12) await settle(db, body.agentId);
  }
  client = await db.superuser.connect();
  await client.query(
    `load 'auto_explain'; set auto_explain.log_min_duration = -1; set auto_explain.log_nested_statements = on; set auto_explain.log_level = notice;
     set client_min_messages = notice`,
  );
});
afterAll(async () => {
  client.release(true);
  await db.destroy();
});

describe("the statements of a request", () => {
  test("a list of 50 agents runs at most 8, and so does a page of it", async () => {
    const list = (limit: number) => statements("list_agents", `public.list_agents("limit" => $1)`, [limit]);
    const { ran, status } = await list(50);
    assert.equal(status, "200");
    assert.ok(ran.length <= 8, `${ran.length}:\n${ran.join("\n")}`);
    assert.ok(
      ran.some((text) => text.includes("from private.listed_agents")),
      "nested ones are seen",
    );
    const page = await list(10);
    assert.ok(page.ran.length <= 8, page.ran.join("\n"));
  });

  test("a launch runs at most 45, at most 40 different ones", async () => {
    const launch = () => statements("launch_agent", "public.launch_agent($1)", [{ agentName: "counted" }]);
    // The first of a session also runs what its plans fold into constants.
    await launch();
    const { ran, status } = await launch();
    assert.equal(status, "201");
    assert.ok(ran.length <= 45, `${ran.length}:\n${ran.join("\n")}`);
    assert.ok(new Set(ran).size <= 40, [...new Set(ran)].join("\n"));
  });
});
