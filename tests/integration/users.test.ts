// A user's account in SQL: profile, what Auth and we agree on, export, and what is left of an account that goes.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { userExport, userProfile } from "../../supabase/functions/_shared/contract/index.ts";
import type { TestDatabase, TestUser } from "../helpers/database.ts";
import { createUnlimitedDatabase, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: TestUser;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
beforeEach(async () => {
  alice = await db.createUser(undefined, { full_name: "Alice" });
});
afterAll(() => db.destroy());

const call = (name: string, args: Record<string, unknown> = {}, who = alice) =>
  rpc(db, user(who.id), name, args);
const update = (changes: unknown) => call("update_profile", { changes: changes as Record<string, unknown> });
const metadata = async () =>
  (await db.pool.query("select raw_user_meta_data as m from auth.users where id = $1", [alice.id])).rows[0].m;

describe("the profile", () => {
  test("shows Auth's row, the permissions in force, and the user's use", async () => {
    await db.pool.query("insert into storage.buckets (id, name) values ('p', 'p') on conflict do nothing");
    await db.pool.query(
      `insert into storage.objects (bucket_id, name, owner_id, metadata) values ('p', gen_random_uuid()::text, $1, '{"size": 157286400}')`,
      [alice.id],
    );
    await call("launch_agent", { definition: { agentName: "bot" } });
    const { status, body } = await call("get_profile");
    assert.equal(status, 200);
    userProfile.parse(body);
    assert.equal(body.user.email, alice.email);
    assert.deepEqual(body.user.app_metadata, { provider: "email", providers: ["email"] });
    assert.equal(body.user.user_metadata.full_name, "Alice");
    assert.deepEqual(body.user.user_metadata.permissions, ["agents:read", "agents:write", "monitoring:read"]);
    assert.equal(body.profile.username, alice.email.split("@")[0]);
    assert.deepEqual(body.profile.notification_preferences, {
      email: true,
      real_time: true,
      security_alerts: true,
    });
    assert.deepEqual([body.profile.agent_count, body.profile.storage_used], [1, "150MB"]);
  });

  test("is changed field by field; null clears; what else a user's metadata holds stays", async () => {
    await db.pool.query(
      `update auth.users set raw_user_meta_data = raw_user_meta_data || '{"mine": {"deep": null}}' where id = $1`,
      [alice.id],
    );
    const { status, body } = await update({
      username: " ada ",
      user_metadata: { full_name: "Updated Name", avatar_url: "https://new-avatar-url.com" },
      notification_preferences: { real_time: false },
    });
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.profile.username, "ada");
    assert.equal(body.user.user_metadata.full_name, "Updated Name");
    assert.deepEqual(body.profile.notification_preferences, {
      email: true,
      real_time: false,
      security_alerts: true,
    });
    await update({ user_metadata: { avatar_url: null } });
    const { permissions_as_of, ...rest } = await metadata();
    assert.match(permissions_as_of, /^\d{4}-.*\.\d{6}Z$/);
    assert.deepEqual(rest, {
      full_name: "Updated Name",
      mine: { deep: null },
      permissions: ["agents:read", "agents:write", "monitoring:read"],
    });
  });

  test("permissions can be narrowed and restored, never widened", async () => {
    const narrowed = await update({ user_metadata: { permissions: ["agents:read"] } });
    assert.deepEqual(narrowed.body.user.user_metadata.permissions, ["agents:read"]);
    assert.equal((await call("launch_agent", { definition: { agentName: "x" } })).status, 403);
    const widened = await update({ user_metadata: { permissions: ["agents:read", "system:read"] } });
    assert.equal(widened.status, 400);
    assert.deepEqual(Object.keys(JSON.parse(widened.body.details)), ["user_metadata.permissions"]);
    const restored = await update({ user_metadata: { permissions: null } });
    assert.equal(restored.body.user.user_metadata.permissions.length, 3);
  });

  test("an older copy of the metadata takes nothing away that was granted since", async () => {
    const write = (value: unknown) =>
      db.pool.query("update auth.users set raw_user_meta_data = $2 where id = $1", [
        alice.id,
        JSON.stringify(value),
      ]);
    const inForce = async () =>
      (await db.pool.query("select private.effective_permissions($1) as p", [alice.id])).rows[0].p;
    const before = await metadata();
    await db.pool.query(
      "insert into public.user_permissions (user_id, permission) values ($1, 'system:read')",
      [alice.id],
    );
    const all = ["agents:read", "agents:write", "monitoring:read", "system:read"];
    await write({ ...before, theme: "dark" });
    assert.deepEqual(await inForce(), all);
    assert.deepEqual((await metadata()).permissions, all);

    const narrow = { ...(await metadata()), permissions: ["agents:read"] };
    await write(narrow);
    assert.deepEqual(await inForce(), ["agents:read"], "a list of now narrows all");
    await db.pool.query(
      "insert into public.user_permissions (user_id, permission) values ($1, 'security:read')",
      [alice.id],
    );
    assert.deepEqual(await inForce(), ["agents:read", "security:read"], "a later grant is not narrowed");
    await write(narrow);
    assert.deepEqual(
      await inForce(),
      ["agents:read", "security:read"],
      "nor by the older list, written again",
    );
    await write({ ...narrow, permissions_as_of: "nonsense" });
    assert.deepEqual(await inForce(), ["agents:read"], "a time that is none makes no list older");

    await db.pool.query("delete from public.user_permissions where user_id = $1", [alice.id]);
    assert.deepEqual((await metadata()).permissions, []);
    await write({ ...narrow, permissions: all });
    assert.deepEqual(await inForce(), [], "no list grants");
    await db.pool.query(
      "insert into public.user_permissions (user_id, permission) values ($1, 'agents:read')",
      [alice.id],
    );
    assert.deepEqual(await inForce(), ["agents:read"]);
    await write({ permissions: null });
    assert.deepEqual((await metadata()).permissions, ["agents:read"]);
  });

  test("two grants at once are both shown, and no copy between them takes one away", async () => {
    const [first, second] = [await db.pool.connect(), await db.pool.connect()];
    try {
      const grant = "insert into public.user_permissions (user_id, permission) values ($1, $2)";
      await first.query("begin");
      await second.query("begin");
      await first.query(grant, [alice.id, "system:read"]);
      const waiting = second.query(grant, [alice.id, "security:read"]);
      await first.query("commit");
      const between = await metadata();
      await waiting;
      await second.query("commit");
      assert.deepEqual((await metadata()).permissions.length, 5);
      await db.pool.query("update auth.users set raw_user_meta_data = $2 where id = $1", [
        alice.id,
        JSON.stringify(between),
      ]);
      assert.deepEqual((await metadata()).permissions.length, 5);
    } finally {
      first.release();
      second.release();
    }
  });

  test("notification preferences set through Auth are the same ones; nonsense there does no harm", async () => {
    const through = (value: unknown) =>
      db.pool.query(
        "update auth.users set raw_user_meta_data = jsonb_build_object('notification_preferences', $2::jsonb) where id = $1",
        [alice.id, JSON.stringify(value)],
      );
    await through({ email: false, real_time: "no", other: true });
    const { body } = await call("get_profile");
    assert.deepEqual(body.profile.notification_preferences, {
      email: false,
      real_time: true,
      security_alerts: true,
    });
    await through("nonsense");
    await through([1]);
  });

  for (const [field, changes] of [
    ["body", {}],
    ["body", []],
    ["other", { other: 1 }],
    ["username", { username: "  " }],
    ["username", { username: "x".repeat(101) }],
    ["username", { username: 1 }],
    ["user_metadata", { user_metadata: "x" }],
    ["user_metadata.role", { user_metadata: { role: "admin" } }],
    ["user_metadata.full_name", { user_metadata: { full_name: "x".repeat(201) } }],
    ["user_metadata.avatar_url", { user_metadata: { avatar_url: "javascript:alert(1)" } }],
    ["user_metadata.permissions", { user_metadata: { permissions: "all" } }],
    ["notification_preferences.email", { notification_preferences: { email: "yes" } }],
    ["notification_preferences.sms", { notification_preferences: { sms: true } }],
  ] as [string, unknown][]) {
    test(`${JSON.stringify(changes).slice(0, 60)} is a VALIDATION_ERROR of ${field}`, async () => {
      const { status, body } = await update(changes);
      assert.equal(status, 400);
      assert.deepEqual(Object.keys(JSON.parse(body.details)), [field]);
    });
  }
});

/** Words of a user's own, new for each test. */
let mark: string;
beforeEach(() => {
  mark = `Personal${randomUUID()}`;
});

/** Puts something personal everywhere a user can. Returns the agent's id. */
async function live(who: TestUser): Promise<string> {
  await call(
    "update_profile",
    { changes: { username: `${mark}-name`, user_metadata: { full_name: mark } } },
    who,
  );
  const { body } = await call(
    "launch_agent",
    {
      definition: {
        agentName: `${mark}-agent`,
        description: mark,
        system_prompt: mark,
        character: { name: mark, bio: mark },
        environment: { TOKEN: `${mark}-secret` },
      },
    },
    who,
  );
  await settle(db, body.agentId);
  await call("update_agent", { agent_id: body.agentId, changes: { description: `${mark} again` } }, who);
  const line = { agentId: body.agentId, replica: "r", timestamp: new Date().toISOString() };
  await rpc(db, service, "ingest_agent_logs", {
    rows: [{ ...line, sequence: 1, level: "INFO", message: mark, source: "s", metadata: { text: mark } }],
  });
  await rpc(db, service, "ingest_agent_metrics", { rows: [{ ...line, sequence: 1 }] });
  await db.pool.query("select private.roll_up_metrics()");
  await db.pool.query(
    "insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content) values ($1, $2, gen_random_uuid(), 'user', $3)",
    [body.agentId, who.id, mark],
  );
  return body.agentId;
}

/** Every table of the database that has a row with `text` in it, in any column. */
async function tablesWith(text: string): Promise<string[]> {
  const { rows } = await db.superuser.query(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname in ('public', 'private', 'auth', 'storage', 'vault', 'realtime', 'net', 'cron')`,
  );
  const found: string[] = [];
  for (const { name } of rows) {
    const hit = await db.superuser.query(
      `select from ${name} t where t::text like '%' || $1 || '%' limit 1`,
      [text],
    );
    if (hit.rowCount) found.push(name);
  }
  return found.sort();
}

describe("export_my_data", () => {
  test("is everything the user owns, with no secret's value and no other user's row", async () => {
    const bob = await db.createUser();
    await live(bob);
    const agentId = await live(alice);
    const { status, body } = await call("export_my_data");
    assert.equal(status, 200, JSON.stringify(body));
    userExport.parse(body);
    const { rows } = await db.pool.query("select private.tables_of_users('public') as t");
    assert.deepEqual(Object.keys(body.tables).sort(), rows.map(({ t }) => t).sort());
    for (const table of [
      "agents",
      "agent_logs",
      "agent_metrics",
      "agent_revisions",
      "agent_events",
      "agent_conversations",
    ]) {
      assert.ok(body.tables[table].length > 0, table);
    }
    assert.equal(body.tables.agents[0].id, agentId);
    assert.equal(body.tables.agent_secrets[0].name, "TOKEN");
    assert.equal(body.tables.agent_secrets[0].vault_id, undefined);
    assert.deepEqual([body.omitted, body.rest], [{}, {}]);
    const text = JSON.stringify(body);
    assert.ok(!text.includes(`${mark}-secret`) && !text.includes(bob.id) && !text.includes(bob.email));
  });

  test("is bounded by bytes: the newest rows, how many are missing, and where they are read", async () => {
    const bob = await db.createUser();
    for (const who of [bob, alice])
      await db.pool.query(
        `insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, replica, sequence)
         select 'a-' || ($1::uuid), $1::uuid, now() + n * interval '1 s', 'INFO', n || repeat('x', 1000), 's', 'r', n from generate_series(1, 300) n`,
        [who.id],
      );
    await db.pool.query(
      `update private.security_settings set value = value || '{"max_bytes": 150000}' where name = 'export'`,
    );
    try {
      const { status, body } = await call("export_my_data");
      assert.equal(status, 200, JSON.stringify(body).slice(0, 300));
      userExport.parse(body);
      assert.ok(JSON.stringify(body.tables).length < 160_000);
      const logs = body.tables.agent_logs;
      assert.ok(logs.length > 50 && logs.length < 150, String(logs.length));
      assert.deepEqual(body.omitted, { agent_logs: 300 - logs.length });
      assert.deepEqual(body.rest, {
        agent_logs: `/rest/v1/agent_logs?order=timestamp.desc&offset=${logs.length}&limit=1000`,
      });
      assert.equal(logs[0].message.slice(0, 3), "300");
      assert.ok(body.tables.profiles.length === 1, "what is small comes first");
    } finally {
      await db.pool.query(
        `update private.security_settings set value = value || '{"max_bytes": 16777216}' where name = 'export'`,
      );
    }
  });
});

describe("delete_my_account", () => {
  test("wants the account's address, and no files left", async () => {
    for (const confirm of ["", "someone@example.com"]) {
      const { status, body } = await call("delete_my_account", { confirm });
      assert.equal(status, 400);
      assert.deepEqual(Object.keys(JSON.parse(body.details)), ["confirm"]);
    }
    await db.pool.query("insert into storage.buckets (id, name) values ('d', 'd') on conflict do nothing");
    await db.pool.query("insert into storage.objects (bucket_id, name, owner_id) values ('d', $1, $1)", [
      alice.id,
    ]);
    const { status, body } = await call("delete_my_account", { confirm: alice.email });
    assert.equal(status, 409);
    assert.deepEqual(JSON.parse(body.details), { files: 1 });
  });

  for (const [door, remove] of [
    [
      "the RPC",
      async () =>
        assert.equal((await call("delete_my_account", { confirm: alice.email.toUpperCase() })).status, 200),
    ],
    ["Auth itself", () => db.pool.query("delete from auth.users where id = $1", [alice.id])],
  ] as [string, () => Promise<unknown>][]) {
    test(`by ${door}: nothing personal remains; the audit keeps the id`, async () => {
      const bob = await db.createUser();
      await live(bob);
      const agentId = await live(alice);
      await db.pool.query("select private.count_auth_request($1)", [alice.email]);
      await remove();
      assert.deepEqual(await tablesWith(alice.email), []);
      assert.deepEqual(await tablesWith(alice.id), [
        // Until the cluster holds nothing of it, and the retention after; what happened, for good.
        "private.agent_deployments",
        "private.erased_accounts",
        "public.agent_events",
        "public.security_events",
      ]);
      await call("delete_my_account", { confirm: bob.email }, bob);
      assert.deepEqual(await tablesWith(mark), []);
      const { rows } = await db.pool.query(
        "select desired, message from private.agent_deployments where agent_id = $1",
        [agentId],
      );
      assert.deepEqual(rows, [{ desired: "absent", message: null }]);
      assert.equal((await call("get_profile")).body.code, "INVALID_JWT_TOKEN");
    });
  }

  test("lines that a stopping replica still sends go with the next run of the job", async () => {
    const agentId = await live(alice);
    await call("delete_my_account", { confirm: alice.email });
    await rpc(db, service, "ingest_agent_logs", {
      rows: [
        {
          agentId,
          replica: "r",
          sequence: 9,
          timestamp: new Date().toISOString(),
          level: "INFO",
          message: mark,
          source: "s",
        },
      ],
    });
    assert.deepEqual(await tablesWith(mark), ["public.agent_logs"]);
    await db.pool.query("select private.forget_erased()");
    assert.deepEqual(await tablesWith(mark), []);
  });
});
