// Hooks that are functions of the database or HTTP servers, and Auth's rate limits, as clients meet them.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, onTestFinished, test } from "vitest";
import { startTestAuth, type TestAuth } from "../helpers/auth.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

const PASSWORD = "a password for hooks";
let db: TestDatabase;
let count = 0;

beforeAll(async () => {
  db = await createTestDatabase();
  await db.pool.query(`
    create schema hooks;
    grant usage on schema hooks to supabase_auth_admin;
    create function hooks.claims (event jsonb) returns jsonb language sql as $$
      select jsonb_build_object('claims', event -> 'claims' || jsonb_build_object('plan', 'pro', 'by', event ->> 'authentication_method'))
    $$;
    create function hooks.no_claims (event jsonb) returns jsonb language sql as $$ select '{"claims": {"sub": "x"}}'::jsonb $$;
    create function hooks.slow (event jsonb) returns jsonb language sql as $$ select '{}'::jsonb from pg_sleep(10) $$;
    create function hooks.only_example (event jsonb) returns jsonb language sql as $$
      select case when event -> 'user' ->> 'email' like '%@example.com' then '{}'::jsonb
        else '{"error": {"http_code": 403, "message": "Only example.com"}}' end
    $$;
    create table hooks.wrong (user_id uuid, at timestamptz default clock_timestamp());
    grant select, insert on hooks.wrong to supabase_auth_admin;
    create function hooks.two_wrong (event jsonb) returns jsonb language plpgsql as $$
    begin
      if not (event ->> 'valid')::boolean then
        insert into hooks.wrong (user_id) values ((event ->> 'user_id')::uuid);
      end if;
      if (select count(*) from hooks.wrong where user_id = (event ->> 'user_id')::uuid) >= 2 then
        return '{"decision": "reject", "message": "Locked for now", "should_logout_user": true}';
      end if;
      return '{"decision": "continue"}';
    end $$;
  `);
});
afterAll(() => db?.destroy());

const withHook = async (name: string, uri: string, secrets = "") => {
  const auth = await startTestAuth(
    db,
    `[auth.hook.${name}]\nenabled = true\nuri = "${uri}"\nsecrets = "${secrets}"\n[auth.email]\nmax_frequency = "0s"`,
  );
  onTestFinished(() => auth.close());
  return auth;
};

const fresh = (domain = "example.com") => {
  count += 1;
  return { email: `hook${count}@${domain}`, password: PASSWORD };
};
const claimsOf = (token = "") => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

/** A hook over HTTP that verifies signatures with the specification's library. */
async function startHook<Payload>(answer: (payload: Payload) => object) {
  const secret = randomBytes(32).toString("base64");
  const payloads: Payload[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const payload = new Webhook(secret).verify(body, request.headers as Record<string, string>) as Payload;
      payloads.push(payload);
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer(payload)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { uri, secrets: `v1,whsec_${secret}`, payloads };
}

describe("the hook for access tokens", () => {
  test("adds claims to every token of a session", async () => {
    const auth = await withHook("custom_access_token", "pg-functions://postgres/hooks/claims");
    const client = auth.client();
    const { data } = await client.auth.signUp(fresh());
    const first = claimsOf(data.session?.access_token);
    assert.deepEqual([first.plan, first.by, first.sub], ["pro", "password", data.user?.id]);
    const { data: next } = await client.auth.refreshSession();
    assert.deepEqual(
      [claimsOf(next.session?.access_token).plan, claimsOf(next.session?.access_token).by],
      ["pro", "token_refresh"],
    );
  });

  test("that leaves needed claims out, takes too long or is missing fails the sign-in, and makes nobody", async () => {
    for (const [name, message] of [
      ["no_claims", /do not conform to the expected schema/],
      ["slow", /Error running hook URI/],
      ["missing", /Error running hook URI/],
    ] as const) {
      const auth = await withHook("custom_access_token", `pg-functions://postgres/hooks/${name}`);
      const who = fresh();
      const { error } = await auth.client().auth.signUp(who);
      assert.equal(error?.status, 500, name);
      assert.match(error?.message ?? "", message);
      assert.equal((await db.pool.query("select from auth.users where email = $1", [who.email])).rowCount, 0);
    }
  });

  test("may be an HTTP server", async () => {
    const hook = await startHook<{ claims: object; metadata: { name: string } }>(({ claims }) => ({
      claims: { ...claims, via: "http" },
    }));
    const auth = await withHook("custom_access_token", hook.uri, hook.secrets);
    const { data } = await auth.client().auth.signUp(fresh());
    assert.equal(claimsOf(data.session?.access_token).via, "http");
    assert.equal(hook.payloads[0]?.metadata.name, "customize-access-token");
  });
});

describe("other hooks", () => {
  test("before_user_created refuses a user in its own words", async () => {
    const auth = await withHook("before_user_created", "pg-functions://postgres/hooks/only_example");
    assert.equal((await auth.client().auth.signUp(fresh())).error, null);
    const elsewhere = fresh("elsewhere.org");
    const { error } = await auth.client().auth.signUp(elsewhere);
    assert.deepEqual([error?.status, error?.message], [403, "Only example.com"]);
    assert.equal(
      (await db.pool.query("select from auth.users where email = $1", [elsewhere.email])).rowCount,
      0,
    );
  });

  test("password_verification_attempt locks an account and ends its sessions", async () => {
    const auth = await withHook("password_verification_attempt", "pg-functions://postgres/hooks/two_wrong");
    const who = fresh();
    const signedIn = auth.client();
    await signedIn.auth.signUp(who);
    const attempt = async (password: string) =>
      (await auth.client().auth.signInWithPassword({ email: who.email, password })).error?.message;
    assert.equal(await attempt("wrong"), "Invalid login credentials");
    assert.equal(await attempt(PASSWORD), undefined);
    assert.equal(await attempt("wrong again"), "Locked for now");
    assert.equal(await attempt(PASSWORD), "Locked for now", "the right password does not open it");
    assert.ok((await signedIn.auth.getUser()).error);
  });

  test("send_email gets the code and the link's hash in place of a mail", async () => {
    const hook = await startHook<{
      user: { email: string };
      email_data: { token: string; token_hash: string; email_action_type: string };
    }>(() => ({}));
    const auth = await withHook("send_email", hook.uri, hook.secrets);
    const who = fresh();
    await auth.client().auth.signUp(who);
    const { error } = await auth.client().auth.signInWithOtp({ email: who.email });
    assert.equal(error, null);
    const { user, email_data } = hook.payloads[0]!;
    assert.deepEqual([user.email, email_data.email_action_type], [who.email, "magiclink"]);
    assert.equal(auth.mailbox.list().length, 0);
    const verified = await auth.client().auth.verifyOtp({ token_hash: email_data.token_hash, type: "email" });
    assert.equal(verified.data.user?.email, who.email);
  });
});

describe("rate limits", () => {
  const started = async (toml: string): Promise<TestAuth> => {
    const auth = await startTestAuth(db, toml);
    onTestFinished(() => auth.close());
    return auth;
  };

  test("count sign-ups by address, and a header cannot be another address of this machine", async () => {
    const auth = await started("");
    const errors: (string | undefined)[] = [];
    for (let index = 0; index < 31; index++) {
      const { error } = await auth
        .client({ address: "203.0.113.7" })
        .auth.signUp({ email: "x", password: PASSWORD });
      errors.push(error?.code);
    }
    assert.deepEqual(
      [errors[0], errors[29], errors[30]],
      ["validation_failed", "validation_failed", "over_request_rate_limit"],
    );
    const other = await auth.client({ address: "203.0.113.8" }).auth.signUp(fresh());
    assert.equal(other.error, null);
  });

  test("count mails by the hour, and by person", async () => {
    const auth = await started('[auth.rate_limit]\nemail_sent = 2\n[auth.email]\nmax_frequency = "1m"');
    const [first, second] = [fresh(), fresh()];
    for (const who of [first, second]) await auth.client().auth.signUp(who);
    const ask = async ({ email }: { email: string }) =>
      (await auth.client().auth.signInWithOtp({ email })).error;
    assert.equal(await ask(first), null);
    const soon = await ask(first);
    assert.deepEqual([soon?.status, soon?.code], [429, "over_email_send_rate_limit"]);
    assert.match(
      soon?.message ?? "",
      /^For security purposes, you can only request this after \d+ seconds\.$/,
    );
    assert.equal(await ask(second), null);
    const third = fresh();
    await auth.client().auth.signUp(third);
    const many = await ask(third);
    assert.deepEqual([many?.status, many?.code], [429, "over_email_send_rate_limit"]);
  });
});
