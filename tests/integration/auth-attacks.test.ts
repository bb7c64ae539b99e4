// Attacks on Auth: tokens guessed, used twice or by banned users, odd addresses and numbers, lost connections.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setImmediate as soon } from "node:timers/promises";
import { afterAll, beforeAll, describe, test } from "vitest";
import { openAuthDatabase } from "../../packages/local-supabase/src/auth/database.ts";
import { AUTH_URL, startTestAuth, type TestAuth } from "../helpers/auth.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

const PASSWORD = "a password of many words";
const TOML = `[auth]
site_url = "http://localhost:3000"
[auth.rate_limit]
email_sent = 1000
[auth.email]
max_frequency = "0s"
[auth.mfa.totp]
enroll_enabled = true
verify_enabled = true
`;

let db: TestDatabase;
let auth: TestAuth;
let count = 0;

beforeAll(async () => {
  db = await createTestDatabase();
  auth = await startTestAuth(db, TOML);
});
afterAll(async () => {
  await auth?.close();
  await db?.destroy();
});

const fresh = () => {
  count += 1;
  return `attack${count}@example.com`;
};

async function ask(method: string, path: string, body?: unknown, token?: string) {
  const answer = await auth.ask(`${AUTH_URL}/auth/v1${path}`, {
    method,
    headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text ? JSON.parse(text) : undefined };
}

async function signedUp() {
  const email = fresh();
  const { data, error } = await auth.client().auth.signUp({ email, password: PASSWORD });
  assert.equal(error, null);
  assert.ok(data.session && data.user);
  return { email, id: data.user.id, token: data.session.access_token };
}

async function linkFor(email: string) {
  const { data, error } = await auth.admin.auth.admin.generateLink({ type: "magiclink", email });
  assert.equal(error, null);
  assert.ok(data.properties);
  return data.properties;
}

describe("one-time tokens", () => {
  test("a link's token cannot be computed from the address and the code", async () => {
    const { email } = await signedUp();
    const { email_otp, hashed_token } = await linkFor(email);
    const guessed = createHash("sha224")
      .update(email + email_otp)
      .digest("hex");
    assert.notEqual(hashed_token, guessed);
    assert.equal(
      (await ask("POST", "/verify", { type: "magiclink", token_hash: guessed })).body.error_code,
      "otp_expired",
    );
    assert.equal((await ask("POST", "/verify", { type: "magiclink", token: email_otp, email })).status, 200);
  });

  test("ten requests with one token at once give one session", async () => {
    const { email } = await signedUp();
    const { hashed_token } = await linkFor(email);
    const given = { type: "magiclink", token_hash: hashed_token };
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask("POST", "/verify", given)));
    const codes = answers.map(({ status, body }) => (status === 200 ? "session" : body.error_code)).sort();
    assert.deepEqual(codes, [...Array(9).fill("otp_expired"), "session"]);
  });

  test("guesses of a code end after some, also from this machine", async () => {
    const { email } = await signedUp();
    await linkFor(email);
    const codes = new Set<string>();
    for (let guess = 0; guess < 40; guess++)
      codes.add(
        (await ask("POST", "/verify", { type: "magiclink", token: `x${guess}`, email })).body.error_code,
      );
    assert.deepEqual([...codes], ["otp_expired", "over_request_rate_limit"]);
  });

  test("guesses of a second factor end after some, also from this machine", async () => {
    const { token } = await signedUp();
    const factor = (await ask("POST", "/factors", { factor_type: "totp", friendly_name: "a" }, token)).body;
    const { body: challenge } = await ask("POST", `/factors/${factor.id}/challenge`, {}, token);
    const codes = new Set<string>();
    for (let guess = 0; guess < 40; guess++) {
      const given = { challenge_id: challenge.id, code: "x" };
      codes.add((await ask("POST", `/factors/${factor.id}/verify`, given, token)).body.error_code);
    }
    assert.deepEqual([...codes], ["mfa_verification_failed", "over_request_rate_limit"]);
  });
});

describe("banned users", () => {
  test("a code of PKCE that is older than the ban gives no session", async () => {
    const { email, id } = await signedUp();
    const client = auth.client({ flowType: "pkce" });
    assert.equal((await client.auth.signInWithOtp({ email })).error, null);
    const mail = auth.mailbox.list(email)[0];
    const link = /https?:\/\/[^\s"<>]*\/verify\?[^\s"<>]*/.exec(`${mail?.text} ${mail?.html}`)?.[0] ?? "";
    const back = await auth.ask(link.replaceAll("&amp;", "&"));
    const code = new URL(back.headers.get("location") ?? "").searchParams.get("code") ?? "";
    assert.notEqual(code, "");
    await auth.admin.auth.admin.updateUserById(id, { ban_duration: "1h" });
    assert.equal((await client.auth.exchangeCodeForSession(code)).error?.code, "user_banned");
  });
});

describe("taken addresses", () => {
  test("ten sign-ups with one address at once make one account, without a 500", async () => {
    const email = fresh();
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => ask("POST", "/signup", { email, password: PASSWORD })),
    );
    const codes = answers.map(({ body }) => body.error_code ?? "session").sort();
    assert.deepEqual(codes, ["session", ...Array(9).fill("user_already_exists")]);
  });

  test("a change to an address that was taken meanwhile is refused with 422", async () => {
    const { email, id, token } = await signedUp();
    const wanted = fresh();
    assert.equal((await ask("PUT", "/user", { email: wanted }, token)).status, 200);
    assert.equal((await ask("POST", "/signup", { email: wanted, password: PASSWORD })).status, 200);
    const [row] = (
      await db.superuser.query(
        "select email_change_token_current as old, email_change_token_new as new from auth.users where id = $1",
        [id],
      )
    ).rows;
    if (row.old) await ask("POST", "/verify", { type: "email_change", token_hash: row.old });
    const refused = await ask("POST", "/verify", { type: "email_change", token_hash: row.new });
    assert.deepEqual([refused.status, refused.body.error_code], [422, "email_exists"]);
    assert.equal((await auth.admin.auth.admin.getUserById(id)).data.user?.email, email);
  });
});

describe("odd values", () => {
  test.each(["http://localhost:3000/\r\nset-cookie: a=b", "http://localhost:3000/漢"])(
    "redirect_to %j leads on, in characters of a header",
    async (to) => {
      const { email } = await signedUp();
      const { hashed_token } = await linkFor(email);
      const query = new URLSearchParams({ type: "magiclink", token: hashed_token, redirect_to: to });
      const { status, headers } = await ask("GET", `/verify?${query}`);
      assert.equal(status, 303);
      assert.equal(headers.get("set-cookie"), null);
      assert.ok(headers.get("location")?.startsWith("http://localhost:3000/"));
    },
  );

  test("numbers beyond Postgres and unknown scopes of an administrator are no 500", async () => {
    const { id } = await signedUp();
    const { data } = await auth.admin.auth.admin.listUsers({ page: 999_999_999_999, perPage: 10 });
    assert.deepEqual(data.users, []);
    const ban = await auth.admin.auth.admin.updateUserById(id, { ban_duration: "99999999999999h" });
    assert.equal(ban.error?.code, "validation_failed");
  });
});

test("a connection lost in a transaction fails its request alone", async () => {
  const database = openAuthDatabase(db.url("supabase_admin"));
  const lost = database.transaction(async (on) => {
    const { rows } = await on.query<{ pid: number }>("select pg_backend_pid() as pid");
    await db.superuser.query("select pg_terminate_backend($1, 5000)", [rows[0]?.pid]);
    for (let turn = 0; turn < 10; turn++) await soon(); // its end arrives while no query listens
    await on.query("select 1");
  });
  await assert.rejects(lost);
  assert.equal((await database.query<{ one: number }>("select 1 as one")).rows[0]?.one, 1);
  await database.close();
});
