// `launchpad` beside a local stack, without any configuration; `launchpad doctor` on a project of which one thing at a time is broken.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { failed, openTerminal, type Ran, type Terminal } from "../helpers/cli.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

let provider: ProviderStub;
let terminal: Terminal;
let stack: TestStack;

beforeAll(async () => {
  provider = await startProviderStub();
  terminal = await openTerminal();
  stack = await startTestStack({ dataDir: join(terminal.folder, ".launchpad"), env: provider.environment });
  await stack.raiseRateLimits();
});
afterAll(async () => {
  await stack.stop();
  await terminal.remove();
  await provider.close();
});

const email = "me@example.com";
const signIn = (...more: string[]) =>
  terminal.run(["login", "--email", email, "--password-stdin", ...more], { input: "a-long-password" });

/** What doctor says of one check. */
const found = (ran: Ran, check: string) => {
  const finding = ran.json.findings.find((each: { check: string }) => each.check === check);
  assert.ok(finding, `${check} in ${ran.stdout}`);
  return finding as { state: string; message: string };
};
const doctor = (...args: string[]) => terminal.run(["doctor", "--json", ...args]);

describe("a folder with a running stack", () => {
  test("needs no configuration: sign up, and everything is there", async () => {
    failed(await terminal.run(["list"]), 3, new RegExp(`Not signed in at ${stack.info.apiUrl}`));
    const signedUp = await signIn("--sign-up");
    assert.equal(signedUp.code, 0, signedUp.stderr);
    const { json } = await terminal.run(["whoami", "--json"]);
    assert.deepEqual([json.user.email, json.project.url], [email, stack.info.apiUrl]);
    const credentials = await readFile(terminal.credentials, "utf8");
    assert.ok(!credentials.includes(stack.info.secretKey) && !credentials.includes(stack.info.dbUrl));
  });

  test("a definition answers a chat by messages, and the conversation goes on", async () => {
    const bundle = {
      format: "agent-launchpad/agent",
      version: 1,
      definition: { agentName: "defined", framework: "openai" },
    };
    const imported = await terminal.run(["import", "-", "--json"], {
      input: JSON.stringify(bundle),
    });
    assert.equal(imported.code, 0, imported.stderr);
    const first = await terminal.run(["chat", "defined", "hello", "--json"]);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.json.reply, /You said "hello" \(message 1\)/);
    const second = await terminal.run([
      "chat",
      "defined",
      "again",
      "--conversation",
      first.json.conversationId,
    ]);
    assert.match(second.stdout, /You said "again" \(message 2\)/);
  });
});

describe("doctor", () => {
  test("finds nothing wrong with a healthy project, and finds its database on its own", async () => {
    const ran = await doctor();
    assert.equal(ran.code, 0, ran.stdout);
    const states = Object.fromEntries(
      ran.json.findings.map((each: { check: string; state: string }) => [each.check, each.state]),
    );
    assert.deepEqual(states, {
      project: "ok",
      key: "ok",
      api: "ok",
      versions: "ok",
      login: "ok",
      health: "ok",
      controller: "ok",
      "row-level security": "ok",
      migrations: "ok",
      schema: existsSync(new URL("../../supabase/fingerprint.json", import.meta.url)) ? "ok" : "skipped",
      controllers: "ok",
      extensions: "ok",
      jobs: "ok",
      files: "ok",
      webhook: "ok",
      answers: "ok",
    });
    const text = await terminal.run(["doctor"]);
    assert.match(text.stdout, /^✔ project +http/);
    assert.ok(!text.stdout.includes("postgres://"));
  });

  test("from elsewhere what takes the database is skipped, not passed", async () => {
    const elsewhere = await openTerminal(stack.info);
    const ran = await elsewhere.run(["doctor", "--json"]);
    assert.equal(ran.code, 0, ran.stdout);
    assert.equal(found(ran, "login").state, "warning");
    for (const check of ["controller", "row-level security", "migrations", "webhook"])
      assert.equal(found(ran, check).state, "skipped", check);
    const inside = await elsewhere.run(["doctor", "--json", "--db-url", stack.info.dbUrl]);
    assert.equal(found(inside, "migrations").state, "ok");
    await elsewhere.remove();
  });

  /** Breaks something by SQL, looks, and repairs it. */
  const broken = async (
    breaking: string,
    repairing: string,
    check: string,
    says: RegExp,
    also: string[] = [],
  ) => {
    await stack.sql(breaking);
    try {
      const ran = await doctor();
      assert.equal(ran.code, 11, ran.stdout);
      const { state, message } = found(ran, check);
      assert.equal(state, "problem");
      assert.match(message, says);
      const others = ran.json.findings.filter(
        (each: { check: string; state: string }) =>
          each.state === "problem" && ![check, "schema", ...also].includes(each.check),
      );
      assert.deepEqual(others, [], "nothing else is blamed");
    } finally {
      await stack.sql(repairing);
    }
  };

  test("a missing migration", () =>
    broken(
      "update supabase_migrations.schema_migrations set version = 'x' || version where name = 'agent_launchpad'",
      "update supabase_migrations.schema_migrations set version = substr(version, 2) where version like 'x%'",
      "migrations",
      /1 of \d+ are missing \(\d+_agent_launchpad\); run `supabase db push`/,
    ));

  test("row-level security off", () =>
    broken(
      "alter table public.agents disable row level security",
      "alter table public.agents enable row level security",
      "row-level security",
      /off for agents/,
      ["health"], // the report of the database's health tells the same
    ));

  test("a job that is off", () =>
    broken(
      "select cron.alter_job(jobid, active := false) from cron.job where jobname = 'launchpad-sweep'",
      "select cron.alter_job(jobid, active := true) from cron.job where jobname = 'launchpad-sweep'",
      "jobs",
      /launchpad-sweep is off/,
    ));

  test("a silent controller", () =>
    broken(
      `create function private.mute() returns trigger language plpgsql as 'begin return null; end';
       update private.controllers set heartbeat_at = now() - interval '1 hour';
       create trigger mute before insert or update on private.controllers for each row execute function private.mute()`,
      "drop function private.mute() cascade; update private.controllers set heartbeat_at = now()",
      "controller",
      /No controller has reported lately/,
    ));

  const setSecret = (name: string, value: string) =>
    `select vault.update_secret(id, '${value}') from vault.secrets where name = '${name}'`;

  test("a controller that the database cannot reach, and another server in its place", async () => {
    const repaired = setSecret("launchpad_controller_url", stack.info.controllerUrl);
    const name = "launchpad_controller_url";
    await broken(
      setSecret(name, "http://127.0.0.1:1"),
      repaired,
      "webhook",
      /The database cannot reach http:\/\/127\.0\.0\.1:1/,
    );
    await broken(
      setSecret(name, `${stack.info.apiUrl}/nothing`),
      repaired,
      "webhook",
      /answers 404; is this the address/,
    );
  });

  test("a secret that the controller does not have", async () => {
    const { webhookSecret } = JSON.parse(
      await readFile(join(terminal.folder, ".launchpad/keys.json"), "utf8"),
    );
    const name = "launchpad_webhook_secret";
    await broken(
      setSecret(name, "another-secret-of-16"),
      setSecret(name, webhookSecret),
      "webhook",
      /rejected the signature: LAUNCHPAD_WEBHOOK_SECRET/,
    );
  });

  test("an empty Vault, and --fix", async () => {
    const { webhookSecret } = JSON.parse(
      await readFile(join(terminal.folder, ".launchpad/keys.json"), "utf8"),
    );
    await stack.sql(
      "delete from vault.secrets where name in ('launchpad_controller_url', 'launchpad_webhook_secret')",
    );
    const { state, message } = found(await doctor(), "webhook");
    assert.equal(state, "problem");
    assert.match(
      message,
      /no launchpad_controller_url and no launchpad_webhook_secret.*doctor --fix.*private\.connect_controller/,
    );

    failed(await terminal.run(["doctor", "--fix"]), 2, /--controller-url/);
    const fix = ["doctor", "--fix", "--json", "--controller-url", stack.info.controllerUrl];
    failed(
      await terminal.run(["doctor", "--fix", "--controller-url", "nonsense"]),
      6,
      /url: Must be an address/,
    );

    // Without a secret one is made and told once, to be given to the controller; it is in no later answer.
    const made = await terminal.run(fix);
    const secret = /LAUNCHPAD_WEBHOOK_SECRET=([0-9a-f]{64})/.exec(made.stderr)?.[1];
    assert.ok(secret, made.stderr);
    assert.ok(!made.stdout.includes(secret));
    assert.match(found(made, "webhook").message, /rejected the signature/);
    const again = await terminal.run(fix);
    assert.ok(!(again.stdout + again.stderr).includes(secret));

    const fixed = await terminal.run(fix, { env: { LAUNCHPAD_WEBHOOK_SECRET: webhookSecret } });
    assert.equal(fixed.code, 0, fixed.stdout);
    assert.equal(found(fixed, "webhook").state, "ok");
    assert.ok(!(fixed.stdout + fixed.stderr).includes(webhookSecret));
  });

  test("a wrong key, a wrong password of the database, a forged login, nobody there", async () => {
    const wrongKey = await doctor("--key", "sb_publishable_wrong");
    assert.equal(wrongKey.code, 11);
    assert.match(found(wrongKey, "key").message, /not one of this project/);

    const { host } = new URL(stack.info.dbUrl);
    const wrongPassword = await doctor(
      "--db-url",
      `postgres://postgres:wrong@${host}/postgres?sslmode=disable`,
    );
    assert.equal(wrongPassword.code, 11);
    assert.match(found(wrongPassword, "database").message, /password is wrong/);

    const { access_token: token } = JSON.parse(await readFile(terminal.credentials, "utf8")).profiles.default
      .session;
    const forged = `${token.split(".").slice(0, 2).join(".")}.${Buffer.from("not the right signature, 32 bytes").toString("base64url")}`;
    const ran = await terminal.run(["doctor", "--json"], { env: { LAUNCHPAD_TOKEN: forged } });
    assert.equal(ran.code, 11);
    assert.match(found(ran, "login").message, /LAUNCHPAD_TOKEN is not valid/);

    const offline = await doctor("--url", "http://127.0.0.1:1", "--key", "sb_publishable_x");
    assert.equal(offline.code, 11);
    assert.match(found(offline, "project").message, /cannot be reached/);
  });
});

test("when the stack has stopped, the program says how to start it", async () => {
  const closed = once(stack.process ?? assert.fail("the stack is this test's own"), "close");
  stack.process?.kill("SIGINT");
  await closed;
  failed(await terminal.run(["list"]), 9, /cannot be reached \(.+\); start the stack with `npm start`/);
});
