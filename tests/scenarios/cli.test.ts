// `launchpad`, the real program as a child process, against the whole stack.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { forgedToken, launched, reached } from "../helpers/agents.ts";
import { failed, openTerminal, shows, type Terminal } from "../helpers/cli.ts";
import { eventually } from "../helpers/processes.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startRegistry } from "../helpers/registry.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
/** An npm registry that has no package. */
let registry: Awaited<ReturnType<typeof startRegistry>>;
let owner: TestUser;
let other: TestUser;
/** The owner's, the other user's, and one that nobody is signed in at. */
let mine: Terminal;
let theirs: Terminal;
let nobodys: Terminal;
let provider: ProviderStub;

beforeAll(async () => {
  registry = await startRegistry(null, []);
  stack = await startTestStack({ env: { npm_config_registry: registry.url } });
  await stack.raiseRateLimits();
  await stack.sql("insert into private.plugin_rules (pattern) values ('no-such-plugin-of-anyone')");
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  [mine, theirs, nobodys] = await Promise.all([
    openTerminal(stack.info),
    openTerminal(stack.info),
    openTerminal(stack.info),
  ]);
  await Promise.all([mine.login(owner), theirs.login(other)]);
  provider = await startProviderStub();
});
afterAll(async () => {
  await provider.close();
  await Promise.all([mine, theirs, nobodys].map((terminal) => terminal.remove()));
  await stack.stop();
  await registry[Symbol.asyncDispose]();
});

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for
const ESCAPE = /\u001b/;

/** Writes a file into the owner's working directory. */
const put = async (name: string, text: string) => {
  await writeFile(join(mine.folder, name), text);
  return name;
};
const ok = async (args: string[], options?: Parameters<Terminal["run"]>[1]) => {
  const ran = await mine.run(args, options);
  assert.equal(ran.code, 0, ran.stderr);
  return ran;
};

describe("login", () => {
  test("by password: a file of this user alone; whoami tells who, where and what for", async () => {
    assert.equal((await stat(mine.credentials)).mode & 0o777, 0o600);
    const { json } = await ok(["whoami", "--json"]);
    assert.deepEqual(json.user, { id: owner.id, email: owner.email });
    assert.deepEqual(json.permissions, ["agents:read", "agents:write", "monitoring:read"]);
    assert.equal(json.project.url, stack.info.apiUrl);
    assert.match((await ok(["whoami"])).stdout, new RegExp(owner.email));
  });

  test("a new account, a second profile, and logout", async () => {
    const email = `cli-${randomUUID()}@example.com`;
    const args = ["--profile", "second", "login", "--email", email, "--password-stdin"];
    await ok([...args, "--sign-up"], { input: "a-long-password\n" });
    assert.equal((await ok(["--profile", "second", "whoami", "--json"])).json.user.email, email);
    assert.equal(
      (await ok(["whoami", "--json"], { env: { LAUNCHPAD_PROFILE: "second" } })).json.user.email,
      email,
    );
    assert.equal((await ok(["whoami", "--json"])).json.user.email, owner.email);
    failed(await mine.run([...args, "--sign-up"], { input: "another-password" }), 7, /has an account/);
    await ok(["--profile", "second", "logout"]);
    failed(await mine.run(["--profile", "second", "whoami"]), 3, /Not signed in .*launchpad login/);
  });

  test("by magic link: code and link of the mailbox both sign in, once", async () => {
    for (const pick of [/code: (\d{6})/, /(https?:\/\/\S+\/verify\?\S+)/]) {
      const { stderr } = await nobodys.run(["login", "--magic-link", "--email", owner.email]);
      assert.match(stderr, /\/mailbox/);
      const mails = (await (await stack.fetch("/mailbox.json", { key: stack.info.secretKey })).json()) as {
        to: string;
        text: string;
      }[];
      const code = pick.exec(mails.find(({ to }) => to === owner.email)?.text ?? "")?.[1];
      assert.ok(code, JSON.stringify(mails[0]));
      const args = ["login", "--email", owner.email, "--code", code];
      const { code: exit, stderr: said } = await nobodys.run(args);
      assert.equal(exit, 0, said);
      assert.equal((await nobodys.run(["whoami", "--json"])).json.user.id, owner.id);
      assert.notEqual((await nobodys.run(args)).code, 0, "a code works once");
      await nobodys.run(["logout"]);
    }
  });

  test("by token: of stdin, kept without renewal; of LAUNCHPAD_TOKEN, kept nowhere", async () => {
    await ok(["--profile", "token", "login", "--token-stdin"], { input: `${owner.token}\n` });
    assert.equal((await ok(["--profile", "token", "whoami", "--json"])).json.user.id, owner.id);
    const { profiles } = JSON.parse(await readFile(mine.credentials, "utf8"));
    assert.equal(profiles.token.session.refresh_token, "");
    const before = await readFile(mine.credentials, "utf8");
    const { json } = await ok(["whoami", "--json"], { env: { LAUNCHPAD_TOKEN: other.token } });
    assert.equal(json.user.id, other.id);
    assert.equal(await readFile(mine.credentials, "utf8"), before);
  });

  test("what is wrong is told in one sentence", async () => {
    const password = ["login", "--email", owner.email, "--password-stdin"];
    failed(await nobodys.run(password, { input: "wrong-password" }), 3, /password is wrong/);
    failed(await nobodys.run(["login"]), 2, /--password-stdin/);
    failed(await nobodys.run(["login", "--email", owner.email, "--code", "000000"]), 3, /ask for another/);
    failed(
      await nobodys.run(["login", "--token-stdin"], { input: forgedToken(owner) }),
      3,
      /does not accept this token/,
    );
    failed(
      await nobodys.run(["login", "--token-stdin"], { input: "nonsense" }),
      3,
      /not a user's access token/,
    );
    failed(await nobodys.run([...password, "--token-stdin"], { input: "x" }), 2, /Choose one/);
    failed(await nobodys.run(["list", "--key", stack.info.secretKey]), 2, /secret key/);
  });
});

describe("sessions", () => {
  /** Sets the end of the owner's session in the file. */
  const setExpiry = async (terminal: Terminal, seconds: number) => {
    const credentials = JSON.parse(await readFile(terminal.credentials, "utf8"));
    credentials.profiles.default.session.expires_at = Math.floor(Date.now() / 1000) + seconds;
    await writeFile(terminal.credentials, JSON.stringify(credentials));
    return credentials.profiles.default.session;
  };

  test("one that ends soon is renewed and saved, also by five processes at once", async () => {
    const old = await setExpiry(mine, 30);
    const runs = await Promise.all(Array.from({ length: 5 }, () => mine.run(["whoami", "--json"])));
    for (const { code, stderr } of runs) assert.equal(code, 0, stderr);
    const { session } = JSON.parse(await readFile(mine.credentials, "utf8")).profiles.default;
    assert.notEqual(session.refresh_token, old.refresh_token);
    assert.equal((await stat(mine.credentials)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(mine.credentials, "..")), ["credentials.json"]);
    await ok(["list"]);
  });

  test("one that cannot be renewed, and a token that has ended, ask for a login", async () => {
    const terminal = await openTerminal(stack.info);
    await terminal.login(other);
    await setExpiry(terminal, -10);
    const credentials = JSON.parse(await readFile(terminal.credentials, "utf8"));
    credentials.profiles.default.session.refresh_token = "not-a-token-of-anyone";
    await writeFile(terminal.credentials, JSON.stringify(credentials));
    failed(await terminal.run(["list"]), 3, /login has expired; sign in with `launchpad login`/);
    credentials.profiles.default.session.refresh_token = "";
    await writeFile(terminal.credentials, JSON.stringify(credentials));
    failed(await terminal.run(["list"]), 3, /login has expired/);
    await terminal.remove();
  });

  test("a file that others can read is warned of", async () => {
    await chmod(mine.credentials, 0o644);
    assert.match((await ok(["list"])).stderr, /warning: .*credentials\.json can be read by other accounts/);
    await chmod(mine.credentials, 0o600);
  });
});

describe("the life of an agent", () => {
  let agentId: string;
  const name = `cli-${randomUUID().slice(0, 8)}`;

  test("create -f agent.yaml --wait: progress on stderr, the state on stdout", async () => {
    const file = await put(
      "agent.yaml",
      `agentName: ${name}\ncharacter:\n  name: Ada\nresources: { memory: 256Mi, cpu: 100m }\n`,
    );
    await put(".env", `OPENAI_API_KEY=sk-test\nOPENAI_BASE_URL=${provider.environment.OPENAI_BASE_URL}\n`);
    const { stdout, stderr } = await ok(["create", "-f", file, "--env-file", ".env", "--wait"]);
    assert.match(stderr, /Deploying agent-\w+\.\nAgent created\n(.*\n)*.*DEPLOYED\n/);
    assert.match(stdout, /Status +DEPLOYED\n[\s\S]*Replicas +1 of 1 ready/);
    agentId = /\((agent-[a-z0-9]+)\)/.exec(stdout)?.[1] ?? "";
    assert.ok(agentId);
  });

  test("create -f agent.json --json, and from stdin", async () => {
    const definition = JSON.stringify({
      agentName: `${name}-json`,
      resources: { memory: "256Mi", cpu: "100m" },
    });
    const { json } = await ok(["create", "-f", await put("agent.json", definition), "--json"]);
    assert.equal(json.status, "QUEUED");
    await reached(stack, json.agentId, "DEPLOYED");
    await ok(["delete", json.agentId, "--yes", "--wait"]);
    const { json: second } = await ok(["agents", "create", "-f", "-", "--name", `${name}-stdin`, "--json"], {
      input: definition,
    });
    assert.equal((await ok(["agents", "status", `${name}-stdin`, "--json"])).json.agentId, second.agentId);
    await ok(["delete", `${name}-stdin`, "--yes"]);
  });

  test("list and status, by name and by id; piped without colour", async () => {
    const list = await ok(["list"]);
    assert.match(list.stdout, /^NAME +ID +STATUS/);
    assert.match(list.stdout, new RegExp(`${name} +${agentId} +DEPLOYED`));
    assert.doesNotMatch(list.stdout + list.stderr, ESCAPE);
    assert.match((await ok(["list"], { env: { FORCE_COLOR: "1" } })).stdout, ESCAPE);
    assert.doesNotMatch((await ok(["list", "--no-color"], { env: { FORCE_COLOR: "1" } })).stdout, ESCAPE);
    assert.doesNotMatch((await ok(["list"], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } })).stdout, ESCAPE);
    const { json } = await ok(["list", "--status", "deployed", "--all", "--json"]);
    assert.ok(json.agents.every(({ status }: { status: string }) => status === "DEPLOYED"));
    assert.deepEqual([json.total, json.nextCursor], [json.agents.length, null]);
    const { json: events } = await ok(["security", "events", "--all", "--json"]);
    assert.deepEqual([events.total, events.nextCursor], [events.events.length, null]);
    const { json: revisions } = await ok(["revisions", agentId, "--all", "--json"]);
    assert.equal(revisions.total, revisions.revisions.length);
    assert.equal((await ok(["status", name, "--json"])).json.agentId, agentId);
    assert.equal((await ok(["status", agentId, "--watch", "--json"])).json.status, "DEPLOYED");
    failed(await mine.run(["list", "--status", "dreaming"]), 6, /status: Must be one of/);
  });

  test("chat at its own address; the conversation goes on", async () => {
    const { json } = await ok(["chat", agentId, "good", "morning", "--json"]);
    assert.match(json.reply, /You said "good morning" \(message 1\)/);
    await eventually("the trace is kept", async () => {
      const { json: trace } = await ok(["trace", json.messageId, "--json"]);
      return trace.steps.length > 0;
    });
    assert.match(
      (await ok(["trace", json.messageId])).stdout,
      /AT +STEP +NAME.*\n *\+0\.00s +model +\S+ +ok +[\d.]+s +\d+ in, \d+ out/,
    );
    failed(await mine.run(["trace", "my-bot"]), 2, /Pass the id of a message/);
    failed(
      await mine.run(["trace", crypto.randomUUID()]),
      5,
      /No steps found: you have no answer with this id/,
    );
    const second = await ok(["chat", name, "--conversation", json.conversationId], { input: "and again" });
    assert.match(second.stdout, /You said "and again" \(message 2\)\n/);
    failed(await mine.run(["chat", name], { input: "" }), 2, /Say something/);
  });

  test("logs, as text and JSON; metrics", async () => {
    const { stdout } = await ok(["logs", name, "-n", "20"]);
    assert.match(stdout, /^\d{4}-.*Z (INFO|WARN|DEBUG|ERROR) +\S+ .+/);
    const { json } = await ok(["logs", name, "--level", "info", "--json"]);
    assert.ok(json.logs.length > 0 && json.logs.every(({ level }: { level: string }) => level === "INFO"));
    failed(await mine.run(["logs", name, "--since", "yesterday"]), 6, /since: Must be a duration/);
    const metrics = await ok(["metrics", name]);
    assert.match(metrics.stdout, /CPU[\s\S]*Memory[\s\S]*Requests/);
    assert.equal((await ok(["metrics", name, "--json"])).json.agentId, agentId);
  });

  test("logs -f shows what comes, and Ctrl-C ends it with 130 and nothing on stderr", async () => {
    const following = mine.start(["logs", name, "-f", "-n", "1", "--json"]);
    await shows(following, /\n/);
    const text = `line-${randomUUID()}`;
    await stack.sql(
      `insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, replica, sequence)
       values ($1, $2, now(), 'INFO', $3, 'test', 'replica-of-test', 1)`,
      [agentId, owner.id, text],
    );
    await shows(following, new RegExp(text));
    following.child.kill("SIGINT");
    const { code, stdout, stderr } = await following.done;
    assert.deepEqual([code, stderr], [130, ""]);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(lines.filter(({ message }) => message === text).length, 1);
  });

  test("scale, restart, stop and start, each waited for", async () => {
    assert.match((await ok(["scale", name, "2", "--max", "3", "--wait"])).stdout, /Replicas +2 of 2 ready/);
    assert.equal((await ok(["scale", name, "1", "--json"])).json.targetReplicas, 1);
    assert.match((await ok(["restart", name, "--wait"])).stdout, /Status +DEPLOYED/);
    assert.match((await ok(["stop", name, "--wait"])).stdout, /Status +STOPPED/);
    assert.match((await ok(["stop", name])).stdout, /already/);
    assert.match((await ok(["scale", name, "1"])).stderr, /launchpad start agent-/);
    failed(await mine.run(["scale", name, "many"]), 2, /whole number/);
    assert.match((await ok(["start", name, "--wait"])).stdout, /Status +DEPLOYED/);
  });

  test("sleep and wake, each waited for; status says since when and why", async () => {
    const asleep = (await ok(["sleep", name, "--wait"])).stdout;
    assert.match(asleep, /Status +ASLEEP/);
    assert.match(asleep, /Sleep +asleep, requested /);
    assert.match((await ok(["sleep", name])).stdout, /already/);
    assert.match((await ok(["status", name])).stdout, /Status +ASLEEP/);
    assert.match((await ok(["wake", name, "--wait"])).stdout, /Status +DEPLOYED/);
    assert.match((await ok(["wake", name])).stdout, /already/);
  });

  test("update, revisions and rollback", async () => {
    const file = await put("change.yaml", "system_prompt: You answer in one word.\n");
    const { json } = await ok(["update", name, "-f", file, "--json"]);
    assert.match(json.message, /^changed: /);
    await ok(["status", name, "--watch"]);
    const { json: list } = await ok(["revisions", name, "--json"]);
    assert.ok(list.total >= 2);
    assert.match((await ok(["revisions", name])).stdout, /\(current\)/);
    assert.match((await ok(["rollback", name, "1", "--wait"])).stdout, /Status +DEPLOYED/);
    failed(await mine.run(["rollback", name, "999"]), 5, /evision/);
  });

  test("secrets: set by argument, stdin and file; listed by name; removed", async () => {
    const value = `value-${randomUUID()}`;
    await ok(["secrets", "set", name, `ONE=${value}`]);
    await ok(["secrets", "set", name, "TWO"], { input: `${value}\n` });
    await ok(["secrets", "set", name, "--env-file", await put("more.env", `THREE=${value}\n`)]);
    const list = await ok(["secrets", "list", name, "--json"]);
    const names = list.json.secrets.map((secret: { name: string }) => secret.name);
    for (const each of ["ONE", "TWO", "THREE"]) assert.ok(names.includes(each));
    assert.ok(!list.stdout.includes(value));
    await ok(["secrets", "unset", name, "ONE", "TWO"]);
    assert.doesNotMatch((await ok(["secrets", "list", name])).stdout, /^(ONE|TWO) /m);
    failed(await mine.run(["secrets", "unset", name, "ONE"]), 5, /no secret ONE/);
    failed(await mine.run(["secrets", "set", name, "1BAD=x"]), 6, /1BAD/);
    failed(await mine.run(["secrets", "set", "--account", "EMPTY="]), 6, /unset/);
    await ok(["secrets", "set", "--account", `ACCOUNT_KEY=${value}`]);
    assert.match((await ok(["secrets", "list", "--account"])).stdout, /ACCOUNT_KEY +1/);
    await ok(["secrets", "unset", "--account", "ACCOUNT_KEY"]);
    failed(await mine.run(["secrets", "unset", "--account", "ACCOUNT_KEY"]), 5, /No secret of yours/);
  });

  test("scan: the findings, and exit code 11 where it does not pass", async () => {
    const { code, stdout } = await mine.run(["scan", name]);
    const passed = /Passed +(yes|no)/.exec(stdout)?.[1];
    assert.equal(code, passed === "yes" ? 0 : 11);
    const { json } = await mine.run(["scan", name, "--json"]);
    assert.equal(json.agentId, agentId);
    assert.equal(json.results.passed, passed === "yes");
  });

  test("security events, listed and followed", async () => {
    const { json } = await ok(["security", "events", "--type", "security_scan", "--json"]);
    assert.ok(json.events.some((event: { agent_id: string }) => event.agent_id === agentId));
    assert.match((await ok(["security", "events", "--limit", "5"])).stdout, /^TIME +SEVERITY +TYPE/);
    const following = mine.start(["security", "events", "-f", "--limit", "1", "--json"]);
    await shows(following, /\n/);
    const unknown = `agent-${randomUUID().replaceAll("-", "").slice(0, 12)}`;
    await mine.run(["status", unknown]);
    await shows(
      following,
      new RegExp(`AGENT_ACCESS_DENIED[^\n]*${unknown}|${unknown}[^\n]*AGENT_ACCESS_DENIED`),
    );
    following.child.kill("SIGINT");
    assert.equal((await following.done).code, 130);
  });

  test("a deployment that fails ends with 10 and its reason", async () => {
    const file = await put(
      "plugin.yaml",
      `agentName: ${name}-plugin\nplugins: [no-such-plugin-of-anyone]\nresources: { memory: 256Mi, cpu: 100m }\n`,
    );
    const { code, stdout } = await mine.run(["create", "-f", file, "--wait"]);
    assert.equal(code, 10);
    assert.match(stdout, /Status +FAILED\nReason +PLUGIN_NOT_FOUND: .*no-such-plugin-of-anyone/);
    assert.equal((await mine.run(["status", `${name}-plugin`, "--watch"])).code, 10);
    await ok(["delete", `${name}-plugin`, "-y"]);
  });

  test("export and import: with files, without secrets; another user may take it over", async () => {
    const { error } = await owner.client.storage
      .from("agent-assets")
      .upload(`${agentId}/notes/read me.txt`, Buffer.from("a file"), { contentType: "text/plain" });
    assert.equal(error, null);
    failed(await mine.run(["export", name, "-o", "bot.json"]), 2, /\.tar\.gz/);
    await ok(["export", name, "-o", "bot.tar.gz"]);
    assert.equal((await stat(join(mine.folder, "bot.tar.gz"))).mode & 0o777, 0o600);
    failed(await mine.run(["export", name, "-o", "bot.tar.gz"]), 7, /--force/);
    const { stdout } = await ok(["export", name, "-o", "-", "--no-assets"]);
    assert.ok(!stdout.includes("sk-test"));
    assert.ok(JSON.parse(stdout).secrets.includes("OPENAI_API_KEY"));

    const imported = await theirs.run([
      "import",
      join(mine.folder, "bot.tar.gz"),
      "--name",
      "taken-over",
      "--json",
    ]);
    assert.equal(imported.code, 0, imported.stderr);
    assert.equal(imported.json.uploadedAssets, 1);
    assert.ok(imported.json.missingSecrets.includes("OPENAI_API_KEY"));
    const { data } = await other.client.storage
      .from("agent-assets")
      .download(`${imported.json.agentId}/notes/read me.txt`);
    assert.equal(await data?.text(), "a file");
    assert.equal((await theirs.run(["status", "taken-over", "--json"])).json.status, "IDLE");
    assert.equal(imported.stderr, "");
    const twice = await theirs.run(["import", join(mine.folder, "bot.tar.gz"), "--name", "taken-over"]);
    assert.equal(twice.code, 0, twice.stderr);
    assert.match(twice.stderr, new RegExp(`another agent .*"taken-over".*${imported.json.agentId}`));

    const wrong = await put(
      "wrong.json",
      JSON.stringify({ ...JSON.parse(stdout), version: 2, definition: { agentName: "" } }, null, 2),
    );
    failed(await mine.run(["import", wrong]), 6, /wrong\.json:\d+ version: Must be 1/);
    failed(await mine.run(["import", await put("not.tar.gz", "no archive")]), 6, /is not valid JSON/);
    await writeFile(
      join(mine.folder, "half.tar.gz"),
      (await readFile(join(mine.folder, "bot.tar.gz"))).subarray(0, 60),
    );
    failed(await mine.run(["import", "half.tar.gz"]), 6, /is damaged/);
  });

  test("delete asks, and without a terminal wants --yes; then the agent is gone", async () => {
    failed(await mine.run(["delete", name]), 2, /--yes/);
    assert.equal((await ok(["status", name, "--json"])).json.agentId, agentId);
    assert.match((await ok(["delete", name, "--yes", "--wait"])).stdout, /Status +DELETED/);
    failed(await mine.run(["status", name]), 5, /launchpad list/);
  });
});

describe("whose agents", () => {
  let agentId: string;
  beforeAll(async () => {
    agentId = await launched(stack, owner);
  });

  test("another user, a forged token and nobody get nothing, whatever the command", async () => {
    const file = await put("x.yaml", "description: mine now\n");
    await writeFile(join(theirs.folder, "x.yaml"), "description: mine now\n");
    for (const args of [
      ["status", agentId],
      ["logs", agentId],
      ["logs", agentId, "-f"],
      ["metrics", agentId],
      ["revisions", agentId],
      ["update", agentId, "-f", file],
      ["scale", agentId, "2"],
      ["restart", agentId],
      ["stop", agentId],
      ["start", agentId],
      ["deploy", agentId],
      ["rollback", agentId],
      ["delete", agentId, "--yes"],
      ["chat", agentId, "hello"],
      ["secrets", "list", agentId],
      ["secrets", "set", agentId, "A=b"],
      ["secrets", "unset", agentId, "A"],
      ["scan", agentId],
      ["export", agentId],
    ]) {
      failed(await theirs.run(args), 5, /not found or access denied/);
    }
    for (const args of [
      ["status", agentId],
      ["list"],
      ["whoami"],
      ["security", "events"],
      ["secrets", "list", "--account"],
    ]) {
      failed(
        await mine.run(args, { env: { LAUNCHPAD_TOKEN: forgedToken(owner) } }),
        3,
        /LAUNCHPAD_TOKEN is not valid/,
      );
      failed(await nobodys.run(args), 3, /Not signed in/);
    }
    assert.equal((await ok(["status", agentId, "--json"])).json.status, "DEPLOYED");
  });

  test("a name is looked up among the caller's agents alone; one that several have is refused", async () => {
    failed(await theirs.run(["status", "test-agent"]), 5, /No agent of yours/);
    await ok(["status", "test-agent"]);
    const second = await launched(stack, owner);
    failed(
      await mine.run(["status", "test-agent"]),
      2,
      new RegExp(`2 agents are called "test-agent".*${second}`),
    );
    await ok(["delete", second, "-y"]);
  });

  test("without a model key a chat says what is missing, deployed or not", async () => {
    failed(
      await mine.run(["chat", agentId, "hello"]),
      10,
      /No model key.* Set one with `launchpad secrets set \S+ OPENAI_API_KEY`/,
    );
    const { data } = await owner.client
      .from("agents")
      .insert({ name: "defined", framework: "openai" })
      .select()
      .single();
    failed(
      await mine.run(["chat", data.id, "hello"]),
      10,
      /key.* Set one with `launchpad secrets set [0-9a-f-]{36} OPENAI_API_KEY`/,
    );
    await ok(["delete", data.id, "-y"]);
  });
});

describe("bad input", () => {
  test("every wrong field is named with its line; --json tells the same to programs", async () => {
    const file = await put(
      "bad.yaml",
      'agentName: ""\nplugins:\n  - fine\n  - Not A Package\nresources:\n  cpu: huge\nnonsense: 1\n',
    );
    const ran = await mine.run(["create", "-f", file]);
    failed(ran, 6, /The definition has 4 wrong fields\./);
    assert.deepEqual(
      ran.stderr
        .split("\n")
        .slice(1, -1)
        .map((line) => line.trim().split(":").slice(0, 3).join(":").replace(/: .*/, "")),
      ["bad.yaml:1 agentName", "bad.yaml:4 plugins.1", "bad.yaml:6 resources.cpu", "bad.yaml:7 nonsense"],
    );
    const { code, stderr, stdout } = await mine.run(["create", "-f", file, "--json"]);
    const { error } = JSON.parse(stderr);
    assert.deepEqual([code, stdout, error.code, error.exitCode], [6, "", "VALIDATION_ERROR", 6]);
    assert.equal(error.locations["resources.cpu"], "bad.yaml:6");
  });

  test("a wrong file", async () => {
    failed(
      await mine.run(["create", "-f", "none.yaml"]),
      6,
      /none\.yaml cannot be read: there is no such file/,
    );
    failed(await mine.run(["create", "-f", "."]), 6, /it is a folder/);
    failed(
      await mine.run(["create", "-f", await put("broken.json", '{\n "a": 1\n "b": 2\n}')]),
      6,
      /broken\.json:3 is not valid JSON/,
    );
    failed(
      await mine.run(["create", "-f", await put("list.yaml", "- a\n")]),
      6,
      /does not describe an agent/,
    );
  });

  test("offline: the address and what to do; the stack only with --debug", async () => {
    const offline = ["--url", "http://127.0.0.1:1", "--key", "sb_publishable_x"];
    const env = { LAUNCHPAD_TOKEN: owner.token };
    failed(
      await mine.run([...offline, "list"], { env }),
      9,
      /127\.0\.0\.1:1 cannot be reached \(.+\); start the stack with `npm start`/,
    );
    failed(
      await mine.run([...offline, "login", "--email", "a@example.com", "--password-stdin"], { input: "x" }),
      9,
      /cannot be reached/,
    );
    failed(
      await mine.run(["--url", "https://none.invalid", "--key", "k", "list"], { env }),
      9,
      /none\.invalid cannot be reached/,
    );
    failed(
      await mine.run([...offline, "status", "by-its-name"], { env }),
      9,
      /127\.0\.0\.1:1 cannot be reached \(.+\); start the stack with `npm start`/,
    );
    assert.match((await mine.run([...offline, "list", "--debug"], { env })).stderr, /\n +at /);
  });

  test("a wrong key, a wrong server, no project", async () => {
    failed(await mine.run(["list", "--key", "sb_publishable_wrong"]), 3, /key is not one of/);
    failed(
      await nobodys.run(
        ["login", "--email", "a@example.com", "--password-stdin", "--key", "sb_publishable_wrong"],
        { input: "x" },
      ),
      3,
      /key is not one of/,
    );
    const server = createServer((_, response) => response.end("<html>hello</html>")).listen(0, "127.0.0.1");
    try {
      await new Promise((resolve) => server.once("listening", resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      failed(
        await mine.run(["--url", url, "--key", "k", "list"], { env: { LAUNCHPAD_TOKEN: owner.token } }),
        1,
        /does not answer as Agent Launchpad does/,
      );
    } finally {
      server.close();
      server.closeAllConnections();
    }
    failed(await mine.run(["list", "--url", "nonsense"]), 2, /must be an address/);
    const fresh = await openTerminal();
    failed(await fresh.run(["list"]), 2, /No project is known here/);
    await fresh.remove();
  });

  test("a wrong command line", async () => {
    for (const args of [
      ["nope"],
      ["statsu"],
      ["status"],
      ["list", "--nope"],
      ["logs", "x", "--level", "loud"],
      ["scale", "x", "-1"],
      ["create"],
    ]) {
      const { code, stdout, stderr } = await mine.run(args);
      assert.deepEqual([code, stdout], [2, ""], `${args}: ${stderr}`);
      assert.match(stderr, /^error: .* Add `--help` to see the usage\.\n$/);
    }
    const { stderr: number } = await mine.run(["scale", "x", "two"]);
    assert.match(number, /^error: replicas must be a whole number, got "two"\. /);
    const { stderr: option } = await mine.run(["fleet", "list", "--limit", "many"]);
    assert.match(option, /^error: --limit must be a whole number.*, got "many"\. /);
    assert.equal((await mine.run([])).code, 2);
    assert.equal((await mine.run(["completion", "tcsh"])).code, 2);
  });

  test("a damaged file of logins", async () => {
    const text = await readFile(mine.credentials, "utf8");
    await writeFile(mine.credentials, text.slice(0, 40));
    failed(await mine.run(["list"]), 2, /is damaged; delete it and sign in again/);
    await writeFile(mine.credentials, text);
  });
});

describe("in a pipe", () => {
  test("a reader that has seen enough is no error", async () => {
    const { child, done } = mine.start(["--help"]);
    child.stdout?.destroy();
    const { code, stderr } = await done;
    assert.deepEqual([code, stderr], [0, ""]);
  });

  test("help and version go to stdout with 0, completion asks the program", async () => {
    assert.match((await ok(["--help"])).stdout, /^Usage: launchpad/);
    assert.match((await ok(["secrets", "set", "--help"])).stdout, /--env-file/);
    assert.match((await ok(["--version"])).stdout, /^\d+\.\d+\.\d+\n$/);
    assert.match((await ok(["completion", "bash"])).stdout, /complete .*launchpad/);
    assert.match((await ok(["__complete", "sec"])).stdout, /^secrets\t/);
    assert.equal((await ok(["__complete", "create", "-f", ""])).stdout, ":files\n");
  });
});
