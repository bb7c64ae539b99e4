// The plugin for tables of a project, against the real stack: row level security decides what an agent reads and writes.
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, test } from "vitest";
import { callTool } from "../../packages/agent-runtime/src/abilities/tools/index.ts";
import { openOwnPlugin } from "../../packages/agent-runtime/src/plugins/own.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let ada: TestUser;
let bob: TestUser;
beforeAll(async () => {
  stack = await startTestStack();
  [ada, bob] = [await stack.createUser(), await stack.createUser()];
  await stack.sql(`create table public.own_plugin_notes (id bigint generated always as identity primary key,
    user_id uuid not null default auth.uid(), note text not null)`);
  await stack.sql("alter table public.own_plugin_notes enable row level security");
  await stack.sql(`create policy own on public.own_plugin_notes to authenticated
    using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))`);
  await stack.sql("grant select, insert, update on public.own_plugin_notes to authenticated, anon");
  const rows = [{ note: "nobody's" }];
  while ((await as()("supabase_insert", { rows })) === "HTTP 404\n{}") {
    await setTimeout(50); // PostgREST reads the new table's schema on its own time
  }
});
afterAll(async () => {
  await stack?.sql("drop table if exists public.own_plugin_notes"); // others read the shared stack's schema
  await stack?.stop();
});

/** Calls a tool of an agent that has this token. */
const as =
  (token?: string) =>
  async (name: string, given: object): Promise<string> => {
    const environment = {
      SUPABASE_URL: stack.info.apiUrl,
      SUPABASE_ANON_KEY: stack.info.publishableKey,
      ...(token !== undefined && { SUPABASE_ACCESS_TOKEN: token }),
    };
    const plugin = openOwnPlugin("@elizaos/plugin-supabase", {
      environment,
      supabaseProject: undefined,
      secrets: [],
    });
    const tool = plugin?.tools.find((one) => one.name === name);
    assert.ok(tool, plugin?.problem);
    const limits = { privateHosts: ["127.0.0.1"], signal: AbortSignal.timeout(10_000) };
    return (await callTool(tool, { table: "own_plugin_notes", ...given }, { limits, search: async () => [] }))
      .text;
  };
const notes = async (call: ReturnType<typeof as>, given: object = {}) =>
  JSON.parse(await call("supabase_select", { columns: ["note"], order: "id", ...given })).map(
    ({ note }: { note: string }) => note,
  );

test("rows are added, read, changed and counted; those of another user, of nobody and of a forged token are not", async () => {
  const [asAda, asBob] = [as(ada.token), as(bob.token)];
  const odd = 'two, "quoted" & (more)';
  assert.equal(await asAda("supabase_insert", { rows: [{ note: "one" }, { note: odd }] }), "Added 2.");
  assert.equal(await asBob("supabase_insert", { rows: [{ note: "bob's" }] }), "Added 1.");
  assert.deepEqual(await notes(asAda), ["one", odd]);
  assert.deepEqual(await notes(asAda, { filters: [{ column: "note", operator: "in", values: [odd] }] }), [
    odd,
  ]);
  assert.deepEqual(await notes(asAda, { filters: [{ column: "note", operator: "eq", values: [odd] }] }), [
    odd,
  ]);
  assert.deepEqual(await notes(asAda, { limit: 1, descending: true }), [odd]);
  assert.deepEqual(await notes(asBob), ["bob's"]);
  assert.deepEqual(await notes(as()), []);
  assert.match(await as(`${ada.token.slice(0, -8)}AAAAAAAA`)("supabase_select", {}), /^HTTP 401\n/);

  const change = { values: { note: "changed" }, filters: [{ column: "id", operator: "gt", values: ["0"] }] };
  assert.equal(await asBob("supabase_update", change), "Changed 1.");
  assert.deepEqual(await notes(asAda), ["one", odd]);
  const taken = await asBob("supabase_insert", { rows: [{ note: "x", user_id: ada.id }] });
  assert.match(taken, /^HTTP 403\n[\s\S]*row-level security/);
  assert.match(await as()("supabase_insert", { rows: [{ note: "x", user_id: ada.id }] }), /^HTTP 4/);
});

test("a call changes no more than 100 rows, and never without a filter", async () => {
  const call = as(ada.token);
  const rows = Array.from({ length: 100 }, (_, index) => ({ note: `many ${index}` }));
  assert.equal(await call("supabase_insert", { rows }), "Added 100.");
  assert.equal(await call("supabase_insert", { rows: rows.slice(0, 1) }), "Added 1.");
  const many = [{ column: "note", operator: "like", values: ["many*"] }];
  assert.match(
    await call("supabase_update", { values: { note: "all" }, filters: many }),
    /at most 100|^HTTP 4/,
  );
  assert.equal((await notes(call, { limit: 100, filters: many })).length, 100);
  assert.match(await call("supabase_update", { values: { note: "all" }, filters: [] }), /^error: .*filters/);
  assert.match(await call("supabase_insert", { rows: [...rows, { note: "y" }] }), /^error: .*rows/);
  assert.match(await call("supabase_select", { table: "own_plugin_notes?x=1" }), /^error: .*table/);
  assert.match(await call("supabase_select", { table: "no_such_table" }), /^HTTP 404\n/);
});
