// `launchpad init`, `apply`, `env` and `open`: the first commands of a new user, against the whole stack.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { openTerminal, type Terminal } from "../helpers/cli.ts";
import { eventually } from "../helpers/processes.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let owner: TestUser;
let mine: Terminal;
let theirs: Terminal;
let signedOut: Terminal;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  const [first, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  owner = first;
  [mine, theirs, signedOut] = await Promise.all([
    openTerminal(stack.info),
    openTerminal(stack.info),
    openTerminal(stack.info),
  ]);
  await Promise.all([mine.login(owner), theirs.login(other)]);
});
afterAll(async () => {
  await Promise.all([mine, theirs, signedOut].map((terminal) => terminal.remove()));
  await stack.stop();
});

const put = (name: string, text: string) => writeFile(join(mine.folder, name), text);
const ok = async (args: string[], options?: Parameters<Terminal["run"]>[1]) => {
  const ran = await mine.run(args, options);
  assert.equal(ran.code, 0, ran.stderr);
  return ran;
};

const definition = (bio: string, rest = "") => `agentName: applied
character: { name: Ada, bio: ${bio} }
resources: { memory: 256Mi, cpu: 250m }
${rest}`;

describe("init", () => {
  for (const template of ["basic", "tools", "public"])
    test(`the template ${template} is accepted by apply as it is`, async () => {
      await ok(["init", `${template}.yaml`, "--template", template]);
      const planned = await ok(["apply", "-f", `${template}.yaml`, "--dry-run", "--json"]);
      assert.equal(planned.json.name, template);
      const made = await ok(["apply", "-f", `${template}.yaml`, "--json"]);
      assert.equal(made.json.status, "QUEUED");
      assert.doesNotMatch(made.stderr, /Warning/);
      await ok(["delete", template, "--yes"]);
    });

  test("replaces no file, and says where the name comes from", async () => {
    await ok(["init", "support-bot.yaml"]);
    assert.match(await readFile(join(mine.folder, "support-bot.yaml"), "utf8"), /agentName: "support-bot"/);
    const again = await mine.run(["init", "support-bot.yaml"]);
    assert.equal(again.code, 7);
    assert.match(again.stderr, /exists already; name another file, or add --force/);
    assert.equal((await mine.run(["init", "a.json"])).code, 2);
    assert.match((await mine.run(["init", "no/such/folder.yaml"])).stderr, /there is no such folder/);
  });
});

test("a first answer without a key: sign up twice, init, apply, chat", async () => {
  const email = `first-day-${Date.now()}@example.com`;
  const signUp = ["--profile", "first", "login", "--sign-up", "--email", email, "--password-stdin"];
  await ok(signUp, { input: "a-long-password\n" });
  const again = await ok(signUp, { input: "a-long-password\n" });
  assert.match(again.stderr, /has an account already/);
  const wrong = await mine.run(signUp, { input: "another-password\n" });
  assert.notEqual(wrong.code, 0);
  await ok(["--profile", "first", "init", "first.yaml", "--framework", "echo"]);
  await ok(["--profile", "first", "apply", "-f", "first.yaml", "--wait"]);
  const deployed = await ok(["--profile", "first", "chat", "first", "Hello there"]);
  assert.match(deployed.stdout, /You said: Hello there/);
  assert.match(deployed.stdout, /built-in test model/);
  const { json: usage } = await ok(["--profile", "first", "usage", "--json"]);
  assert.equal(usage.total.costMicros, 0);
  await ok(["--profile", "first", "delete", "first", "--yes"]);
});

describe("apply", () => {
  test("creates by name, then changes the same agent, then does nothing", async () => {
    await put("a.yaml", definition("patient", "environment: { FIRST: one }"));
    const created = await ok(["apply", "-f", "a.yaml", "--wait", "--json"]);
    const { agentId } = created.json;
    assert.equal(created.json.status, "DEPLOYED");

    await put("a.yaml", definition("quick", "environment: { FIRST: one, SECOND: two }"));
    const asked = await mine.run(["apply", "-f", "a.yaml"]);
    assert.equal(asked.code, 2, "a script has to say --yes");
    assert.match(asked.stderr, /~ character\.bio: "patient" → "quick"/);
    assert.match(asked.stderr, /\+ environment\.SECOND \(secret\)/);
    assert.doesNotMatch(asked.stderr, /two/);
    const changed = await ok(["apply", "-f", "a.yaml", "--yes", "--wait", "--json"]);
    assert.equal(changed.json.agentId, agentId);

    const revisions = async () => (await ok(["revisions", "applied", "--json"])).json.revisions.length;
    assert.equal(await revisions(), 2);
    const same = await ok(["apply", "-f", "a.yaml"]);
    assert.match(same.stderr, /applied is as the file says/);
    assert.equal(await revisions(), 2, "nothing is rolled out");
    const { json } = await ok(["list", "--json"]);
    assert.equal(json.agents.filter(({ name }: { name: string }) => name === "applied").length, 1);
  });

  test("a secret with another value is rolled out, though its name is known", async () => {
    await put("a.yaml", definition("quick", "environment: { FIRST: changed, SECOND: two }"));
    const changed = await ok(["apply", "-f", "a.yaml", "--wait"]);
    assert.doesNotMatch(changed.stdout + changed.stderr, /changed: nothing/);
    const { json } = await ok(["revisions", "applied", "--json"]);
    assert.equal(json.revisions[0].revision, 3);
  });

  test("a wrong field is named with its line, and nothing is created", async () => {
    await put("b.yaml", "agentName: wrong\nresources:\n  memory: lots\n");
    const ran = await mine.run(["apply", "-f", "b.yaml"]);
    assert.equal(ran.code, 6);
    assert.match(ran.stderr, /b\.yaml:3 resources\.memory/);
    assert.equal((await mine.run(["status", "wrong"])).code, 5);
    await put("c.yaml", "character: { name: Ada, bio: x }\n");
    assert.match(
      (await mine.run(["apply", "-f", "c.yaml"])).stderr,
      /has no agentName; add one, or pass --name/,
    );
  });

  test("two agents of one name are refused with their ids", async () => {
    await put("twin.yaml", "agentName: twin\ncharacter: { name: T, bio: x }\n");
    const ids = [
      (await ok(["create", "-f", "twin.yaml", "--json"])).json.agentId,
      (await ok(["create", "-f", "twin.yaml", "--json"])).json.agentId,
    ];
    const ran = await mine.run(["apply", "-f", "twin.yaml", "--yes"]);
    assert.equal(ran.code, 7);
    for (const id of ids) assert.ok(ran.stderr.includes(id));
  });

  test("--watch applies each save and explains one that is wrong, until Ctrl-C", async () => {
    await put("w.yaml", "agentName: watched\ndescription: one\ncharacter: { name: W, bio: x }\n");
    const { child, done } = mine.start(["apply", "-f", "w.yaml", "--watch", "--yes"]);
    let said = "";
    child.stderr?.on("data", (text: string) => {
      said += text;
    });
    const saved = async (text: string, pattern: RegExp) => {
      await put("w.yaml", text);
      await eventually(`${pattern}`, () => pattern.test(said), 60_000);
    };
    await eventually("the watch begins", () => said.includes("Watching w.yaml"), 60_000);
    await saved("agentName: watched\ndescription: [\n", /w\.yaml:\d is not valid YAML/);
    await saved(
      "agentName: watched\ndescription: two\ncharacter: { name: W, bio: x }\n",
      /~ description: "one" → "two"/,
    );
    await eventually("the change arrives", async () => {
      const rows = await stack.sql("select 1 from agents where name = 'watched' and description = 'two'");
      return rows.length === 1;
    });
    child.kill("SIGINT");
    assert.equal((await done).code, 130);
  });

  test("another user's agent of the name is not seen; signed out and forged get nothing", async () => {
    await put("a.yaml", definition("quick"));
    const file = join(mine.folder, "a.yaml");
    const other = await theirs.run(["apply", "-f", file, "--dry-run", "--json"]);
    assert.equal(other.json.agentId, null, "it would be an agent of theirs");
    const stranger = await signedOut.run(["apply", "-f", file, "--yes"]);
    assert.equal(stranger.code, 3);
    const forged = await signedOut.run(["apply", "-f", file, "--yes"], {
      env: { LAUNCHPAD_TOKEN: forgedToken(owner) },
    });
    assert.equal(forged.code, 3);
  });
});

describe("env and open", () => {
  test("a shell has the project's address and key; with --token, whoever is signed in", async () => {
    const { stdout } = await ok(["env", "--token"]);
    const { stdout: values } = spawnSync(
      "sh",
      ["-c", `${stdout}\nprintf '%s %s %s' "$LAUNCHPAD_URL" "$LAUNCHPAD_KEY" "$LAUNCHPAD_TOKEN"`],
      { encoding: "utf8", env: {} },
    );
    const [url, key, token] = values.split(" ");
    assert.deepEqual([url, key], [stack.info.apiUrl, stack.info.publishableKey]);
    const me = await fetch(`${url}/auth/v1/user`, {
      headers: { apikey: key ?? "", authorization: `Bearer ${token}` },
    });
    assert.equal(((await me.json()) as { id: string }).id, owner.id);
    assert.equal((await signedOut.run(["env"])).code, 0, "address and key need no login");
    assert.equal((await signedOut.run(["env", "--token"])).code, 3);
  });

  test("open prints the address where no browser starts", async () => {
    const { stdout } = await ok(["open"], { env: { BROWSER: "" } });
    assert.equal(stdout, `${stack.info.apiUrl}\n`);
    const missing = await ok(["open"], { env: { BROWSER: "no-such-browser" } });
    assert.match(missing.stderr, /No browser could be started/);
    assert.equal((await mine.run(["open", "nothing-like-it"], { env: { BROWSER: "" } })).code, 5);
  });
});
