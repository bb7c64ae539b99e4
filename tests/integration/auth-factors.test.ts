// Second factors and passkeys through supabase-js: enrolled, verified, removed, and what a session of the first level may not.
import assert from "node:assert/strict";
import * as OTPAuth from "otpauth";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { createAuthenticator } from "../../packages/local-supabase/src/auth/testing/authenticator.ts";
import { AUTH_URL, startTestAuth, type TestAuth } from "../helpers/auth.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

const ORIGIN = "http://localhost:3000";
const TOML = `[auth]
site_url = "${ORIGIN}"
enable_anonymous_sign_ins = true
[auth.mfa]
max_enrolled_factors = 3
[auth.mfa.totp]
enroll_enabled = true
verify_enabled = true
[auth.mfa.web_authn]
enroll_enabled = true
verify_enabled = true
[auth.passkey]
enabled = true
[auth.email.notification.mfa_factor_enrolled]
enabled = true
[auth.email.notification.mfa_factor_unenrolled]
enabled = true
[auth.webauthn]
rp_id = "localhost"
rp_display_name = "Mine"
rp_origins = ["${ORIGIN}"]
`;
let db: TestDatabase;
let auth: TestAuth;
let count = 0;
let client: ReturnType<TestAuth["client"]>;

beforeAll(async () => {
  db = await createTestDatabase();
  auth = await startTestAuth(db, TOML);
});
afterAll(async () => {
  await auth?.close();
  await db?.destroy();
});
beforeEach(async () => {
  client = await signedUp();
});

async function signedUp() {
  const made = auth.client();
  count += 1;
  const { error } = await made.auth.signUp({
    email: `u${count}@example.com`,
    password: `password of ${count}`,
  });
  assert.equal(error, null);
  return made;
}

const codeOf = (secret: string) => new OTPAuth.TOTP({ secret: OTPAuth.Secret.fromBase32(secret) }).generate();

async function enrolled(of = client, friendlyName = "phone") {
  const { data, error } = await of.auth.mfa.enroll({ factorType: "totp", friendlyName });
  assert.equal(error, null);
  assert.ok(data?.type === "totp");
  return { id: data.id, secret: data.totp.secret, totp: data.totp };
}

async function raised(of = client) {
  const factor = await enrolled(of);
  const { error } = await of.auth.mfa.challengeAndVerify({
    factorId: factor.id,
    code: codeOf(factor.secret),
  });
  assert.equal(error, null);
  return factor;
}

describe("a one-time password", () => {
  test("raises the session to the second level, in its token too", async () => {
    const { id, secret, totp } = await enrolled();
    assert.match(totp.qr_code, /^data:image\/svg\+xml;utf-8,/);
    assert.equal(new URL(totp.uri).searchParams.get("issuer"), "localhost:3000");
    const before = await client.auth.mfa.getAuthenticatorAssuranceLevel();
    assert.deepEqual([before.data?.currentLevel, before.data?.nextLevel], ["aal1", "aal1"]);
    const { data: asked } = await client.auth.mfa.challenge({ factorId: id });
    assert.equal(asked?.type, "totp");
    const verified = await client.auth.mfa.verify({
      factorId: id,
      challengeId: asked?.id ?? "",
      code: codeOf(secret),
    });
    assert.equal(verified.error, null);
    const after = await client.auth.mfa.getAuthenticatorAssuranceLevel();
    assert.deepEqual([after.data?.currentLevel, after.data?.nextLevel], ["aal2", "aal2"]);
    assert.deepEqual(
      after.data?.currentAuthenticationMethods.map((each) => (typeof each === "string" ? each : each.method)),
      ["totp", "password"],
    );
    const { data: listed } = await client.auth.mfa.listFactors();
    assert.deepEqual(
      listed?.totp.map(({ status, friendly_name }) => [status, friendly_name]),
      [["verified", "phone"]],
    );
    assert.equal(JSON.stringify(listed).includes(secret), false);
    // The session goes on at that level.
    const { data: next } = await client.auth.refreshSession();
    assert.equal(JSON.parse(atob(next.session?.access_token.split(".")[1] ?? "")).aal, "aal2");
  });

  test("ends the user's other sessions of the first level", async () => {
    const other = auth.client();
    await other.auth.signInWithPassword({ email: `u${count}@example.com`, password: `password of ${count}` });
    await raised();
    // supabase-js' name for 403 session_not_found.
    assert.equal((await other.auth.getUser()).error?.name, "AuthSessionMissingError");
    assert.equal((await client.auth.getUser()).error, null);
  });

  test("that is wrong, of another challenge or used again is refused", async () => {
    const { id, secret } = await enrolled();
    const { data: asked } = await client.auth.mfa.challenge({ factorId: id });
    const challengeId = asked?.id ?? "";
    const answer = async (code: string, challenge = challengeId) =>
      (await client.auth.mfa.verify({ factorId: id, challengeId: challenge, code })).error?.code;
    assert.equal((await answer("000000")) === "mfa_verification_failed" || codeOf(secret) === "000000", true);
    assert.equal(await answer(""), "validation_failed");
    assert.equal(await answer(codeOf(secret), crypto.randomUUID()), "mfa_factor_not_found");
    assert.equal(await answer(codeOf(secret), "no uuid"), "mfa_factor_not_found");
    assert.equal(await answer(codeOf(secret)), undefined);
    assert.equal(await answer(codeOf(secret)), "mfa_ip_address_mismatch");
  });

  test("is accepted once when two requests bring it at once", async () => {
    const { id, secret } = await enrolled();
    const { data: asked } = await client.auth.mfa.challenge({ factorId: id });
    const token = (await client.auth.getSession()).data.session?.access_token;
    const send = async () =>
      (
        await auth.ask(`${AUTH_URL}/auth/v1/factors/${id}/verify`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify({ challenge_id: asked?.id, code: codeOf(secret) }),
        })
      ).status;
    const statuses = await Promise.all([send(), send(), send()]);
    assert.equal(statuses.filter((status) => status === 200).length, 1, statuses.join());
  });

  test("of a challenge from another address or too long ago is refused", async () => {
    const { id, secret } = await enrolled();
    const { data: asked } = await client.auth.mfa.challenge({ factorId: id });
    const { rowCount } = await db.pool.query(
      "update auth.mfa_challenges set created_at = created_at - interval '6 minutes' where id = $1",
      [asked?.id],
    );
    assert.equal(rowCount, 1);
    const late = await client.auth.mfa.verify({
      factorId: id,
      challengeId: asked?.id ?? "",
      code: codeOf(secret),
    });
    assert.equal(late.error?.code, "mfa_challenge_expired");
    const { data: again } = await client.auth.mfa.challenge({ factorId: id });
    await db.pool.query("update auth.mfa_challenges set ip_address = '10.1.1.1' where id = $1", [again?.id]);
    const elsewhere = await client.auth.mfa.verify({
      factorId: id,
      challengeId: again?.id ?? "",
      code: codeOf(secret),
    });
    assert.equal(elsewhere.error?.code, "mfa_ip_address_mismatch");
  });
});

describe("factors", () => {
  test("need a name of their own, and there is a most of them", async () => {
    await enrolled(client, "one");
    const same = await client.auth.mfa.enroll({ factorType: "totp", friendlyName: "one" });
    assert.equal(same.error?.code, "mfa_factor_name_conflict");
    await enrolled(client, "two");
    await enrolled(client, "three");
    const fourth = await client.auth.mfa.enroll({ factorType: "totp", friendlyName: "four" });
    assert.equal(fourth.error?.code, "too_many_enrolled_mfa_factors");
  });

  test("that are verified keep a session of the first level from adding or removing any", async () => {
    const { id } = await raised();
    const second = auth.client();
    await second.auth.signInWithPassword({
      email: `u${count}@example.com`,
      password: `password of ${count}`,
    });
    assert.equal(
      (await second.auth.mfa.enroll({ factorType: "totp", friendlyName: "x" })).error?.code,
      "insufficient_aal",
    );
    assert.equal((await second.auth.mfa.unenroll({ factorId: id })).error?.code, "insufficient_aal");
    assert.equal((await client.auth.mfa.unenroll({ factorId: id })).error, null);
    const { data } = await client.auth.refreshSession();
    assert.equal(JSON.parse(atob(data.session?.access_token.split(".")[1] ?? "")).aal, "aal1");
  });

  test("are mailed about, where config.toml wants that", async () => {
    const { id } = await raised();
    await client.auth.mfa.unenroll({ factorId: id });
    assert.deepEqual(
      auth.mailbox.list(`u${count}@example.com`).map(({ subject }) => subject),
      ["A second factor was removed", "A second factor was added"],
    );
  });

  test("of somebody else are not found", async () => {
    const { id } = await enrolled();
    const other = await signedUp();
    assert.equal((await other.auth.mfa.challenge({ factorId: id })).error?.code, "mfa_factor_not_found");
    assert.equal((await other.auth.mfa.unenroll({ factorId: id })).error?.code, "mfa_factor_not_found");
    assert.equal((await auth.ask(`${AUTH_URL}/auth/v1/factors/${id}`, { method: "DELETE" })).status, 401);
  });

  test("by phone, and for anonymous users, are not to be had", async () => {
    const phone = await client.auth.mfa.enroll({
      factorType: "phone",
      friendlyName: "p",
      phone: "+15551234567",
    });
    assert.equal(phone.error?.code, "mfa_phone_enroll_not_enabled");
    const anonymous = auth.client();
    await anonymous.auth.signInAnonymously();
    const refused = await anonymous.auth.mfa.enroll({ factorType: "totp", friendlyName: "a" });
    assert.deepEqual([refused.error?.status, refused.error?.code], [403, "no_authorization"]);
  });

  test("are shown to and removed by the secret key", async () => {
    const { id } = await raised();
    const userId = (await client.auth.getUser()).data.user?.id ?? "";
    const { mfa } = auth.admin.auth.admin;
    const { data } = await mfa.listFactors({ userId });
    assert.deepEqual(
      data?.factors.map((factor) => factor.id),
      [id],
    );
    assert.equal((await client.auth.admin.mfa.listFactors({ userId })).error?.code, "not_admin");
    assert.equal((await mfa.deleteFactor({ userId, id })).error, null);
    assert.deepEqual((await mfa.listFactors({ userId })).data?.factors, []);
  });

  test("cannot be enrolled where config.toml has them off", async () => {
    const off = await startTestAuth(db, "");
    try {
      const plain = off.client();
      await plain.auth.signUp({ email: "plain@example.com", password: "a plain password" });
      const { error } = await plain.auth.mfa.enroll({ factorType: "totp", friendlyName: "x" });
      assert.deepEqual([error?.status, error?.code], [422, "mfa_totp_enroll_not_enabled"]);
    } finally {
      await off.close();
    }
  });
});

type Creation = Parameters<ReturnType<typeof createAuthenticator>["create"]>[0];
type Request = Parameters<ReturnType<typeof createAuthenticator>["get"]>[0];

interface Begun<Options> {
  challenge_id: string;
  options: Options;
}
interface Asked<Options> {
  id: string;
  webauthn: { type: string; credential_options: { publicKey: Options } };
}

async function post<T = Record<string, string>>(path: string, body: object, token?: string) {
  const answer = await auth.ask(`${AUTH_URL}/auth/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify(body),
  });
  return {
    status: answer.status,
    body: (await answer.json()) as T & { error_code?: string },
  };
}

const tokenOf = async (of = client) => (await of.auth.getSession()).data.session?.access_token ?? "";

describe("a security key", () => {
  test("as a second factor raises the session", async () => {
    const { data } = await client.auth.mfa.enroll({ factorType: "webauthn", friendlyName: "key" });
    const id = data?.id ?? "";
    const key = createAuthenticator(ORIGIN);
    const token = await tokenOf();
    const asked = await post<Asked<Creation>>(`/factors/${id}/challenge`, {}, token);
    const { webauthn, id: challenge_id } = asked.body;
    assert.equal(webauthn.type, "create");
    const made = key.create(webauthn.credential_options.publicKey);
    const verified = await post(
      `/factors/${id}/verify`,
      { challenge_id, webauthn: { type: "create", credential_response: made } },
      token,
    );
    assert.equal(verified.status, 200, JSON.stringify(verified.body));
    const next = String(verified.body.access_token);
    const again = (await post<Asked<Request>>(`/factors/${id}/challenge`, {}, next)).body;
    assert.equal(again.webauthn.type, "request");
    const answer = {
      type: "request",
      credential_response: key.get(again.webauthn.credential_options.publicKey),
    };
    const second = await post(`/factors/${id}/verify`, { challenge_id: again.id, webauthn: answer }, next);
    assert.equal(second.status, 200, JSON.stringify(second.body));
    assert.deepEqual(
      JSON.parse(atob(String(second.body.access_token).split(".")[1] ?? "")).amr.map(
        (each: { method: string }) => each.method,
      ),
      ["mfa/webauthn", "password"],
    );
  });

  test("that is made now does not answer for a factor that has one", async () => {
    const { data } = await client.auth.mfa.enroll({ factorType: "webauthn", friendlyName: "key" });
    const path = `/factors/${data?.id}`;
    const token = await tokenOf();
    const asked = (await post<Asked<Creation>>(`${path}/challenge`, {}, token)).body;
    const made = createAuthenticator(ORIGIN).create(asked.webauthn.credential_options.publicKey);
    const answer = { challenge_id: asked.id, webauthn: { type: "create", credential_response: made } };
    assert.equal((await post(`${path}/verify`, answer, token)).status, 200);
    // Somebody who knows the password alone, with a key of their own.
    const thief = auth.client();
    await thief.auth.signInWithPassword({ email: `u${count}@example.com`, password: `password of ${count}` });
    const stolen = await tokenOf(thief);
    const again = (await post<Asked<Request>>(`${path}/challenge`, {}, stolen)).body;
    const { challenge } = again.webauthn.credential_options.publicKey;
    const own = createAuthenticator(ORIGIN).create({
      challenge,
      rp: { id: "localhost" },
      user: { id: "eA" },
    });
    const refused = await post(
      `${path}/verify`,
      { challenge_id: again.id, webauthn: { type: "create", credential_response: own } },
      stolen,
    );
    assert.deepEqual([refused.status, refused.body.error_code], [400, "validation_failed"]);
  });

  test("as a passkey signs in without a password, and each answer works once", async () => {
    const key = createAuthenticator(ORIGIN);
    const token = await tokenOf();
    const begun = await post<Begun<Creation>>("/passkeys/registration/options", {}, token);
    const { challenge_id, options } = begun.body;
    const credential = key.create(options);
    const other = await signedUp();
    const stolen = await post(
      "/passkeys/registration/verify",
      { challenge_id, credential },
      await tokenOf(other),
    );
    assert.equal(stolen.body.error_code, "webauthn_challenge_not_found");
    const made = await post("/passkeys/registration/verify", { challenge_id, credential }, token);
    assert.equal(made.status, 200, JSON.stringify(made.body));
    const asked = (await post<Begun<Request>>("/passkeys/authentication/options", {})).body;
    const answer = { challenge_id: asked.challenge_id, credential: key.get(asked.options) };
    const signedIn = await post("/passkeys/authentication/verify", answer);
    assert.equal(signedIn.status, 200, JSON.stringify(signedIn.body));
    const { data } = await client.auth.getUser(String(signedIn.body.access_token));
    assert.equal(data.user?.email, (await client.auth.getUser()).data.user?.email);
    const again = await post("/passkeys/authentication/verify", answer);
    assert.equal(again.body.error_code, "webauthn_challenge_not_found");
  });

  test("that is unknown or of another site does not sign in", async () => {
    for (const origin of [ORIGIN, "http://evil.example"]) {
      const key = createAuthenticator(origin);
      key.create({ challenge: "x", rp: { id: "localhost" }, user: { id: "eA" } });
      const asked = (await post<Begun<Request>>("/passkeys/authentication/options", {})).body;
      const refused = await post("/passkeys/authentication/verify", {
        challenge_id: asked.challenge_id,
        credential: key.get(asked.options),
      });
      assert.deepEqual([refused.status, refused.body.error_code], [400, "webauthn_verification_failed"]);
    }
  });

  test("as a passkey is listed, renamed and removed by its owner alone", async () => {
    const token = await tokenOf();
    const { challenge_id, options } = (
      await post<Begun<Creation>>("/passkeys/registration/options", {}, token)
    ).body;
    const credential = createAuthenticator(ORIGIN).create(options);
    const made = await post("/passkeys/registration/verify", { challenge_id, credential }, token);
    const id = String(made.body.id);
    const ask = async (method: string, path: string, by: string, body?: object) =>
      await auth.ask(`${AUTH_URL}/auth/v1/passkeys${path}`, {
        method,
        headers: { authorization: `Bearer ${by}`, "content-type": "application/json" },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    const other = await tokenOf(await signedUp());
    assert.deepEqual(await (await ask("GET", "", other)).json(), []);
    assert.equal((await ask("PATCH", `/${id}`, other, { friendly_name: "mine" })).status, 404);
    assert.equal((await ask("DELETE", `/${id}`, other)).status, 404);
    assert.equal((await ask("PATCH", `/${id}`, token, { friendly_name: "laptop" })).status, 200);
    const listed = (await (await ask("GET", "", token)).json()) as { friendly_name: string }[];
    assert.deepEqual(
      listed.map(({ friendly_name }) => friendly_name),
      ["laptop"],
    );
    assert.equal((await ask("DELETE", `/${id}`, token)).status, 204);
    assert.deepEqual(await (await ask("GET", "", token)).json(), []);
  });
});
