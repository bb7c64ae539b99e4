// A data folder of release 0.2.0, whose Auth had other tables, becomes hosted's schema; who was signed in stays signed in.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";

import pg from "pg";
import { afterAll, beforeAll, test } from "vitest";
import { hashPassword } from "../../packages/local-supabase/src/auth/passwords.ts";
import { bootstrap } from "../../packages/local-supabase/src/postgres/bootstrap.ts";
import { startTestAuth, type TestAuth } from "../helpers/auth.ts";
import { changingRoles, createTestDatabase, type TestDatabase } from "../helpers/database.ts";

/** The tables of release 0.2.0, as far as they differ or hold rows. */
const OLD = `
create schema if not exists auth;
create table auth.users (id uuid primary key, aud varchar(255) default 'authenticated', role varchar(255) default 'authenticated',
  email varchar(255), encrypted_password varchar(255), phone text unique, email_confirmed_at timestamptz,
  phone_confirmed_at timestamptz,
  confirmed_at timestamptz generated always as (case when email_confirmed_at is null then phone_confirmed_at
    when phone_confirmed_at is null then email_confirmed_at when email_confirmed_at < phone_confirmed_at
    then email_confirmed_at else phone_confirmed_at end) stored,
  invited_at timestamptz, confirmation_token varchar(255), confirmation_sent_at timestamptz, recovery_token varchar(255),
  recovery_sent_at timestamptz, email_change varchar(255), email_change_token_new varchar(255),
  email_change_token_current varchar(255), email_change_sent_at timestamptz,
  email_change_confirm_status smallint default 0 check (email_change_confirm_status between 0 and 2), phone_change text,
  phone_change_token varchar(255), phone_change_sent_at timestamptz, reauthentication_token varchar(255),
  reauthentication_sent_at timestamptz, raw_app_meta_data jsonb default '{}', raw_user_meta_data jsonb default '{}',
  banned_until timestamptz, deleted_at timestamptz, is_sso_user boolean not null default false,
  is_anonymous boolean not null default false, last_sign_in_at timestamptz, created_at timestamptz default now(),
  updated_at timestamptz default now());
create unique index users_email_partial_key on auth.users (email) where is_sso_user = false;
create unique index users_recovery_token_idx on auth.users (recovery_token) where length(recovery_token) > 6;
create table auth.sessions (id uuid primary key, user_id uuid not null references auth.users (id) on delete cascade,
  not_after timestamptz, refreshed_at timestamp, user_agent text, ip inet, tag text, refresh_token_hmac_key text,
  refresh_token_counter bigint, scopes text check (scopes is null or length(scopes) <= 4096), created_at timestamptz default now(),
  updated_at timestamptz default now(), aal text check (aal in ('aal1', 'aal2', 'aal3')), factor_id uuid);
create table auth.refresh_tokens (id text primary key, token varchar(255) not null, user_id uuid not null,
  session_id uuid references auth.sessions (id) on delete cascade, revoked boolean default false, parent varchar(255),
  created_at timestamptz default now(), updated_at timestamptz default now());
create index refresh_tokens_token_idx on auth.refresh_tokens (token);
create table auth.identities (id uuid primary key, provider text not null, provider_id text not null,
  user_id uuid not null references auth.users (id) on delete cascade, identity_data jsonb not null default '{}',
  email varchar(255) generated always as (lower(identity_data ->> 'email')) stored, last_sign_in_at timestamptz,
  created_at timestamptz default now(), updated_at timestamptz default now(), unique (provider, provider_id));
create table auth.flow_state (id uuid primary key, user_id uuid, auth_code text, authentication_method text not null,
  code_challenge_method text check (code_challenge_method in ('s256', 'plain')), code_challenge text,
  provider_type text not null, provider_access_token text, provider_refresh_token text, auth_code_issued_at timestamptz,
  invite_token text, referrer text, oauth_client_state_id uuid, linking_target_id uuid,
  email_optional boolean not null default false, created_at timestamptz default now(), updated_at timestamptz default now());
create table auth.audit_log_entries (id uuid primary key, payload json, created_at timestamptz default now(),
  ip_address varchar(64) default '');
`;
const EMAIL = "old@example.com";
const PASSWORD = "a password of the old release";
const REFRESH = createHash("sha256").update("old").digest("hex");
const [user, github, session] = [randomUUID(), randomUUID(), randomUUID()];

let db: TestDatabase;
let auth: TestAuth;

async function asSuperuser(work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: db.url("supabase_admin") });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  db = await createTestDatabase("template0");
  await asSuperuser(async (client) => {
    await client.query(OLD);
    await client.query(
      "insert into auth.users (id, email, encrypted_password, email_confirmed_at) values ($1, $3, $4, now()), ($2, 'hub@example.com', null, now())",
      [user, github, EMAIL, await hashPassword(PASSWORD)],
    );
    await client.query("insert into auth.sessions (id, user_id, aal) values ($1, $2, 'aal1')", [
      session,
      user,
    ]);
    await client.query(
      "insert into auth.refresh_tokens (id, token, user_id, session_id) values ($1, $2, $3, $4)",
      [randomUUID(), REFRESH, user, session],
    );
    await client.query(
      "insert into auth.identities (id, provider, provider_id, user_id, identity_data) values ($1, 'github', '7', $2, $3)",
      [randomUUID(), github, { sub: "7", email: "hub@example.com" }],
    );
    await changingRoles(() => bootstrap(client, "old"));
  });
  auth = await startTestAuth(db, "[auth]\n");
});
afterAll(async () => {
  await auth?.close();
  await db?.destroy();
});

test("who was signed in refreshes the session, in the same session", async () => {
  const { data, error } = await auth.client().auth.refreshSession({ refresh_token: REFRESH });
  assert.equal(error, null);
  const payload = Buffer.from(data.session?.access_token.split(".")[1] ?? "", "base64url").toString();
  assert.deepEqual([JSON.parse(payload).session_id, data.user?.id], [session, user]);
});

test("the old password signs in, and the user has the identity of their address", async () => {
  const { data, error } = await auth.client().auth.signInWithPassword({ email: EMAIL, password: PASSWORD });
  assert.equal(error, null);
  assert.deepEqual(
    data.user?.identities?.map(({ provider }) => provider),
    ["email"],
  );
  const wrong = await auth.client().auth.signInWithPassword({ email: EMAIL, password: "x" });
  assert.equal(wrong.error?.code, "invalid_credentials");
});

test("an identity of a provider stays the only one", async () => {
  const { data } = await auth.admin.auth.admin.getUserById(github);
  assert.deepEqual(
    data.user?.identities?.map(({ provider, id }) => [provider, id]),
    [["github", "7"]],
  );
});

test("the tables are those of a new data folder", async () => {
  const fresh = await createTestDatabase();
  const columns = `select table_name, column_name, udt_name, is_nullable, column_default from information_schema.columns
    where table_schema = 'auth' order by table_name, column_name`;
  const indexes = `select tablename, indexname, indexdef from pg_indexes where schemaname = 'auth' order by indexname`;
  const constraints = `select conrelid::regclass::text as name, conname, pg_get_constraintdef(oid) as definition from pg_constraint
    where connamespace = 'auth'::regnamespace order by 1, 2`;
  try {
    for (const query of [columns, indexes, constraints])
      assert.deepEqual((await db.pool.query(query)).rows, (await fresh.pool.query(query)).rows);
  } finally {
    await fresh.destroy();
  }
});

test("the bootstrap may run again", async () => {
  await asSuperuser((client) => changingRoles(() => bootstrap(client, "again")));
  const { error } = await auth.client().auth.signInWithPassword({ email: EMAIL, password: PASSWORD });
  assert.equal(error, null);
});
