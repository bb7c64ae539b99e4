// Erasure on a running stack: a user leaves words by every door and header, goes, and nothing of them is found in the database, the
// data folder, the logs or what the stack printed. tests/integration/erasure.test.ts covers every column; this, every way in.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, test } from "vitest";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";
import { columnsWith } from "../helpers/words.ts";

let folder: string;
let stack: TestStack;
let database: pg.Pool;
let printed = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "launchpad-erasure-"));
  stack = await startTestStack({ dataDir: folder });
  for (const stream of [stack.process?.stdout, stack.process?.stderr])
    stream?.on("data", (text: string | Buffer) => {
      printed += text.toString();
    });
  database = new pg.Pool({ connectionString: stack.info.dbUrl, max: 2 });
  database.on("error", () => undefined);
  await stack.raiseRateLimits();
});
afterAll(async () => {
  await database.end();
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Files of the data folder with `word` in their path or bytes; Postgres' own are searched as rows (docs/privacy.md). */
async function filesWith(word: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const short = path.slice(folder.length + 1);
    if (short.startsWith("postgres/")) continue;
    const text = entry.isFile() ? (await readFile(path).catch(() => Buffer.alloc(0))).toString("latin1") : "";
    if (`${short}\n${text}`.toLowerCase().includes(word.toLowerCase())) found.push(short);
  }
  return found;
}

/** Everywhere that holds `word`. */
async function placesWith(word: string): Promise<string[]> {
  const columns = await columnsWith(database, word);
  const said = printed.toLowerCase().includes(word.toLowerCase()) ? ["what the stack printed"] : [];
  return [...columns, ...(await filesWith(word)), ...said];
}

/** Waits until `done` is true. */
async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await done()); await sleep(200))
    if (Date.now() > deadline) assert.fail(`not in time: ${what}`);
}

/** Uses the account by every door. Returns the agent's id. */
async function use(user: TestUser, word: string): Promise<string> {
  const headers = {
    "content-type": "application/json",
    "user-agent": `${word}-browser`,
    "x-request-id": `${word}-request`,
    "x-forwarded-for": "198.51.100.7",
    referer: `https://${word}.example/`,
  };
  const send = async (path: string, body: unknown, more: Record<string, string> = {}, method = "POST") => {
    const answer = await stack.fetch(path, {
      method,
      token: user.token,
      headers: { ...headers, ...more },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    return text.startsWith("{") ? JSON.parse(text) : text;
  };
  const launched = await send(
    "/api/agents",
    {
      agentName: `${word} agent`,
      description: word,
      system_prompt: word,
      character: { [word]: word },
      environment: { OPENAI_API_KEY: `${word}-key` },
    },
    { "idempotency-key": `${word}-once` },
  );
  assert.ok(launched.agentId, JSON.stringify(launched));
  const { agentId } = launched;
  await until("the agent runs", async () => {
    const [row] = await stack.sql<{ status: string }>("select status from public.agents where id = $1", [
      agentId,
    ]);
    return row?.status === "deployed";
  });
  // Refused and failed requests, and what does not parse: they are what logs repeat.
  await send("/api/agents", { [word]: word });
  await send(`/api/agents/${word}`, {}, {}, "PUT");
  await send(`/rest/v1/agents?name=eq.${word}&${word}=eq.1`, { name: word }, {}, "PATCH");
  await send("/rest/v1/agents", { user_id: randomUUID(), name: word });
  await send("/rest/v1/rpc/get_agent", { agent_id: word });
  await send("/graphql/v1", { query: `{ ${word} }` });
  await send("/auth/v1/token?grant_type=password", { email: user.email, password: word });
  await send("/auth/v1/user", { data: { full_name: word, [word]: word } }, {}, "PUT");
  await send("/auth/v1/otp", { email: user.email });
  await stack.fetch("/rest/v1/agents", { token: `${user.token.slice(0, -6)}AAAAAA`, headers });
  await stack.agentFetch(agentId, "/message", {
    method: "POST",
    token: user.token,
    body: JSON.stringify({ text: word, conversationId: randomUUID() }),
  });

  // Tables, tools, swarms and messages.
  const { client } = user;
  const one = async (table: string, row: Record<string, unknown>) => {
    const { data, error } = await client.from(table).insert(row).select().single();
    assert.equal(error, null, JSON.stringify(error));
    return data as Record<string, string>;
  };
  const swarm = await one("swarms", { name: word, description: word });
  await one("swarm_agents", { swarm_id: swarm.id, agent_id: agentId });
  await one("messages", { to_agent_id: agentId, content: word });
  await one("messages", { swarm_id: swarm.id, content: word });
  const tool = await one("tools", {
    name: word,
    description: word,
    implementation: { type: "http", url: `https://${word}.example/`, headers: { [word]: word } },
  });
  await one("agent_tools", { agent_id: agentId, tool_id: tool.id, configuration: { default_x: word } });
  await client.rpc("set_user_secret", { name: `${word}_SECRET`, value: word });

  // Files, and broadcasts that are stored.
  const files = client.storage.from("agent-assets");
  const path = `${agentId}/${word}.txt`;
  const stored = await files.upload(path, new Blob([word], { type: "text/plain" }), {
    metadata: { [word]: word },
  });
  assert.equal(stored.error, null);
  await files.upload(path, new Blob([word], { type: "application/zip" })); // refused
  for (const topic of [`user:${user.id}`, `agent:${agentId}`]) {
    const channel = client.channel(topic, { config: { private: true, presence: { key: word } } });
    const joined = Promise.withResolvers<void>();
    channel.subscribe((status) => {
      if (status === "SUBSCRIBED") joined.resolve();
    });
    await joined.promise;
    await channel.track({ [word]: word });
    await channel.send({ type: "broadcast", event: word, payload: { [word]: word } });
  }
  await stack.sql(
    "select realtime.send(jsonb_build_object('text', $1::text), 'x', 'swarm:' || $2::text, true)",
    [word, swarm.id],
  );
  await client.removeAllChannels();
  await until("answers were tried", async () => {
    const rows = await stack.sql(
      "select from private.reply_jobs where user_id = $1 and state in ('waiting', 'running') and attempts = 0",
      [user.id],
    );
    return rows.length === 0;
  });
  assert.deepEqual((await files.remove([path])).error, null);
  return agentId;
}

/** All that names the account afterwards, by its id. */
const STAYS = [
  "auth.audit_log_entries.payload",
  "private.agent_deployments.user_id",
  "private.erased_accounts.user_id",
  "public.agent_events.actor",
  "public.agent_events.user_id",
  "public.security_events.user_id",
];

test("a user who goes leaves ids in the audit and nothing else, anywhere", async () => {
  const word = `erase${randomUUID().replaceAll("-", "").slice(0, 14)}`;
  const kept = `keep${randomUUID().replaceAll("-", "").slice(0, 14)}`;
  const user = await stack.createUser(`${word}@example.com`);
  const bob = await stack.createUser(`${kept}@example.com`);
  const agentId = await use(user, word);
  await bob.client.from("agents").insert({ name: kept });
  const before = await placesWith(word);
  for (const place of ["public.agents.name", "public.security_events.user_agent", "vault.secrets.name"])
    assert.ok(before.includes(place), `${place} is not among ${before.join(", ")}`);

  const answer = await stack.fetch(`/api/users/profile?confirm=${word}@example.com`, {
    method: "DELETE",
    token: user.token,
    headers: { "user-agent": `${word}-last`, "x-request-id": `${word}-last` },
  });
  assert.equal(answer.status, 200, await answer.text());
  // Late requests with the token of the account that is gone say nothing of it either.
  await stack.fetch("/api/agents", { token: user.token });
  await until("the replicas are gone", async () => {
    const rows = await stack.sql(
      "select from private.agent_deployments where agent_id = $1 and removed_at is null",
      [agentId],
    );
    return rows.length === 0;
  });
  // Lines that its replicas sent last; pg_cron does this every ten minutes.
  await until("late rows are removed", async () => {
    await stack.sql("select private.forget_erased()");
    return (await columnsWith(database, user.id)).join() === STAYS.join();
  });
  assert.deepEqual(await placesWith(word), []);
  assert.ok((await placesWith(kept)).includes("public.agents.name"), "another user's data is as it was");
});
