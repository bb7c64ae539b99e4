// Erasure, proved: a word in every column that a user's doing can reach, the account erased, the whole database searched.
// A new column of text fails here until a word is planted in it below, or `closed` says why no word of a user gets there.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "vitest";
import { people, responder } from "../helpers/answering.ts";
import type { TestDatabase, TestUser } from "../helpers/database.ts";
import { allowPlugins, createUnlimitedDatabase, rpc, service, settle, user } from "../helpers/sql-api.ts";
import { columnsOfText, columnsWith } from "../helpers/words.ts";

/** Columns of text in which no word of a user's choosing stands, by reason. `*` stands for any part of a name. */
const closed: Readonly<Record<string, string[]>> = {
  "written by operators or migrations": [
    "auth.custom_oauth_providers.*",
    "auth.instances.*",
    "auth.oauth_clients.*",
    "auth.saml_providers.*",
    "auth.schema_migrations.*",
    "auth.sso_*",
    "public.frameworks.*",
    "public.models.*",
    "public.model_prices.*",
    "public.rate_limits.*",
    "public.row_quotas.*",
    "private.fleet*",
    "private.plugin_rules.*",
    "private.platforms.*",
    "private.rollout*",
    "private.agent_classes.*",
    "private.agent_fields.*",
    "public.quotas.agent_class",
    "private.verbs.*",
    "private.phase_transitions.*",
    "private.retention.*",
    "private.secret_patterns.*",
    "private.security_e*_types.*",
    "private.security_escalations.*",
    "private.security_settings.*",
    "private.answering_*",
    "cron.job.*",
    "storage.buckets.*",
    "public.model_prices.*",
  ],
  "what the operator's machinery reports of itself": [
    "private.controllers.*",
    "private.package_checks.*",
    "private.platform_parts.*",
    "private.plugin_tree*",
    "public.agent_revisions.resolved_plugins",
    "private.plugins.*",
    "private.runtime_packages.*",
    "*.lease_holder",
    "private.agent_deployments.platform",
    "private.agent_deployments.platform_s*",
    "cron.job_run_details.*",
    "cron._change.*",
  ],
  "an id that the platform makes": [
    "*.agent_id",
    "*.to_agent_id",
    "public.agents.id",
    "public.*.id",
    "private.*.event_id",
    "auth.refresh_tokens.*",
    "auth.users.aud",
    "auth.users.role",
    "*.created_by",
    "*.actor",
    "*.url",
    "private.idempotency_keys.response",
    "private.security_event_windows.subject",
    "realtime.messages_default.event",
    "realtime.messages_default.extension",
    "realtime.messages_default.topic",
    "storage.objects.owner_id",
    "storage.objects.bucket_id",
    "storage.objects.version",
  ],
  "one of a fixed set of values": [
    "*.status",
    "private.plugin_states.connection",
    "*.state",
    "*.role",
    "*.level",
    "*.severity",
    "*.event_type",
    "*.phase",
    "*.from_phase",
    "*.to_phase",
    "*.desired",
    "*.sender_kind",
    "*.reply_mode",
    "*.visibility",
    "*.scopes",
    "private.reservations.outcome",
    "private.model_states.code",
    "private.row_counts.relation",
    "public.budgets.*",
    "public.answer_steps.kind",
    "public.agent_revisions.reason",
    "*.framework",
    "*.bucket",
    "*.source",
    "public.agents.model",
    "private.embedding_model.model",
    "public.user_permissions.permission",
    "public.budgets.*",
    "private.reservations.outcome",
    "public.agents.resources",
    "public.agents.scaling_policy",
    "public.agents.idle",
    "private.agent_deployments.asleep_reason",
    "private.agent_deployments.awake_reason",
    "public.profiles.notification_preferences",
    "public.security_events.automated_response",
    "private.agent_deployments.timings",
    "private.idempotency_keys.request_hash",
    "net.http_request_queue.method",
  ],
  "a digest or ciphertext": [
    "private.sign_in_failures.subject",
    "private.agent_key_digests.digest",
    "private.auth_counters.email_digest",
    "private.public_callers.address_digest",
    "public.agent_keys.prefix",
    "public.knowledge_files.version",
    "vault.secrets.secret",
    "vault.secrets.nonce",
    "auth.users.encrypted_password",
    "auth.users.*_token*",
  ],
  "written by Auth for ways of signing in that need its service (tests/hostile/erasure.test.ts)": [
    "auth.sessions.*",
    "auth.mfa_*",
    "auth.one_time_tokens.*",
    "auth.oauth_authorizations.*",
    "auth.oauth_client_states.*",
    "auth.oauth_consents.*",
    "auth.saml_relay_states.*",
    "auth.webauthn_*",
    "auth.flow_state.*",
    "auth.audit_log_entries.*",
    "auth.users.email_change",
    "auth.users.phone*",
    "auth.identities.*",
    "auth.users.raw_app_meta_data",
  ],
  "written through Storage, which keeps an account from going while it owns files": ["storage.objects.*"],
  "not used": [
    "storage.buckets_analytics.*",
    "storage.buckets_vectors.*",
    "storage.iceberg_*",
    "storage.vector_indexes.*",
    "storage.s3_multipart_*",
    "storage.migrations.*",
    "storage.prefixes.*",
    "realtime.subscription.*",
    "realtime.messages_default.binary_payload",
    "vault.secrets.key_id",
    "vault.secrets.description",
    "pg_catalog.pg_largeobject.data",
    "net._http_response.*",
    "public.messages.model",
    "private.metrics_to_roll.*",
  ],
  "looked for below by itself": ["auth.users.email", "public.security_events.ip_address"],
  "ids and signatures alone": ["net.http_request_queue.*"],
};
const isClosed = (column: string) =>
  Object.values(closed)
    .flat()
    .some((pattern) => new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", ".*")}$`).test(column));

let db: TestDatabase;
beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await allowPlugins(db);
});
afterAll(() => db.destroy());

/** A user with `word` in every place that words reach. Returns the agent's id. */
async function live(who: TestUser, word: string): Promise<string> {
  const headers = {
    "user-agent": `${word}-browser`,
    "x-request-id": `${word}-request`,
    "x-forwarded-for": addressOf(word),
  };
  const call = async (name: string, args: Record<string, unknown> = {}, more = {}) =>
    (await rpc(db, user(who.id, { ...headers, ...more }), name, args)).body;
  const succeed: typeof call = async (...asked) => {
    const body = await call(...asked);
    assert.ok(body.code === undefined, JSON.stringify(body));
    return body;
  };
  await succeed("update_profile", {
    changes: { username: word, user_metadata: { full_name: word, avatar_url: `https://${word}.example` } },
  });
  const definition = {
    agentName: `${word} agent`,
    description: word,
    role: word,
    avatar: `https://${word}.example`,
    system_prompt: word,
    settings: { stop: [word] },
    character: { name: word, [word]: word },
    plugins: [word.toLowerCase()],
    platforms: [word.toLowerCase().slice(0, 32)],
    supabase_config: { project_ref: word, database_url: `postgres://${word}@db/x` },
    environment: { [`${word}_TOKEN`]: word },
  };
  const { agentId } = await succeed("launch_agent", { definition }, { "idempotency-key": word });
  await settle(db, agentId);
  await succeed("update_agent", {
    agent_id: agentId,
    changes: { system_prompt: `${word} 2`, environment: { [`${word}_2`]: "v" } },
  });
  await succeed("scan_agent", { agent_id: agentId });
  await succeed("set_user_secret", { name: `${word}_SECRET`, value: word });

  await succeed("create_agent_key", {
    agent_id: agentId,
    key: { name: word, origins: [`https://${word}.example`.toLowerCase()] },
  });

  // What the agent, its replicas and its controller say.
  const { rows: claims } = await db.pool.query(
    "select private.claim_deployments('test-worker', 500, 15) as c",
  );
  const claim = claims[0].c.find((c: { agentId: string }) => c.agentId === agentId);
  await rpc(db, service, "report_deployment", {
    agent_id: agentId,
    generation: claim.generation,
    lease_token: claim.leaseToken,
    report: {
      phase: "FAILED",
      reason: word,
      message: word,
      url: `http://${agentId}.agents.localhost`,
      conditions: [{ type: word }],
      application: { name: word },
      corrections: [word],
      platform: { id: "0123456789abcdef", state: "stuck", problem: word },
    },
  });
  await rpc(db, service, "agent_environment", {
    agent_id: agentId,
    generation: claim.generation,
    lease_token: claim.leaseToken,
  });
  await rpc(db, service, "release_deployment", {
    agent_id: agentId,
    lease_token: claim.leaseToken,
    error: word,
  });
  const line = { agentId, replica: word, sequence: 1, timestamp: new Date().toISOString() };
  await rpc(db, service, "ingest_agent_logs", {
    rows: [{ ...line, level: "INFO", message: word, source: word, metadata: { [word]: word } }],
  });
  await rpc(db, service, "ingest_agent_metrics", { rows: [line] });
  await db.pool.query("select private.roll_up_metrics()");

  // Conversations, tools and swarms.
  const { query, say, swarm } = people(
    () => db,
    () => who.id,
  );
  const [tool] = await query(
    `insert into public.tools (name, description, category, icon, input_schema, implementation)
     values ($1, $1, $1, $1, $2, $3) returning id`,
    [
      word,
      JSON.stringify({ type: "object", properties: { [word]: { type: "string" } } }),
      JSON.stringify({ type: "http", url: `https://${word}.example/`, headers: { [word]: word } }),
    ],
  );
  await query("insert into public.agent_tools (agent_id, tool_id, configuration) values ($1, $2, $3)", [
    agentId,
    tool.id,
    JSON.stringify({ [`default_${word}`]: word }),
  ]);
  const team = await swarm([agentId]);
  await query("update public.swarms set name = $1, description = $1", [word]);
  const respond = responder(() => db);
  await db.pool.query(
    `with file as (insert into public.knowledge_files (agent_id, user_id, path, version, status, error, chunks)
       values ($1, $2, 'knowledge/' || $3 || '.md', '1', 'indexed', null, 1),
         ($1, $2, 'knowledge/' || $3 || '.png', '1', 'refused', 'image/' || $3 || ' is not text', 0) returning id, status)
     insert into private.knowledge_chunks (file_id, place, heading, content, words)
       select id, 0, $3, $3, private.word_keys($1, private.words_of($3)) from file where status = 'indexed'`,
    [agentId, who.id, word],
  );
  await db.pool.query(
    `with vector as (insert into private.knowledge_vectors (file_id, place, agent_id, model, embedding, signs)
       select c.file_id, c.place, $1, $2, '{1}', '1' from private.knowledge_chunks c
       join public.knowledge_files f on f.id = c.file_id where f.agent_id = $1 returning file_id)
     insert into private.embedding_jobs (file_id, last_error) select file_id, $2 from vector`,
    [agentId, word],
  );
  await say({ agent: agentId }, word);
  await say({ swarm: team }, word);
  const step = {
    kind: "tool",
    name: word,
    status: "refused",
    milliseconds: 1,
    arguments: { [word]: word },
    result: word,
    error: { code: "TOOL_NOT_ALLOWED", message: word },
  };
  for (const job of await respond.claim()) {
    await rpc(db, service, "retrieve_for_reply", { job_id: job.jobId, lease_token: job.leaseToken });
    await respond.report(job, `${word} is thinking`);
    const warnings = [{ field: "settings.stop", message: word }];
    await respond.finish(job, `${word} says`, { steps: [step], warnings });
  }
  await say({ agent: agentId }, word);
  for (const job of await respond.claim()) await respond.finish(job, "", { silence: word });
  await say({ agent: agentId }, word);
  for (const job of await respond.claim())
    await respond.fail(job, { code: "X", message: word, retry: true, permanent: false });
  await db.pool.query(
    "update public.messages set error = jsonb_build_object('message', $1::text) where user_id = $2",
    [word, who.id],
  );

  await db.pool.query(
    "select private.note_plugin(a, jsonb_build_object('name', $2::text, 'ready', false, 'reason', $2::text, 'message', $2::text, 'platform', jsonb_build_object('name', $2::text, 'status', 'CONNECTED', 'account', $2::text, 'message', $2::text))) from public.agents a where a.id = $1",
    [agentId, word],
  );

  await db.pool.query(
    "insert into private.platform_leases (agent_id, replica, expires_at) values ($1, $2, now())",
    [agentId, word],
  );

  // A runtime names its model as it likes.
  const reservation = randomUUID();
  await db.pool.query("select private.reserve($1, $2, 'address', $3, 10, 10, 60)", [
    reservation,
    agentId,
    word,
  ]);
  await db.pool.query(
    "select private.settle($1, jsonb_build_array(jsonb_build_object('id', $2::text, 'inputTokens', 1, 'refused', $3::jsonb)))",
    [agentId, reservation, { code: "MODEL_REQUEST_REJECTED", message: word }],
  );
  await db.pool.query("select private.reserve(gen_random_uuid(), $1, 'address', $2, 10, 10, 60)", [
    agentId,
    word,
  ]);

  // Refusals, and what a gateway reports of the user.
  for (const [name, args] of Object.entries({
    get_agent: { agent_id: word },
    update_agent: { agent_id: agentId, changes: { [word]: word } },
    refuse_request: { code: "INSUFFICIENT_PERMISSIONS", message: word, details: { [word]: word } },
    launch_agent: { definition: { ...definition, resources: { replicas: 100, memory: "64Gi" } } },
  }))
    await call(name, args);
  const seen = { ip: addressOf(word), user_agent: `${word}-browser` };
  await rpc(db, service, "record_auth_attempt", { email: who.email, ok: false, ...seen });
  await rpc(db, service, "count_auth_request", { email: who.email });
  await rpc(db, service, "count_reads", { reads: { [who.id]: 3 } });
  await rpc(db, service, "record_security_reports", {
    reports: [
      { kind: "forged_token", sub: who.id, role: word, path: `/${word}`, method: "GET", count: 1, ...seen },
      {
        kind: "denied",
        user_id: who.id,
        code: "42501",
        message: "x",
        path: `/${word}`,
        method: "GET",
        ...seen,
      },
    ],
  });
  await db.pool.query(
    "insert into public.usage_daily (user_id, day, agent_id, source, model) values ($1, current_date, $2, 'message', $3)",
    [who.id, agentId, word],
  );
  await db.pool.query(
    `insert into private.reservations (id, user_id, agent_id, source, model, day, input_tokens, output_tokens, cost_micros, lease_expires_at)
     values (gen_random_uuid(), $1, $2, 'message', $3, current_date, 1, 1, 1, now())`,
    [who.id, agentId, word],
  );
  await db.pool.query(
    `insert into private.advisories (source, advisory_id, package, version, agent_id, severity, title, url, vulnerable_versions)
     values ('trivy', $1, $1, $1, $2, 'LOW', $1, $1, $1)`,
    [word, agentId],
  );
  await db.pool.query(
    "insert into private.file_removals (agent_id, last_error) values ($1, $2) on conflict (agent_id) do update set last_error = $2",
    [agentId, word],
  );
  return agentId;
}

/** A network address that is this word's alone. */
const addressOf = (word: string) => `fd00::${word.slice(-4)}:${word.slice(-8, -4)}:1`.replaceAll(/:0+/g, ":");
const newWord = () =>
  `Word${randomUUID().replaceAll("-", "").slice(0, 12)}${Math.random().toString(16).slice(2, 6).replaceAll("0", "1")}`;

/** What stays, all of it: ids, kinds, times and figures (docs/privacy.md). */
const STAYS = [
  "private.agent_deployments.user_id",
  "private.erased_accounts.user_id",
  "public.agent_events.actor",
  "public.agent_events.user_id",
  "public.security_events.user_id",
];

describe("erasure", () => {
  test("a word is planted in every column that can hold one", async () => {
    const who = await db.createUser(`${newWord().toLowerCase()}@example.com`);
    const word = newWord();
    await live(who, word);
    const holding = new Set(await columnsWith(db.superuser, word));
    const unplanted = (await columnsOfText(db.superuser)).filter((c) => !holding.has(c) && !isClosed(c));
    assert.deepEqual(unplanted, [], "plant a word there in live(), or say in `closed` why none gets there");
  });

  for (const [door, remove, stays] of [
    [
      "the RPC",
      async (who: TestUser) => {
        const headers = {
          "user-agent": "last-browser",
          "x-request-id": "last-request",
          "x-forwarded-for": "203.0.113.78",
        };
        const { status } = await rpc(db, user(who.id, headers), "delete_my_account", { confirm: who.email });
        assert.equal(status, 200);
      },
      STAYS,
    ],
    [
      "Auth's deletion",
      (who: TestUser) => db.pool.query("delete from auth.users where id = $1", [who.id]),
      STAYS,
    ],
    [
      "a soft deletion that only sets deleted_at",
      (who: TestUser) => db.pool.query("update auth.users set deleted_at = now() where id = $1", [who.id]),
      ["auth.users.id", ...STAYS],
    ],
    [
      "a soft deletion as Auth's admin API makes it",
      (who: TestUser) =>
        db.pool.query(
          `update auth.users set email = encode(sha256(convert_to(id || email, 'utf8')), 'base64'), encrypted_password = null,
             confirmation_token = '', deleted_at = now() where id = $1`,
          [who.id],
        ),
      ["auth.users.id", ...STAYS],
    ],
  ] as [string, (who: TestUser) => Promise<unknown>, string[]][]) {
    test(`by ${door} leaves no word, address or name of the user anywhere, and ids in the audit alone`, async () => {
      const [who, other] = [
        await db.createUser(`${newWord().toLowerCase()}@example.com`),
        await db.createUser(),
      ];
      const [word, kept] = [newWord(), newWord()];
      const agentId = await live(who, word);
      await live(other, kept);
      const before = await columnsWith(db.superuser, kept);
      assert.deepEqual(await columnsWith(db.superuser, addressOf(word)), [
        "public.security_events.ip_address",
      ]);
      await remove(who);
      assert.deepEqual(await columnsWith(db.superuser, word), []);
      assert.deepEqual(await columnsWith(db.superuser, who.email), []);
      assert.deepEqual(await columnsWith(db.superuser, addressOf(word)), []);
      assert.deepEqual(await columnsWith(db.superuser, "last-"), []);
      assert.deepEqual(await columnsWith(db.superuser, who.id), stays);
      assert.deepEqual(await columnsWith(db.superuser, kept), before, "another user's data is as it was");
      const { rows } = await db.pool.query(
        "select from public.security_events where user_id = $1 and (ip_address is not null or details - 'count' <> '{}')",
        [who.id],
      );
      assert.equal(rows.length, 0);
      // What the controller still reports of replicas that it stops.
      const { rows: claims } = await db.pool.query(
        "select private.claim_deployments('test-worker', 500, 15) as c",
      );
      const claim = claims[0].c.find((c: { agentId: string }) => c.agentId === agentId);
      const line = { agentId, replica: word, sequence: 9, timestamp: new Date().toISOString() };
      await rpc(db, service, "ingest_agent_logs", {
        rows: [{ ...line, level: "INFO", message: word, source: word, metadata: {} }],
      });
      const report = {
        phase: "DELETED",
        reason: word,
        message: word,
        conditions: [word],
        corrections: [word],
        platform: { id: "0123456789abcdef", state: "stuck", problem: word },
      };
      const { body } = await rpc(db, service, "report_deployment", {
        agent_id: agentId,
        generation: claim.generation,
        lease_token: claim.leaseToken,
        report,
      });
      assert.equal(body.accepted, true, JSON.stringify(body));
      await rpc(db, service, "count_reads", { reads: { [who.id]: 1 } });
      await db.pool.query("select private.forget_erased()");
      assert.deepEqual(await columnsWith(db.superuser, word), []);
      assert.deepEqual(await columnsWith(db.superuser, who.id), stays);
    });
  }

  test("reaches Auth's tables: ids as text, an audit of json, factors, tokens of mails", async () => {
    const who = await db.createUser(`${newWord().toLowerCase()}@example.com`);
    await db.superuser.query("insert into auth.refresh_tokens (token, user_id) values ('t', $1)", [who.id]);
    await db.superuser.query(
      `insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at)
       values (gen_random_uuid(), $1, $2, 'totp', 'verified', now(), now())`,
      [who.id, who.email],
    );
    await db.superuser.query(
      `insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
       values (gen_random_uuid(), $1, 'recovery_token', 'hash', $2)`,
      [who.id, who.email],
    );
    const entry = {
      action: "user_deleted",
      actor_id: randomUUID(),
      actor_username: "admin",
      traits: { user_id: who.id, user_email: who.email },
    };
    await db.superuser.query(
      "insert into auth.audit_log_entries (id, payload, ip_address) values (gen_random_uuid(), $1, '')",
      [JSON.stringify(entry)],
    );
    await db.pool.query("update auth.users set deleted_at = now() where id = $1", [who.id]);
    assert.deepEqual(await columnsWith(db.superuser, who.email), []);
    assert.deepEqual(await columnsWith(db.superuser, who.id), [
      "auth.users.id",
      "private.erased_accounts.user_id",
      "public.security_events.user_id",
    ]);
    const { rows } = await db.superuser.query(
      "select payload from auth.audit_log_entries where payload ->> 'action' = 'user_deleted'",
    );
    assert.deepEqual(rows[0].payload, { action: "user_deleted", actor_id: entry.actor_id, log_type: null });
  });

  test("a soft-deleted account is refused as one that is gone", async () => {
    const who = await db.createUser();
    await db.pool.query("update auth.users set deleted_at = now() where id = $1", [who.id]);
    assert.equal((await rpc(db, user(who.id), "get_profile")).body.code, "INVALID_JWT_TOKEN");
  });

  test("the audit of an account that is not erased stays as it is, for every role", async () => {
    const who = await db.createUser();
    await live(who, newWord());
    for (const change of [
      "update public.agent_events set message = 'Erased with the account', details = '{}', request_id = null",
      "update public.security_events set ip_address = null, user_agent = null",
      "delete from public.agent_events",
      "truncate public.agent_events",
    ])
      await assert.rejects(db.superuser.query(change), /append-only/, change);
  });
});
