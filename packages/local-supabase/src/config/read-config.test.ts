import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { test } from "vitest";
import { StackError } from "../errors.ts";
import { parseGoDuration } from "./durations.ts";
import { parseConfig, readConfig } from "./read-config.ts";

function faultOf(toml: string, env = {}): string {
  try {
    parseConfig(toml, env);
    return "none";
  } catch (error) {
    assert.ok(error instanceof StackError, String(error));
    return error.message;
  }
}

test("an empty file and a missing one give the CLI's defaults", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "config-"));
  t.onTestFinished(() => rm(root, { recursive: true }));
  const config = await readConfig(root, {});
  assert.deepEqual(config, parseConfig(""));
  assert.deepEqual(config.warnings, []);
  const { auth, api } = config;
  assert.deepEqual(
    [auth.site_url, auth.jwt_expiry, auth.minimum_password_length, auth.refresh_token_reuse_interval],
    ["http://127.0.0.1:3000", 3600, 6, 10],
  );
  assert.deepEqual(
    [auth.email.max_frequency, auth.email.otp_expiry, auth.rate_limit.email_sent],
    [1000, 3600, 2],
  );
  assert.equal(auth.external.gitlab.url, "https://gitlab.com");
  assert.deepEqual([api.schemas, api.max_rows], [["public", "graphql_public"], 1000]);
});

test("values are read, and env(NAME) is filled in for texts, numbers, booleans and lists", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "config-"));
  t.onTestFinished(() => rm(root, { recursive: true }));
  await mkdir(join(root, "supabase"));
  await writeFile(
    join(root, "supabase", "config.toml"),
    `[auth]
site_url = "env(SITE)"
jwt_expiry = "env(EXPIRY)"
enable_signup = "env(SIGNUP)"
additional_redirect_urls = "env(URLS)"
[auth.sessions]
timebox = "24h"
[auth.external.github]
enabled = true
client_id = "id"
secret = "env(SECRET)"
[auth.email.template.invite]
subject = "Come in"
[db]
port = "anything at all"
`,
  );
  const env = {
    SITE: "https://a.b",
    EXPIRY: "60",
    SIGNUP: "false",
    URLS: "https://c,https://d",
    SECRET: "s",
  };
  const { auth, warnings } = await readConfig(root, env);
  assert.deepEqual(warnings, []);
  assert.deepEqual(
    [auth.site_url, auth.jwt_expiry, auth.enable_signup, auth.additional_redirect_urls],
    ["https://a.b", 60, false, ["https://c", "https://d"]],
  );
  assert.equal(auth.sessions.timebox, 86_400_000);
  assert.equal(auth.external.github.secret, "s");
  assert.deepEqual(auth.email.template.invite, { subject: "Come in", content_path: "" });
});

test("a wrong value is named in one sentence", () => {
  const faults: [string, string][] = [
    ["[auth]\njwt_expiry = true", "auth.jwt_expiry must be a whole number"],
    ["[auth]\njwt_expiry = 604801", "auth.jwt_expiry must be at most 604800"],
    ["auth = 3", "auth must be a table"],
    ["[auth.email]\nmax_frequency = 'soon'", 'auth.email.max_frequency must be a duration, such as "30s"'],
    ["[auth]\nadditional_redirect_urls = [1]", "auth.additional_redirect_urls.0 must be a list of texts"],
    ["[auth]\nenable_signup = 'perhaps'", "auth.enable_signup must be true or false"],
    [
      "[auth]\nenable_signup = 'env(NOPE)'",
      "auth.enable_signup refers to NOPE, which is not set in the environment",
    ],
    [
      "[auth.external.github]\nenabled = true",
      "auth.external.github.client_id is needed when the provider is enabled",
    ],
  ];
  for (const [toml, fault] of faults) assert.equal(faultOf(toml), `supabase/config.toml: ${fault}.`);
  assert.match(faultOf("[api]\n[auth"), /^supabase\/config\.toml, line 2: .+\.$/);
});

test("an unknown setting, an unset variable and what is not supported are warned of", () => {
  const warned = (toml: string) =>
    parseConfig(toml).warnings.map((line) => line.replace("supabase/config.toml: ", ""));
  assert.deepEqual(warned("[auth]\nsite_urll = 'x'\n[auth.email]\nsender = 'y'"), [
    "auth.email.sender is not a known setting and is ignored.",
    "auth.site_urll is not a known setting and is ignored.",
  ]);
  assert.deepEqual(warned("[auth.external.nope]\nenabled = true\n[auth.external.apple]"), [
    "auth.external.nope is not a known setting and is ignored.",
  ]);
  assert.deepEqual(warned("[auth]\nsite_url = 'env(NOPE)'"), [
    "auth.site_url refers to NOPE, which is not set in the environment.",
  ]);
  assert.deepEqual(warned("[auth.captcha]\nenabled = true"), [
    "[auth.captcha] is enabled; this stack does not support it.",
  ]);
});

test("any text is read, or refused in one sentence", () => {
  const value = fc.oneof(fc.boolean(), fc.integer(), fc.json(), fc.string());
  fc.assert(
    fc.property(
      fc.constantFrom("auth", "auth.email", "auth.hook", "api"),
      fc.string(),
      value,
      (name, key, given) => {
        faultOf(`[${name}]\n${JSON.stringify(key)} = ${JSON.stringify(given)}`);
      },
    ),
    { numRuns: 200 },
  );
});

test("Go's durations are read in milliseconds; other texts are not", () => {
  const known: [string, number][] = [
    ["0", 0],
    ["5s", 5000],
    ["1h30m", 5_400_000],
    ["1m0.5s", 60_500],
    ["-2ms", -2],
    [".5s", 500],
  ];
  for (const [text, ms] of known) assert.equal(parseGoDuration(text), ms);
  for (const text of ["", "5", "s", "1 s", "1d", "1s x", "--1s", "."])
    assert.equal(parseGoDuration(text), undefined);
});
