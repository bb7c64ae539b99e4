// Security scans in SQL: each check finds what it is for and nothing else, compliance follows the catalogue, and critical
// findings block a deployment at every door where that is wanted.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import type { TestDatabase } from "../helpers/database.ts";
import {
  allowPlugins,
  createUnlimitedDatabase,
  createUser,
  rpc,
  service,
  settle,
  user,
} from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await allowPlugins(db);
});
beforeEach(async () => {
  alice = await createUser(db);
});
afterAll(() => db.destroy());

interface Finding {
  check: string;
  source: string;
  severity: string;
  title: string;
  recommendation: string;
  location?: string;
  package?: string;
}

const launch = (definition: Record<string, unknown> = {}) =>
  rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot", ...definition } });

async function scan(agentId: string) {
  const { status, body } = await rpc(db, user(alice), "scan_agent", { agent_id: agentId });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/** The findings on a freshly launched agent. */
async function findings(definition: Record<string, unknown>): Promise<Finding[]> {
  const { body } = await launch(definition);
  return (await scan(body.agentId)).results.findings;
}

/** Made of parts, so that no scanner takes this file for a leak. */
const joined = (...parts: string[]) => parts.join("");
const AWS = joined("AKIA", "ABCDEFGHIJKLMNOP");

describe("secrets in a definition", () => {
  const secrets: [kind: string, severity: string, text: string][] = [
    ["AWS access key", "CRITICAL", AWS],
    ["private key", "CRITICAL", joined("-----BEGIN RSA ", "PRIVATE KEY-----\nMIIE")],
    ["OpenAI or Anthropic key", "CRITICAL", joined("sk-", "proj-abcdefghijklmnopqrst")],
    ["GitHub token", "CRITICAL", joined("ghp_", "a1".repeat(18))],
    ["Supabase secret key", "CRITICAL", joined("sb_secret_", "a1".repeat(12))],
    ["Stripe key", "CRITICAL", joined("sk_live_", "a1".repeat(12))],
    ["agent key", "HIGH", joined("lp_", "a1b2c3d4".repeat(5), "abc")],
    ["Google API key", "HIGH", joined("AIza", "a1b2c".repeat(7))],
    ["Slack token", "HIGH", joined("xoxb-", "123456789012-abc")],
    ["JSON Web Token", "HIGH", joined("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxIn0x", ".c2lnbmF0dXJl")],
    ["password in a URL", "HIGH", joined("postgres://app:", "hunter2@db.example.com/app")],
    ["password or key in words", "MEDIUM", joined("the password: ", "correct-horse")],
  ];
  for (const [kind, severity, text] of secrets) {
    test(`${kind} is ${severity}, named by kind and place, never repeated`, async () => {
      const found = await findings({ character: { name: "x", system: `Before ${text} after.` } });
      const [finding, ...rest] = found;
      assert.deepEqual(rest, [], JSON.stringify(rest));
      assert.deepEqual(
        [finding?.check, finding?.severity, finding?.location],
        ["SECRET_LITERAL", severity, "character.system"],
      );
      assert.match(finding?.title ?? "", new RegExp(kind, "i"));
      assert.ok(!JSON.stringify(found).includes(text));
    });
  }

  for (const [name, value, found] of [
    ["DB_PASSWORD", "hunter2", true],
    ["TELEGRAM_BOT_TOKEN", "a b c d", true],
    ["botToken", "abcd", true],
    ["x-api-key", "abcd", true],
    ["private key", "abcd", true],
    ["Authorization", "Basic abcd", true],
    ["apiKey", "{{api_key}}", false],
    ["token", "", false],
    ["max_tokens", "4096", false],
    ["tokenizer", "cl100k", false],
    ["passwordHint", "the usual one", false],
    ["secretary", "Grace", false],
  ] as const) {
    test(`${name}: ${JSON.stringify(value)} is ${found ? "a secret by its name" : "none"}`, async () => {
      for (const settings of [
        // As an entry of its own it goes to Vault, where an environment variable can have its name.
        ...(found && /^\w+$/.test(name) && name !== "Authorization" ? [] : [{ [name]: value }]),
        { deep: [{ [name]: value }] },
        { text: JSON.stringify({ [name]: value }) },
      ]) {
        const all = await findings({ character: { name: "x", settings } });
        assert.deepEqual(
          all.map(({ check, severity, location }) => [check, severity, location]),
          found ? [["SECRET_LITERAL", "MEDIUM", "character.settings"]] : [],
          JSON.stringify(settings),
        );
        if (value !== "") assert.ok(!JSON.stringify(all).includes(value));
      }
    });
  }

  test("a name that is part of a longer one counts in words too", async () => {
    const [finding, ...rest] = await findings({ system_prompt: joined("DB_PASSWORD", "=correct-horse") });
    assert.deepEqual([finding?.check, finding?.location, rest], ["SECRET_LITERAL", "system_prompt", []]);
  });

  test("it is found wherever text is written, and in environment it is at home", async () => {
    const found = await findings({
      description: AWS,
      system_prompt: AWS,
      role: AWS,
      character: { name: AWS, bio: [AWS] },
      supabase_config: { project_ref: AWS },
      environment: { AWS_ACCESS_KEY_ID: AWS },
    });
    assert.deepEqual(found.map((f) => f.location).sort(), [
      "character.bio",
      "character.name",
      "description",
      "role",
      "supabase_config.project_ref",
      "system_prompt",
    ]);
  });

  test("names, lists, nested texts and texts behind a line break are searched; a name that is a secret is not repeated", async () => {
    const key = joined("sk-", "proj-abcdefghijklmnopqrst");
    const { body } = await launch();
    // As rows may be that were written before today's checks.
    await db.superuser.query("set session_replication_role = replica");
    await db.superuser.query(
      `update public.agents set plugins = $2, settings = $3, "character" = $4 where id = $1`,
      [
        body.agentId,
        [joined("sk-", "abcdefghijklmnopqrstuvwx")],
        { stop: [AWS] },
        { [AWS]: 1, bio: [{ deep: [`first line\n${AWS}`] }], style: { [key]: true }, topics: ["x"] },
      ],
    );
    await db.superuser.query("set session_replication_role = origin");
    const found: Finding[] = (await scan(body.agentId)).results.findings;
    assert.deepEqual(
      found.filter((f) => f.check === "SECRET_LITERAL").map((f) => f.location),
      ["character", "character.bio", "character.style", "plugins", "settings.stop"],
    );
    for (const secret of [AWS, key])
      assert.ok(!JSON.stringify(found.map((f) => f.location)).includes(secret));
  });

  test("every column of text of an agent is searched, one added later too", async () => {
    const { body } = await launch();
    await db.superuser.query("alter table public.agents add column motto text");
    try {
      await db.pool.query("update public.agents set motto = $2 where id = $1", [body.agentId, AWS]);
      const { results } = await scan(body.agentId);
      assert.deepEqual(
        results.findings.map((f: Finding) => f.location),
        ["motto"],
      );
    } finally {
      await db.superuser.query("alter table public.agents drop column motto");
    }
  });

  test("the tools of an agent are searched, and no other's", async () => {
    const { body } = await launch();
    const add = async (who: string, name: string) =>
      (
        await db.asUser(who, (c) =>
          c.query(
            "insert into public.tools (name, description, implementation) values ($1, 'd', $2) returning id",
            [
              name,
              JSON.stringify({
                type: "http",
                url: "https://x.example",
                headers: { authorization: `Bearer ${AWS}` },
              }),
            ],
          ),
        )
      ).rows[0].id;
    const mine = await add(alice, "mine");
    await add(alice, "unused");
    await add(await createUser(db), "other");
    await db.asUser(alice, (c) =>
      c.query("insert into public.agent_tools (agent_id, tool_id, configuration) values ($1, $2, $3)", [
        body.agentId,
        mine,
        JSON.stringify({ default_key: AWS }),
      ]),
    );
    assert.deepEqual(
      (await scan(body.agentId)).results.findings.map((f: Finding) => f.location),
      // The header is one by its form and one by its name.
      ["tools.mine.configuration.default_key", "tools.mine.implementation", "tools.mine.implementation"],
    );
  });

  test("a value nested as deep as Postgres takes it is searched in time", async () => {
    const deep = `${"[".repeat(3000)}"${AWS}"${"]".repeat(3000)}`;
    const began = performance.now();
    const { rows } = await db.pool.query(
      "select private.texts_in($1::jsonb) like '%' || $2 || '%' as found",
      [deep, AWS],
    );
    assert.equal(rows[0].found, true);
    assert.ok(performance.now() - began < 15_000);
  });

  test("ordinary prose is clean", async () => {
    const prose = [
      "You are an analyst. Never ask for a password; a secret is a secret.",
      "Visit https://example.com/path?q=1 or mail someone@example.com at 12:30.",
      "Tasks: sk-1, AKIA, eyJ, ghp_ and risk-aware trading.",
    ].join(" ");
    assert.deepEqual(await findings({ system_prompt: prose, character: { name: "Key", bio: [prose] } }), []);
  });

  test("a database URL goes to Vault and leaves nothing to find", async () => {
    const url = "postgresql://postgres:hunter2@db.example.com:5432/postgres";
    assert.deepEqual(await findings({ supabase_config: { database_url: url } }), []);
  });
});

describe("posture", () => {
  const of = (found: Finding[]) => found.map((f) => [f.check, f.severity, f.package]);

  test("plugins: unpinned, pinned, and a range", async () => {
    const { body } = await launch({ plugins: ["@x/loose", "exact@1.2.3"] });
    assert.deepEqual(of((await scan(body.agentId)).results.findings), [
      ["PLUGIN_UNPINNED", "LOW", "@x/loose"],
    ]);
    await db.superuser.query(
      `begin; set local session_replication_role = replica;
       update public.agents set plugins = '{range@^1.2.0,latest@latest}' where id = '${body.agentId}'; commit`,
    );
    assert.deepEqual(of((await scan(body.agentId)).results.findings), [
      ["PLUGIN_RANGE", "MEDIUM", "latest"],
      ["PLUGIN_RANGE", "MEDIUM", "range"],
    ]);
  });

  test("a plugin with an install script, and one that failed to load", async () => {
    await rpc(db, service, "claim_advisories", {
      runtime: [{ set: "eliza", package: "scripted", version: "1.0.0", install_script: true }],
    });
    const { body } = await launch({ plugins: ["scripted@1.0.0"] });
    await settle(db, body.agentId, ["DEPLOYING"]);
    await db.pool.query(
      "update private.agent_deployments set phase = 'FAILED', reason = 'PLUGIN_NOT_FOUND', message = 'no scripted' where agent_id = $1",
      [body.agentId],
    );
    assert.deepEqual(of((await scan(body.agentId)).results.findings).sort(), [
      ["PLUGIN_INSTALL_SCRIPT", "LOW", "scripted"],
      ["PLUGIN_MISSING", "MEDIUM", undefined],
    ]);
    await db.pool.query("delete from private.runtime_packages");
  });

  test("public storage, an old secret, a cluster without isolation", async () => {
    const { body } = await launch({
      supabase_config: { storage: { bucket: "b", public_access: true } },
      environment: { OLD: "x" },
    });
    await db.pool.query(
      "update public.agent_secrets set updated_at = now() - interval '2 years' where agent_id = $1",
      [body.agentId],
    );
    const beat = (cluster: string) =>
      rpc(db, service, "heartbeat_controller", { worker: "w", lease_seconds: 60, report: { cluster } });
    await beat("processes");
    const checks = async () =>
      ((await scan(body.agentId)).results.findings as Finding[]).map((f) => f.check).sort();
    assert.deepEqual(await checks(), ["EGRESS_OPEN", "NOT_ISOLATED", "SECRET_OLD", "STORAGE_PUBLIC"]);
    await beat("kubernetes");
    assert.deepEqual(await checks(), ["SECRET_OLD", "STORAGE_PUBLIC"]);
    await rpc(db, service, "release_worker", { worker: "w" });
  });
});

describe("known vulnerabilities", () => {
  const runtime = [{ set: "model", package: "ai", version: "7.0.0" }];
  const claimAdvisories = async (given: unknown = runtime) =>
    (await rpc(db, service, "claim_advisories", { runtime: given })).body;
  /** Whatever the schedule says. */
  const targets = async (given: unknown = runtime) => {
    await db.pool.query("update private.advisory_schedule set next_at = now()");
    return await claimAdvisories(given);
  };
  const secondsToNext = async () => {
    const { rows } = await db.pool.query(
      "select round(extract(epoch from next_at - now()))::int as seconds from private.advisory_schedule",
    );
    return rows[0].seconds as number;
  };
  const record = (...results: Record<string, unknown>[]) =>
    rpc(db, service, "record_advisories", { results });
  const sources = async (agentId: string) => (await scan(agentId)).results.sources.npm_advisories;

  beforeEach(async () => {
    await db.pool.query("delete from public.agents"); // their plugins are packages in use
    await db.pool.query("delete from private.runtime_packages");
    await db.pool.query("delete from private.package_checks");
    await db.pool.query("delete from private.advisories");
  });

  test("unknown packages, unanswered and failed look-ups are unavailable, and nothing passes on their account", async () => {
    const { body } = await launch();
    const before = await scan(body.agentId);
    assert.equal(before.results.sources.npm_advisories.status, "unavailable");
    assert.equal(before.results.passed, false);
    await targets();
    assert.match((await sources(body.agentId)).reason, /not every package/i);
    await record({ package: "ai", version: "7.0.0", error: "The advisory source answered 405" });
    const failed = await scan(body.agentId);
    assert.match(failed.results.sources.npm_advisories.reason, /405/);
    assert.equal(failed.results.passed, false);
    assert.match(failed.results.recommendations.join(), /could not be checked/);
    await record({ package: "ai", version: "7.0.0", advisories: [] });
    const clean = await scan(body.agentId);
    assert.equal(clean.results.sources.npm_advisories.status, "available");
    assert.equal(clean.results.passed, true);
    await db.pool.query("update private.package_checks set checked_at = now() - interval '8 days'");
    assert.equal((await scan(body.agentId)).results.passed, false, "an old answer is none");
  });

  test("a plugin whose version nobody knows leaves the part unavailable", async () => {
    await targets();
    await record({ package: "ai", version: "7.0.0", advisories: [] });
    const { body } = await launch({ plugins: ["unknown-plugin"] });
    assert.match((await sources(body.agentId)).reason, /version of a plugin/);
  });

  test("an advisory meets the agents that run the package, with npm's severities as ours", async () => {
    const { body: one } = await launch({ plugins: ["lib@1.0.0"] });
    const { body: two } = await launch({ plugins: ["lib@2.0.0"] });
    assert.deepEqual(
      (await targets()).map((t: { package: string; version: string }) => `${t.package}@${t.version}`),
      ["ai@7.0.0", "lib@1.0.0", "lib@2.0.0"],
    );
    const advisory = (id: string, severity: string) => ({
      id,
      severity,
      title: `hole ${id}`,
      vulnerable_versions: "<2",
    });
    await record(
      { package: "ai", version: "7.0.0", advisories: [] },
      { package: "lib", version: "2.0.0", advisories: [] },
      {
        package: "lib",
        version: "1.0.0",
        advisories: [
          advisory("a", "critical"),
          advisory("b", "high"),
          advisory("c", "moderate"),
          advisory("d", "info"),
        ],
      },
    );
    const worse = (await scan(one.agentId)).results;
    assert.deepEqual(worse.vulnerabilities, { critical: 1, high: 1, medium: 1, low: 1 });
    assert.equal(worse.passed, false);
    assert.equal((await scan(two.agentId)).results.passed, true);
    await record({ package: "lib", version: "1.0.0", advisories: [] });
    assert.equal((await scan(one.agentId)).results.passed, true, "a new answer replaces the old one");
  });

  test("a package is asked for once a day; after a failure after an hour; what was known stays", async () => {
    assert.equal((await targets()).length, 1);
    await record({
      package: "ai",
      version: "7.0.0",
      advisories: [{ id: "a", severity: "high", title: "t" }],
    });
    assert.equal((await targets(null)).length, 0);
    await db.pool.query(
      "update private.package_checks set checked_at = now() - interval '25 hours', attempted_at = now() - interval '25 hours'",
    );
    assert.equal((await targets(null)).length, 1);
    await record({ package: "ai", version: "7.0.0", error: "away" });
    assert.equal((await targets(null)).length, 0);
    await db.pool.query("update private.package_checks set attempted_at = now() - interval '61 minutes'");
    assert.equal((await targets(null)).length, 1);
    const { body } = await launch();
    assert.equal((await scan(body.agentId)).results.vulnerabilities.high, 1);
  });

  test("one worker looks up at a time; a lost one is replaced after two minutes; nothing due waits an hour", async () => {
    await db.pool.query("update private.advisory_schedule set next_at = now()");
    const both = await Promise.all([claimAdvisories(), claimAdvisories()]);
    assert.deepEqual(both.map((due: unknown[]) => due.length).sort(), [0, 1]);
    assert.ok(Math.abs((await secondsToNext()) - 120) < 10);
    assert.deepEqual(await claimAdvisories(), [], "taken");
    await record({ package: "ai", version: "7.0.0", advisories: [] });
    assert.ok((await secondsToNext()) <= 0, "there may be more");
    assert.deepEqual(await claimAdvisories(), []);
    assert.ok(Math.abs((await secondsToNext()) - 3600) < 10);
    await db.pool.query("delete from private.package_checks");
    await targets();
    await record({ package: "ai", version: "7.0.0", error: "The advisory source answered 405" });
    assert.ok(Math.abs((await secondsToNext()) - 3600) < 10, "a source that fails is not asked all the time");
    for (const max_count of [0, 5001]) {
      assert.equal((await rpc(db, service, "claim_advisories", { max_count })).status, 400);
    }
  });

  test("a version that is too long to be kept is not looked up, time after time", async () => {
    const { status, body } = await launch({ plugins: [`lib@1.0.${"1".repeat(150)}`] });
    assert.equal(status, 201, JSON.stringify(body));
    assert.deepEqual(await targets(null), []);
    assert.match((await sources(body.agentId)).reason, /not every package/i);
  });

  test("a cluster's report on one agent's image has its place beside them", async () => {
    const { body } = await launch();
    await db.pool.query(
      "insert into private.advisories (source, advisory_id, package, version, agent_id, severity, title) values ('trivy', 'CVE-1', 'openssl', '3.0', $1, 'HIGH', 'x')",
      [body.agentId],
    );
    const { results } = await scan(body.agentId);
    assert.equal(results.sources.container_image.status, "available");
    assert.equal(results.findings[0].source, "trivy");
    const { body: other } = await launch();
    assert.deepEqual((await scan(other.agentId)).results.findings, []);
  });

  for (const name of ["claim_advisories", "record_advisories"]) {
    test(`users may not call ${name}`, async () => {
      const args = name === "record_advisories" ? { results: [] } : {};
      assert.equal((await rpc(db, user(alice), name, args)).status, 403);
      assert.equal((await rpc(db, { role: "anon" }, name, args)).status, 403);
    });
  }
});

describe("compliance follows the catalogue", () => {
  /** The compliance part while `change` is in force; it is undone afterwards. */
  async function complianceAfter(change: string): Promise<Record<string, boolean>> {
    const { body } = await launch({ environment: { TOKEN: "sekrit" } });
    const client = await db.superuser.connect();
    try {
      await client.query("begin");
      await client.query(change);
      return (await client.query("select private.compliance($1) as c", [body.agentId])).rows[0].c;
    } finally {
      await client.query("rollback");
      client.release();
    }
  }

  for (const [change, part] of [
    ["alter table public.agent_logs disable row level security", "rls_policies_verified"],
    ['drop policy "users can read their scans" on public.security_scans', "rls_policies_verified"],
    ["alter table public.agents disable trigger _500_request_change", "audit_logging_active"],
    ["drop trigger _100_append_only on public.security_events", "audit_logging_active"],
    ["alter table vault.secrets disable trigger user; delete from vault.secrets", "data_encryption_enabled"],
  ] as const) {
    test(`${part} is false after: ${change.slice(0, 60)}`, async () => {
      const all = { rls_policies_verified: true, data_encryption_enabled: true, audit_logging_active: true };
      assert.deepEqual(await complianceAfter("select 1"), all);
      assert.deepEqual(await complianceAfter(change), { ...all, [part]: false });
    });
  }
});

describe("critical findings block a deployment where that is wanted", () => {
  const strict = (on: boolean) =>
    db.pool.query("update public.quotas set block_critical_findings = $2 where user_id = $1", [alice, on]);
  const leaky = { system_prompt: AWS };
  const blocked = ({ status, body }: { status: number; body: { code?: string } }) =>
    assert.deepEqual([status, body.code], [422, "SECURITY_SCAN_FAILED"], JSON.stringify(body));

  test("launch: nothing is made, and the refusal is an event that names no secret", async () => {
    await strict(true);
    blocked(await launch(leaky));
    const { rows } = await db.pool.query("select 1 from public.agents where user_id = $1", [alice]);
    assert.equal(rows.length, 0);
    const { body } = await rpc(db, user(alice), "list_security_events", { event_type: "DEPLOYMENT_BLOCKED" });
    assert.equal(body.total, 1);
    assert.ok(!JSON.stringify(body).includes(AWS));
  });

  test("deploy of a definition made through /rest/v1", async () => {
    await strict(true);
    const { rows } = await db.asUser(alice, (c) =>
      c.query("insert into public.agents (name, system_prompt) values ('x', $1) returning id", [AWS]),
    );
    blocked(await rpc(db, user(alice), "deploy_agent", { agent_id: rows[0].id }));
  });

  test("PUT, PATCH, rollback, start; what runs stays, can be scaled, restarted and stopped", async () => {
    const { body } = await launch();
    const agent_id = body.agentId;
    await settle(db, agent_id);
    const call = (name: string, args: Record<string, unknown> = {}) =>
      rpc(db, user(alice), name, { agent_id, ...args });
    await call("update_agent", { changes: leaky }); // revision 2, while nobody minds
    await settle(db, agent_id, ["DEPLOYED"]);
    await call("update_agent", { changes: { system_prompt: "clean" } });
    await settle(db, agent_id, ["DEPLOYED"]);
    await strict(true);
    blocked(await call("update_agent", { changes: leaky }));
    blocked(await call("rollback_agent", { revision: 2 }));
    await assert.rejects(
      db.asUser(alice, (c) =>
        c.query("update public.agents set system_prompt = $2 where id = $1", [agent_id, AWS]),
      ),
      { code: "PGRST" },
    );
    await strict(false);
    await call("update_agent", { changes: leaky });
    await settle(db, agent_id, ["DEPLOYED"]);
    await strict(true);
    assert.equal((await call("scale_agent", { scale: { replicas: 2 } })).status, 202);
    assert.equal((await call("restart_agent")).status, 202);
    assert.equal((await call("stop_agent")).status, 202);
    await settle(db, agent_id, ["STOPPED"]);
    blocked(await call("start_agent"));
    assert.equal((await call("update_agent", { changes: { system_prompt: "clean" } })).status, 202);
    assert.equal((await call("start_agent")).status, 202);
  });

  test("role, description and tools of an agent that runs are refused too; of one that is stopped, at its start", async () => {
    const { body } = await launch();
    const agent_id = body.agentId;
    await settle(db, agent_id);
    await strict(true);
    const change = (sql: string, values: unknown[]) => db.asUser(alice, (c) => c.query(sql, values));
    const refused = (work: Promise<unknown>) =>
      assert.rejects(work, { code: "PGRST", message: /SECURITY_SCAN_FAILED/ });
    for (const column of ["role", "description"])
      await refused(change(`update public.agents set ${column} = $1 where id = $2`, [AWS, agent_id]));
    const { rows } = await change(
      "insert into public.tools (name, description, implementation) values ('t', 'd', $1) returning id",
      [JSON.stringify({ type: "http", url: "https://x.example" })],
    );
    const tool = rows[0].id;
    await change("insert into public.agent_tools (agent_id, tool_id) values ($1, $2)", [agent_id, tool]);
    await refused(change("update public.tools set description = $1 where id = $2", [AWS, tool]));
    await refused(
      change("update public.agent_tools set configuration = $1 where tool_id = $2", [
        JSON.stringify({ default_key: AWS }),
        tool,
      ]),
    );
    await rpc(db, user(alice), "stop_agent", { agent_id });
    await change("update public.agents set role = $1 where id = $2", [AWS, agent_id]);
    await settle(db, agent_id, ["STOPPED"]);
    blocked(await rpc(db, user(alice), "start_agent", { agent_id }));
  });

  test("the operator-wide setting holds for everyone; high findings do not block", async () => {
    await db.pool.query(
      "update private.security_settings set value = 'true' where name = 'block_critical_findings'",
    );
    blocked(await launch(leaky));
    assert.equal((await launch({ system_prompt: joined("AIza", "a1b2c".repeat(7)) })).status, 201);
    await db.pool.query(
      "update private.security_settings set value = 'false' where name = 'block_critical_findings'",
    );
    assert.equal((await launch(leaky)).status, 201);
  });

  test("users cannot turn it off", async () => {
    await strict(true);
    await assert.rejects(
      db.asUser(alice, (c) => c.query("update public.quotas set block_critical_findings = false")),
      { code: "42501" },
    );
  });
});

describe("a scan's row and event", () => {
  test("say what the answer said; the event's severity is the worst finding's", async () => {
    const { body: made } = await launch({ system_prompt: AWS });
    const body = await scan(made.agentId);
    const { rows } = await db.pool.query("select * from public.security_scans where id = $1", [body.scanId]);
    assert.deepEqual(rows[0].findings, body.results.findings);
    assert.deepEqual(
      { passed: rows[0].passed, ...rows[0].results, findings: rows[0].findings },
      body.results,
    );
    const { rows: events } = await db.pool.query(
      "select severity, details from public.security_events where user_id = $1 and event_type = 'SECURITY_SCAN'",
      [alice],
    );
    assert.equal(events[0].severity, "CRITICAL");
    assert.equal(events[0].details.scan_id, body.scanId);
    assert.ok(!JSON.stringify([rows, events]).includes(AWS));
  });

  test("another user's agent is not scanned", async () => {
    const { body } = await launch();
    const { status } = await rpc(db, user(await createUser(db)), "scan_agent", { agent_id: body.agentId });
    assert.equal(status, 404);
  });
});
