// A plain project, of which nothing is ours, through supabase-js.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, test } from "vitest";
import { type LocalSupabase, startLocalSupabase } from "./start.ts";

const FILES = {
  "config.toml": `project_id = "notes"
[db]
major_version = 17
[auth.email]
enable_confirmations = false
[functions.hello]
verify_jwt = false
`,
  "migrations/20260101000000_notes.sql": `
create table public.notes (
  id bigint generated always as identity primary key,
  owner uuid not null default auth.uid() references auth.users (id),
  text text not null
);
alter table public.notes enable row level security;
grant select, insert, delete on public.notes to authenticated;
create policy "one's own" on public.notes to authenticated using (owner = (select auth.uid()));
`,
  "functions/hello/index.ts": `Deno.serve(async (request) => {
  const { name } = await request.json();
  return Response.json({ message: "Hello " + name, url: Deno.env.get("SUPABASE_URL") });
});
`,
};

const folder = mkdtempSync(join(tmpdir(), "local-supabase-test-"));
const open = { auth: { persistSession: false, autoRefreshToken: false } };
let project: LocalSupabase;
let alice: SupabaseClient;
const client = (key = project.publishableKey) => createClient(project.url, key, open);

beforeAll(async () => {
  for (const [name, text] of Object.entries(FILES)) {
    const path = join(folder, "supabase", name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, text);
  }
  project = await startLocalSupabase({ projectFolder: folder });
  alice = client();
  const { error } = await alice.auth.signUp({
    email: "alice@example.com",
    password: "correct horse battery",
  });
  assert.equal(error, null);
});
afterAll(async () => {
  await project?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("a password signs in; a wrong one never locks the account, which hosted does not do either", async () => {
  for (let attempt = 0; attempt < 6; attempt++) {
    const { error } = await client().auth.signInWithPassword({
      email: "alice@example.com",
      password: "wrong",
    });
    assert.equal(error?.code, "invalid_credentials");
  }
  const { data, error } = await client().auth.signInWithPassword({
    email: "ALICE@example.com",
    password: "correct horse battery",
  });
  assert.equal(error, null);
  assert.equal(data.user?.email, "alice@example.com");
});

test("rows of the migration's table are their owner's alone", async () => {
  assert.equal((await alice.from("notes").insert({ text: "mine" })).error, null);
  assert.deepEqual((await alice.from("notes").select("text")).data, [{ text: "mine" }]);
  const bob = client();
  await bob.auth.signUp({ email: "bob@example.com", password: "correct horse battery" });
  assert.deepEqual((await bob.from("notes").select()).data, []);
  assert.equal((await client().from("notes").select()).error?.code, "42501");
  const forged = await fetch(`${project.url}/rest/v1/notes`, {
    headers: { apikey: project.publishableKey, authorization: "Bearer e30.e30.e30" },
  });
  assert.equal(forged.status, 401);
  assert.equal((await alice.from("notes").delete()).error?.code, "21000");
});

test("a function answers, and knows where its project is", async () => {
  const { data, error } = await client().functions.invoke("hello", { body: { name: "Ada" } });
  assert.equal(error, null);
  assert.deepEqual(data, { message: "Hello Ada", url: project.url });
});

test("a file in a bucket is stored and read back", async () => {
  const { storage } = client(project.secretKey);
  assert.equal((await storage.createBucket("files")).error, null);
  assert.equal((await storage.from("files").upload("a.txt", "words")).error, null);
  assert.equal(await (await storage.from("files").download("a.txt")).data?.text(), "words");
  assert.notEqual((await client().storage.from("files").download("a.txt")).error, null);
});

test("everything is healthy, and the temporary folder is gone when it stops", async () => {
  const health = await fetch(`${project.url}/healthz`);
  assert.equal(health.status, 200, await health.text());
  assert.ok(existsSync(project.dataDir));
  await project.stop();
  assert.ok(!existsSync(project.dataDir));
});
