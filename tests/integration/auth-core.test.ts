// Accounts, sessions, mails and the admin API through supabase-js, with a second user, an anonymous caller and a forged token.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, onTestFinished, test } from "vitest";
import { AUTH_URL, startTestAuth, type TestAuth } from "../helpers/auth.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

const PASSWORD = "a password of many words";
const TOML = `[auth]
site_url = "http://localhost:3000"
additional_redirect_urls = ["https://*.example.com/**", "app://back"]
enable_anonymous_sign_ins = true
enable_manual_linking = true
[auth.rate_limit]
email_sent = 1000
sign_in_sign_ups = 1000
token_verifications = 1000
[auth.email]
max_frequency = "0s"
`;
const CONFIRMED = TOML.replace(
  "[auth.email]",
  "[auth.email]\nenable_confirmations = true\ndouble_confirm_changes = true",
);

let db: TestDatabase;
let auth: TestAuth;
let confirming: TestAuth;
let clock = Date.now();
let count = 0;

beforeAll(async () => {
  db = await createTestDatabase();
  auth = await startTestAuth(db, TOML, () => new Date(clock));
  confirming = await startTestAuth(db, CONFIRMED);
});
afterAll(async () => {
  await auth?.close();
  await confirming?.close();
  await db?.destroy();
});

const fresh = () => {
  count += 1;
  return { email: `core${count}@example.com`, password: PASSWORD };
};

async function signedUp(on = auth) {
  const client = on.client();
  const credentials = fresh();
  const { data, error } = await client.auth.signUp(credentials);
  assert.equal(error, null);
  assert.ok(data.session && data.user);
  return { client, credentials, session: data.session, user: data.user };
}

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

/** Asks a path with a token, as a client without a library does. */
async function ask(method: string, path: string, token?: string, body?: unknown, on = auth) {
  const answer = await on.ask(`${AUTH_URL}/auth/v1${path}`, {
    method,
    headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text ? JSON.parse(text) : undefined };
}

/** The newest mail to an address: the parts of its link, and its code. */
function mailTo(email: string, on = auth) {
  const mail = on.mailbox.list().find(({ to }) => to === email);
  assert.ok(mail, `no mail to ${email}`);
  const text = `${mail.text ?? ""} ${mail.html ?? ""}`;
  const link = new URL(
    (/https?:\/\/[^\s"<>]*\/verify\?[^\s"<>]*/.exec(text)?.[0] ?? "").replaceAll("&amp;", "&"),
  );
  return { link, code: /\b\d{6}\b/.exec(text.replaceAll(link.search, ""))?.[0] ?? "" };
}

describe("sessions", () => {
  test("a token says who, at which level, in which session", async () => {
    const { session, user } = await signedUp();
    const claims = claimsOf(session.access_token);
    assert.equal(claims.iss, `${AUTH_URL}/auth/v1`);
    assert.deepEqual(
      [claims.sub, claims.aud, claims.role, claims.email, claims.phone, claims.aal, claims.is_anonymous],
      [user.id, "authenticated", "authenticated", user.email, "", "aal1", false],
    );
    assert.deepEqual(claims.app_metadata, { provider: "email", providers: ["email"] });
    assert.deepEqual(
      (claims.amr as { method: string }[]).map(({ method }) => method),
      ["password"],
    );
    assert.equal(typeof claims.session_id, "string");
  });

  test("a wrong password and an unknown address answer alike", async () => {
    const { credentials } = await signedUp();
    const wrong = await ask("POST", "/token?grant_type=password", undefined, {
      ...credentials,
      password: "x",
    });
    const unknown = await ask("POST", "/token?grant_type=password", undefined, { ...fresh(), password: "x" });
    assert.equal(wrong.status, 400);
    assert.deepEqual(wrong.body, {
      code: 400,
      error_code: "invalid_credentials",
      msg: "Invalid login credentials",
    });
    assert.deepEqual([unknown.status, unknown.body], [wrong.status, wrong.body]);
  });

  test("passwords are judged in bytes: 72 pass, 73 do not", async () => {
    const client = auth.client();
    const fits = await client.auth.signUp({ ...fresh(), password: "é".repeat(36) });
    assert.equal(fits.error, null);
    const long = await client.auth.signUp({ ...fresh(), password: `${"é".repeat(36)}x` });
    assert.equal(long.error?.code, "validation_failed");
  });

  test("an old refresh token used late ends its whole session", async () => {
    const { client, session } = await signedUp();
    const next = await client.auth.refreshSession({ refresh_token: session.refresh_token });
    assert.equal(next.error, null);
    const third = await client.auth.refreshSession({ refresh_token: next.data.session?.refresh_token ?? "" });
    assert.equal(third.error, null);
    clock += 60_000;
    onTestFinished(() => {
      clock = Date.now();
    });
    const reused = await client.auth.refreshSession({ refresh_token: session.refresh_token });
    assert.equal(reused.error?.code, "refresh_token_already_used");
    const last = await client.auth.refreshSession({ refresh_token: third.data.session?.refresh_token ?? "" });
    assert.equal(last.error?.code, "refresh_token_already_used");
  });

  test("the same refresh token twice at once gives one successor", async () => {
    const { session } = await signedUp();
    const answers = await Promise.all(
      Array.from({ length: 4 }, () =>
        ask("POST", "/token?grant_type=refresh_token", undefined, { refresh_token: session.refresh_token }),
      ),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1);
  });

  test("logout with scope others keeps this session, global ends all", async () => {
    const { credentials, session } = await signedUp();
    const other = await auth.client().auth.signInWithPassword(credentials);
    assert.equal((await ask("POST", "/logout?scope=others", session.access_token)).status, 204);
    const gone = await ask("GET", "/user", other.data.session?.access_token);
    assert.deepEqual([gone.status, gone.body.error_code], [403, "session_not_found"]);
    assert.equal((await ask("GET", "/user", session.access_token)).status, 200);
    assert.equal((await ask("POST", "/logout", session.access_token)).status, 204);
    assert.equal((await ask("GET", "/user", session.access_token)).body.error_code, "session_not_found");
  });

  test("a new password ends the other sessions and keeps this one", async () => {
    const { client, credentials, session } = await signedUp();
    const other = await auth.client().auth.signInWithPassword(credentials);
    const changed = await client.auth.updateUser({ password: "another password of words" });
    assert.equal(changed.error, null);
    assert.equal((await ask("GET", "/user", session.access_token)).status, 200);
    assert.equal((await ask("GET", "/user", other.data.session?.access_token)).status, 403);
    const same = await client.auth.updateUser({ password: "another password of words" });
    assert.equal(same.error?.code, "same_password");
  });

  test("an anonymous user gets an address and keeps the id", async () => {
    const client = auth.client();
    const { data, error } = await client.auth.signInAnonymously();
    assert.equal(error, null);
    assert.equal(claimsOf(data.session?.access_token ?? "").is_anonymous, true);
    const { email } = fresh();
    const changed = await client.auth.updateUser({ email });
    assert.equal(changed.error, null);
    assert.deepEqual([changed.data.user?.id, changed.data.user?.is_anonymous], [data.user?.id, false]);
  });
});

describe("callers", () => {
  const forged = (token: string, role?: string) => {
    const claims = { ...claimsOf(token), ...(role ? { role } : {}) };
    const body = [{ alg: "HS256", typ: "JWT" }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    return `${body}.${createHmac("sha256", randomBytes(32)).update(body).digest("base64url")}`;
  };

  test("without a token, with a forged one, with the anonymous key: refused", async () => {
    const { session } = await signedUp();
    const none = await ask("GET", "/user");
    assert.deepEqual([none.status, none.body.error_code], [401, "no_authorization"]);
    const wrong = await ask("GET", "/user", forged(session.access_token));
    assert.deepEqual([wrong.status, wrong.body.error_code], [403, "bad_jwt"]);
    const { error } = await auth.client().auth.getUser(forged(session.access_token, "service_role"));
    assert.equal(error?.code, "bad_jwt");
  });

  test.each([
    ["GET", "/admin/users"],
    ["POST", "/admin/users"],
    ["GET", "/admin/audit"],
    ["POST", "/admin/generate_link"],
    ["POST", "/invite"],
    ["GET", "/admin/oauth/clients"],
    ["GET", "/admin/sso/providers"],
  ])("a user may not %s %s", async (method, path) => {
    const { session } = await signedUp();
    const body = method === "POST" ? {} : undefined;
    const user = await ask(method, path, session.access_token, body);
    assert.deepEqual([user.status, user.body.error_code], [403, "not_admin"]);
    assert.equal((await ask(method, path, forged(session.access_token, "service_role"), body)).status, 403);
    assert.equal((await ask(method, path, undefined, body)).status, 401);
  });

  test("an unknown path is 404, another method 405, both as JSON", async () => {
    const unknown = await ask("GET", "/nowhere");
    assert.deepEqual([unknown.status, unknown.body.error_code], [404, "not_found"]);
    assert.equal((await ask("PATCH", "/signup")).status, 405);
  });

  test("the form of errors follows the version that a client names", async () => {
    const answer = await auth.ask(`${AUTH_URL}/auth/v1/token?grant_type=password`, {
      method: "POST",
      headers: { "x-supabase-api-version": "2024-01-01" },
      body: JSON.stringify({ email: "x@example.com", password: "x" }),
    });
    assert.deepEqual(await answer.json(), {
      code: "invalid_credentials",
      message: "Invalid login credentials",
    });
    assert.equal(answer.headers.get("x-supabase-api-version"), "2024-01-01");
  });
});

describe("mails", () => {
  test("a link leads to an allowed address with a session, to no other", async () => {
    const { credentials } = await signedUp();
    const send = (emailRedirectTo: string) =>
      auth.client().auth.signInWithOtp({ email: credentials.email, options: { emailRedirectTo } });
    assert.equal((await send("https://a.example.com/deep/page")).error, null);
    const answer = await auth.ask(mailTo(credentials.email).link);
    assert.equal(answer.status, 303);
    const to = new URL(answer.headers.get("location") ?? "");
    assert.equal(to.origin + to.pathname, "https://a.example.com/deep/page");
    assert.match(to.hash, /access_token=.*type=magiclink/);
    assert.equal((await send("https://evil.test/")).error, null);
    const elsewhere = await auth.ask(mailTo(credentials.email).link);
    assert.equal(new URL(elsewhere.headers.get("location") ?? "").origin, "http://localhost:3000");
  });

  test("a link works once", async () => {
    const { credentials } = await signedUp();
    await auth.client().auth.resetPasswordForEmail(credentials.email);
    const { link } = mailTo(credentials.email);
    assert.match((await auth.ask(link)).headers.get("location") ?? "", /access_token=/);
    assert.match((await auth.ask(link)).headers.get("location") ?? "", /error_code=otp_expired/);
  });

  test("PKCE: a mail's link gives a code, which its client alone can exchange", async () => {
    const { credentials } = await signedUp();
    const client = auth.client({ flowType: "pkce" });
    assert.equal((await client.auth.signInWithOtp({ email: credentials.email })).error, null);
    const answer = await auth.ask(mailTo(credentials.email).link);
    const code = new URL(answer.headers.get("location") ?? "").searchParams.get("code") ?? "";
    const stolen = await ask("POST", "/token?grant_type=pkce", undefined, {
      auth_code: code,
      code_verifier: "x".repeat(50),
    });
    assert.equal(stolen.status, 400);
    const { data, error } = await client.auth.exchangeCodeForSession(code);
    assert.equal(error, null);
    assert.equal(data.user?.email, credentials.email);
  });

  test("a code and its address confirm a sign-up; before that no sign-in", async () => {
    const client = confirming.client();
    const credentials = fresh();
    const { data } = await client.auth.signUp(credentials);
    assert.equal(data.session, null);
    assert.equal((await client.auth.signInWithPassword(credentials)).error?.code, "email_not_confirmed");
    const { code } = mailTo(credentials.email, confirming);
    const wrong = await client.auth.verifyOtp({ email: credentials.email, token: "000000", type: "signup" });
    assert.equal(wrong.error?.code, "otp_expired");
    const right = await client.auth.verifyOtp({ email: credentials.email, token: code, type: "signup" });
    assert.equal(right.error, null);
    assert.ok(right.data.session);
  });

  test("an account that exists is not shown by a sign-up with confirmations", async () => {
    const { credentials } = await signedUp();
    const { data, error } = await confirming.client().auth.signUp(credentials);
    assert.equal(error, null);
    assert.deepEqual([data.session, data.user?.identities], [null, []]);
  });

  test("a change of address needs both addresses", async () => {
    const made = await signedUp();
    const client = confirming.client();
    await client.auth.signInWithPassword(made.credentials);
    const { email } = fresh();
    assert.equal((await client.auth.updateUser({ email })).error, null);
    const half = await confirming.ask(mailTo(made.credentials.email, confirming).link);
    assert.match(half.headers.get("location") ?? "", /message=/);
    assert.equal((await client.auth.getUser()).data.user?.email, made.credentials.email);
    await confirming.ask(mailTo(email, confirming).link);
    assert.equal((await client.auth.getUser()).data.user?.email, email);
  });
});

describe("the admin API", () => {
  test("users are made, listed by pages, changed, banned and deleted", async () => {
    const { email, password } = fresh();
    const made = await auth.admin.auth.admin.createUser({
      email,
      password,
      email_confirm: true,
      app_metadata: { plan: "pro" },
    });
    assert.equal(made.error, null);
    const id = made.data.user?.id ?? "";
    const pages = await auth.admin.auth.admin.listUsers({ page: 1, perPage: 1 });
    assert.ok(pages.error === null && pages.data.users.length === 1);
    assert.ok(pages.data.total > 1 && pages.data.nextPage === 2);
    assert.equal((await auth.client().auth.signInWithPassword({ email, password })).error, null);
    const banned = await auth.admin.auth.admin.updateUserById(id, { ban_duration: "1h" });
    assert.equal(banned.error, null);
    assert.equal(
      (await auth.client().auth.signInWithPassword({ email, password })).error?.code,
      "user_banned",
    );
    assert.equal((await auth.admin.auth.admin.deleteUser(id)).error, null);
    assert.equal((await auth.admin.auth.admin.getUserById(id)).error?.code, "user_not_found");
  });

  test("a soft deletion keeps the row and takes what names the person", async () => {
    const { user, credentials } = await signedUp();
    assert.equal((await auth.admin.auth.admin.deleteUser(user.id, true)).error, null);
    const { rows } = await db.pool.query(
      "select email, raw_user_meta_data, deleted_at from auth.users where id = $1",
      [user.id],
    );
    assert.ok(rows[0]?.deleted_at);
    assert.ok(!JSON.stringify(rows[0]).includes(credentials.email));
    assert.equal(
      (await auth.client().auth.signInWithPassword(credentials)).error?.code,
      "invalid_credentials",
    );
  });

  test("generate_link gives a link that signs in, with the data as user_metadata", async () => {
    const { email, password } = fresh();
    const { data, error } = await auth.admin.auth.admin.generateLink({
      type: "signup",
      email,
      password,
      options: { data: { status: "alpha" } },
    });
    assert.equal(error, null);
    const { status, email_verified } = data.user?.user_metadata ?? {};
    assert.deepEqual([status, email_verified], ["alpha", undefined]);
    const hash = data.properties?.hashed_token ?? "";
    const verified = await auth.client().auth.verifyOtp({ token_hash: hash, type: "signup" });
    assert.equal(verified.error, null);
    assert.equal(verified.data.user?.email, email);
  });

  test("an invitation is a mail whose link signs in", async () => {
    const { email } = fresh();
    assert.equal((await auth.admin.auth.admin.inviteUserByEmail(email)).error, null);
    assert.match((await auth.ask(mailTo(email).link)).headers.get("location") ?? "", /type=invite/);
  });

  test("the audit log says who did what", async () => {
    const { user } = await signedUp();
    const token = (await ask("GET", "/admin/audit?per_page=20", await serviceToken())).body as {
      payload: { actor_id: string; action: string };
    }[];
    const own = token
      .filter(({ payload }) => payload.actor_id === user.id)
      .map(({ payload }) => payload.action);
    assert.deepEqual(own.sort(), ["login", "user_signedup"]);
  });
});

/** A token of the secret key. */
async function serviceToken() {
  const { mintRoleToken } = await import("../../packages/local-supabase/src/tokens.ts");
  return mintRoleToken("service_role", auth.keys.jwtSecret, Date.now(), 3600);
}

describe("what is not set up", () => {
  test.each([
    ["POST", "/sso", 404, "saml_provider_disabled"],
    ["GET", "/sso/saml/metadata", 404, "saml_provider_disabled"],
    ["POST", "/oauth/token", 404, "feature_disabled"],
    ["GET", "/oauth/authorize", 404, "feature_disabled"],
    ["POST", "/token?grant_type=web3", 422, "web3_provider_disabled"],
    ["POST", "/token?grant_type=other", 400, "invalid_credentials"],
  ])("%s %s: %i %s", async (method, path, status, code) => {
    const answer = await ask(method, path, undefined, method === "POST" ? {} : undefined);
    assert.deepEqual([answer.status, answer.body.error_code], [status, code]);
  });

  test("a phone number is judged before its code", async () => {
    const { error } = await auth.client().auth.verifyOtp({ phone: "x", token: "123456", type: "sms" });
    assert.equal(error?.message, "Invalid phone number format (E.164 required)");
  });
});

describe("the schema", () => {
  test("a seed written for hosted applies, and its user signs in", async () => {
    const { email, password } = fresh();
    const client = await db.pool.connect();
    try {
      await client.query("begin");
      await client.query("set local role postgres");
      const { rows } = await client.query<{ id: string }>(
        `insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
            raw_app_meta_data, raw_user_meta_data, created_at, updated_at, confirmation_token, email_change,
            email_change_token_new, recovery_token)
          values ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'authenticated', 'authenticated', $1,
            extensions.crypt($2, extensions.gen_salt('bf')), now(), '{"provider":"email","providers":["email"]}', '{}',
            now(), now(), '', '', '', '') returning id`,
        [email, password],
      );
      await client.query(
        `insert into auth.identities (id, user_id, provider_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
          values (gen_random_uuid(), $1::uuid, $1::text, jsonb_build_object('sub', $1::text, 'email', $2::text), 'email', now(), now(), now())`,
        [rows[0]?.id, email],
      );
      await client.query("commit");
    } finally {
      client.release();
    }
    const { data, error } = await auth.client().auth.signInWithPassword({ email, password });
    assert.equal(error, null);
    assert.equal(data.user?.identities?.length, 1);
  });

  test("the list of Auth's own migrations is hosted's", async () => {
    const { rows } = await db.pool.query(
      "select max(version) as last, count(*)::int as n from auth.schema_migrations",
    );
    assert.deepEqual(rows[0], { last: "20260625000000", n: 70 });
  });
});
