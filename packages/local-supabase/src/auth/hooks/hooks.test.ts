import assert from "node:assert/strict";
import { test } from "vitest";
import type { AuthSettings } from "../../config/auth-settings.ts";
import { parseConfig } from "../../config/read-config.ts";
import { StackError } from "../../errors.ts";
import { AuthError } from "../errors.ts";
import { readHookTarget } from "./hook-target.ts";
import { createHooks, type HookName } from "./hooks.ts";

const CALLER = { ipAddress: "10.0.0.1" };
const CLAIMS = {
  aud: "authenticated",
  exp: 2,
  iat: 1,
  sub: "u",
  email: "a@b.c",
  phone: "",
  role: "authenticated",
  aal: "aal1",
  session_id: "s",
  is_anonymous: false,
};

/** Hooks of the database whose function answers `answer`; `asked` keeps what it was called with. */
function hooksThat(answer: unknown, name: HookName) {
  const asked: { text: string; values: unknown[] | undefined }[] = [];
  const connection = {
    async query(text: string, values?: unknown[]) {
      asked.push({ text, values });
      if (answer instanceof Error) throw answer;
      return { rows: text.startsWith("select") ? [{ answer }] : [] };
    },
  };
  const settings: AuthSettings["hook"] = parseConfig(
    `[auth.hook.${name}]\nenabled = true\nuri = "pg-functions://postgres/app/hook"`,
  ).auth.hook;
  const hooks = createHooks(settings, { transaction: async (work) => await work(connection) });
  return { hooks, asked, connection };
}

const refused = (status: number, message: RegExp) => (error: unknown) =>
  error instanceof AuthError && error.status === status && message.test(error.message);

test("a function of the database gets the metadata and the input within two seconds", async () => {
  const { hooks, asked } = hooksThat({ claims: { ...CLAIMS, plan: "pro" } }, "custom_access_token");
  const input = { user_id: "u", claims: CLAIMS, authentication_method: "password" };
  assert.deepEqual(await hooks.customAccessToken(CALLER, input), { ...CLAIMS, plan: "pro" });
  assert.deepEqual(
    asked.map(({ text }) => text),
    [
      "set local statement_timeout to '2000'",
      'select "app"."hook"($1) as answer',
      "set local statement_timeout to default",
    ],
  );
  const { metadata, ...rest } = JSON.parse(String(asked[1]?.values?.[0]));
  assert.deepEqual(rest, input);
  assert.deepEqual([metadata.name, metadata.ip_address], ["customize-access-token", "10.0.0.1"]);
  assert.match(metadata.uuid, /^[0-9a-f-]{36}$/);
});

test("a hook that is off changes nothing and asks nothing", async () => {
  const { hooks, asked } = hooksThat({}, "send_email");
  const input = { user_id: "u", claims: CLAIMS, authentication_method: "password" };
  assert.equal(await hooks.customAccessToken(CALLER, input), CLAIMS);
  assert.equal((await hooks.passwordVerification(CALLER, { user_id: "u", valid: true })).rejected, false);
  assert.deepEqual(
    [hooks.enabled("send_email"), hooks.enabled("custom_access_token"), asked.length],
    [true, false, 0],
  );
});

test("the transaction under way is used where there is one", async () => {
  const { hooks, asked } = hooksThat({}, "before_user_created");
  const own: string[] = [];
  const connection = {
    async query(text: string) {
      own.push(text);
      return { rows: [{ answer: {} }] };
    },
  };
  await hooks.beforeUserCreated({ ...CALLER, connection }, { user: {} });
  assert.deepEqual([own.length, asked.length], [3, 0]);
});

test("claims that a hook leaves out or spoils are named", async () => {
  const run = async (answer: unknown) =>
    await hooksThat(answer, "custom_access_token").hooks.customAccessToken(CALLER, {
      user_id: "u",
      claims: CLAIMS,
      authentication_method: "password",
    });
  await assert.rejects(run({}), refused(500, /^output claims field is missing$/));
  await assert.rejects(run({ claims: "x" }), refused(500, /^Error unmarshaling JSON output\.$/));
  const { role: _, ...without } = CLAIMS;
  await assert.rejects(
    run({ claims: { ...without, exp: "soon" } }),
    refused(500, /- exp: .*integer\n- \(root\): role is required/),
  );
});

test("a refusal has the hook's words, or the usual ones", async () => {
  const verdict = await hooksThat(
    { decision: "reject", message: "Locked", should_logout_user: true },
    "password_verification_attempt",
  ).hooks.passwordVerification(CALLER, { user_id: "u", valid: false });
  assert.deepEqual(verdict, { rejected: true, message: "Locked", shouldLogoutUser: true });
  const plain = await hooksThat({ decision: "reject" }, "mfa_verification_attempt").hooks.mfaVerification(
    CALLER,
    {
      user_id: "u",
      factor_id: "f",
      factor_type: "totp",
      valid: false,
    },
  );
  assert.equal(plain.message, "Further MFA verification attempts will be rejected.");
});

test("an error that a hook answers becomes the answer", async () => {
  const before = async (answer: unknown) =>
    await hooksThat(answer, "before_user_created").hooks.beforeUserCreated(CALLER, { user: {} });
  await assert.rejects(before({ error: { http_code: 403, message: "Not you" } }), refused(403, /^Not you$/));
  await assert.rejects(before({ error: { message: "No" } }), refused(500, /^No$/));
  await before({ error: { http_code: 500 } }); // without a message it is not an error
  await before(null);
  await assert.rejects(
    before(new Error("relation does not exist")),
    refused(500, /^Error running hook URI: pg-functions:/),
  );
});

test("a wrong address or secret is named in one sentence", () => {
  const secret = `v1,whsec_${"A".repeat(32)}`;
  const faults: [{ uri?: string; secrets?: string }, RegExp][] = [
    [{}, /send_email\.uri must be pg-functions:/],
    [{ uri: "pg-functions://postgres/app" }, /uri must name a schema and a function/],
    [{ uri: 'pg-functions://postgres/app/x"y' }, /uri must name a schema and a function/],
    [{ uri: "ftp://x" }, /uri must begin with/],
    [{ uri: "http://example.com", secrets: secret }, /uri must be https/],
    [{ uri: "https://example.com" }, /secrets must be of the form/],
    [{ uri: "https://example.com", secrets: `${secret}|v1,short` }, /secrets must be of the form/],
  ];
  for (const [given, message] of faults)
    assert.throws(
      () => readHookTarget("send_email", given),
      (error) => error instanceof StackError && message.test(error.message),
      JSON.stringify(given),
    );
  assert.deepEqual(
    readHookTarget("send_email", { uri: "http://localhost:3000/x", secrets: `${secret}|${secret}` }),
    {
      kind: "http",
      url: "http://localhost:3000/x",
      secrets: [secret, secret],
    },
  );
});
