// `launchpad fleet` as an operator runs it, against the whole stack.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { failed, openTerminal, type Terminal } from "../helpers/cli.ts";
import { runMarked } from "../helpers/doc-blocks.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let terminal: Terminal;
let user: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  user = await stack.createUser();
  terminal = await openTerminal(stack.info);
});
afterAll(async () => {
  await operate("release");
  await terminal.remove();
  await stack.stop();
});

const operate = (...args: string[]) =>
  terminal.run(["fleet", ...args, "--json"], { env: { LAUNCHPAD_SECRET_KEY: stack.info.secretKey } });

/** What the blocks of an operator's page need: the commands on the path, this stack, and its secret key. */
const shell = (replace: Record<string, string>) => ({
  cwd: terminal.folder,
  env: {
    PATH: `${join(import.meta.dirname, "../../node_modules/.bin")}:${process.env.PATH}`,
    HOME: terminal.folder,
    LAUNCHPAD_URL: stack.info.apiUrl,
    LAUNCHPAD_KEY: stack.info.publishableKey,
  },
  replace: { "sb_secret_…": stack.info.secretKey, ...replace },
  timeoutMs: 60_000,
});

test("status names the database and the living controller; people get a table", async () => {
  const { code, json, stderr } = await operate("status");
  assert.equal(code, 0, stderr);
  assert.match(json.installation, /^[0-9a-f-]{36}$/);
  assert.ok(json.controllers.some(({ alive }: { alive: boolean }) => alive));
  const env = { LAUNCHPAD_SECRET_KEY: stack.info.secretKey };
  const shown = await terminal.run(["fleet", "status"], { env });
  assert.match(shown.stdout, /^Database +[0-9a-f-]{36}$/m);
  assert.match(shown.stdout, /^controller-[0-9a-f]{12} +yes/m);
});

test("hold and release are seen by whoever asks next", async () => {
  assert.equal((await operate("hold", "--reason", "a test")).json.hold, "removals");
  const held = (await operate("status")).json;
  assert.deepEqual([held.hold, held.holdReason, held.actions[0].action], ["removals", "a test", "hold"]);
  assert.equal((await operate("release")).json.hold, null);
  const released = (await operate("release", "--removals", "7", "--minutes", "1")).json;
  assert.equal(released.release.removals, 7);
  assert.equal((await operate("release")).json.release, null);
});

test("list shows agents of all users; retry answers how many it tries", async () => {
  const { agentId } = (await user.client.rpc("launch_agent", { definition: { agentName: "listed" } }))
    .data as {
    agentId: string;
  };
  const page = (await operate("list", "--limit", "1000")).json;
  assert.ok(
    page.agents.some(
      (agent: Record<string, unknown>) => agent.agentId === agentId && agent.userId === user.id,
    ),
  );
  const shown = await terminal.run(["fleet", "list"], {
    env: { LAUNCHPAD_SECRET_KEY: stack.info.secretKey },
  });
  assert.match(shown.stdout, /^AGENT +USER +CLASS +PHASE/);
  assert.deepEqual((await operate("retry", "--reason", "NO_SUCH_REASON")).json.retried, 0);
  await user.client.rpc("delete_agent", { agent_id: agentId });
});

test("classes are set from options and files, shown, given to users by e-mail address, and deleted", async () => {
  const set = await operate(
    "classes",
    "set",
    "sandboxed",
    "--runtime-class",
    "gvisor",
    "--description",
    "Not ours",
  );
  assert.equal(set.code, 0, set.stderr);
  assert.deepEqual(set.json.class, { runtimeClassName: "gvisor", description: "Not ours" });
  const changed = (await operate("classes", "set", "sandboxed", "--priority-class", "low")).json.class;
  assert.deepEqual(changed, { ...set.json.class, priorityClassName: "low" });

  await writeFile(
    join(terminal.folder, "sandboxed.yaml"),
    "runtimeClassName: kata\ntolerations:\n  - {key: a, operator: Exists}\n",
  );
  const file = ["classes", "set", "sandboxed", "--file", join(terminal.folder, "sandboxed.yaml")];
  assert.deepEqual((await operate(...file)).json.class, {
    runtimeClassName: "kata",
    tolerations: [{ key: "a", operator: "Exists" }],
  });
  const env = { LAUNCHPAD_SECRET_KEY: stack.info.secretKey };
  const shown = await terminal.run(["fleet", "classes", "show", "sandboxed"], { env });
  assert.deepEqual(JSON.parse(shown.stdout).runtimeClassName, "kata");
  await writeFile(join(terminal.folder, "wrong.yaml"), "image: x\nhostNetwork: true\n");
  failed(
    await terminal.run(["fleet", "classes", "set", "wrong", "--file", join(terminal.folder, "wrong.yaml")], {
      env,
    }),
    6,
    /wrong\.yaml:2.*hostNetwork/,
  );
  failed(await terminal.run(["fleet", "classes", "set", "wrong"], { env }), 2, /Nothing to set/);

  assert.equal((await operate("class", user.email, "sandboxed")).json.userId, user.id);
  const { data } = await user.client.from("quotas").select("agent_class").single();
  assert.deepEqual(data, { agent_class: "sandboxed" });
  const { error } = await user.client
    .from("quotas")
    .update({ agent_class: "default" })
    .eq("user_id", user.id);
  assert.equal(error?.code, "42501");
  const table = await terminal.run(["fleet", "classes", "list"], { env });
  assert.match(table.stdout, /^CLASS +USERS +SETS/);
  assert.match(
    table.stdout,
    /^sandboxed +1 +tolerations, runtimeClassName|^sandboxed +1 +runtimeClassName, tolerations/m,
  );
  failed(await terminal.run(["fleet", "classes", "delete", "sandboxed"], { env }), 7, /1 user has the class/);
  failed(
    await terminal.run(["fleet", "class", "nobody@example.com", "sandboxed"], { env }),
    5,
    /No such user/,
  );
  assert.equal((await operate("class", user.id, "default")).json.former, "sandboxed");
  assert.equal((await operate("classes", "delete", "sandboxed")).code, 0);
  failed(await terminal.run(["fleet", "classes", "show", "sandboxed"], { env }), 5, /fleet classes list/);
});

test("the page about classes: its commands set one, give it to a user and list it", async () => {
  const [outcome] = await runMarked(
    "docs/agent-classes.md",
    import.meta.filename,
    shell({ "ada@example.com": user.email }),
  );
  assert.match(outcome?.output ?? "", /^sandboxed +1 +/m);
  assert.equal((await operate("class", user.id, "default")).json.former, "sandboxed");
  assert.equal((await operate("classes", "delete", "sandboxed")).code, 0);
});

test("adopt refuses this database and what is no id; it asks unless told --yes", async () => {
  const { installation } = (await operate("status")).json;
  const env = { LAUNCHPAD_SECRET_KEY: stack.info.secretKey };
  failed(
    await terminal.run(["fleet", "adopt", installation, "--yes"], { env }),
    6,
    /installation: Is this database/,
  );
  failed(
    await terminal.run(["fleet", "adopt", "No Id", "--yes"], { env }),
    6,
    /installation: Must be the id/,
  );
  failed(await terminal.run(["fleet", "adopt", "another"], { env }), 2, /--yes/);
});

test("without the secret key, with a wrong one, or with a user's own rights: refused", async () => {
  failed(await terminal.run(["fleet", "status"]), 2, /LAUNCHPAD_SECRET_KEY/);
  failed(
    await terminal.run(["fleet", "status"], { env: { LAUNCHPAD_SECRET_KEY: "sb_secret_wrong" } }),
    3,
    /rejected LAUNCHPAD_SECRET_KEY/,
  );
  failed(
    await terminal.run(["fleet", "hold"], { env: { LAUNCHPAD_SECRET_KEY: stack.info.publishableKey } }),
    3,
    /rejected LAUNCHPAD_SECRET_KEY/,
  );
  const { error, status } = await user.client.rpc("fleet_hold", {});
  assert.equal(status, 403, JSON.stringify(error));
});

test("rollout: its state in words; what cannot be done is refused with what shows why", async () => {
  const env = { LAUNCHPAD_SECRET_KEY: stack.info.secretKey };
  const run = (...args: string[]) => terminal.run(["fleet", "rollout", ...args], { env });
  const none = await run();
  assert.equal(none.stdout, "No rollout: every agent has the image that the controllers are set to.\n");
  failed(await run("undo"), 7, /The rollout is finished; `launchpad fleet rollout status` shows it/);
  assert.match((await run("canary", user.id, "--pause")).stdout, /agents of 1 user first, then wait for/);
  failed(await run("canary", "nobody"), 6, /users/);
  assert.equal((await run("canary")).stdout, "No user comes first any more.\n");
});

test("the page about rollouts: its commands show, pause, resume and undo one, and name who comes first", async () => {
  const platform = (image: string) => ({ content: { image }, percent: 10, maxFailures: 0, soakSeconds: 0 });
  const service = stack.client(stack.info.secretKey);
  // A controller of a cluster, beside the stack's own, is all that a rollout needs to begin.
  const beat = async (image: string) => {
    const report = { platform: platform(image) };
    const { error } = await service.rpc("heartbeat_controller", {
      worker: "docs",
      lease_seconds: 60,
      report,
    });
    assert.equal(error, null);
  };
  const launched = await user.client.rpc("launch_agent", { definition: { agentName: "rolled" } });
  await beat("runtime:1");
  await beat("runtime:2");
  const [outcome] = await runMarked(
    "docs/rollouts.md",
    import.meta.filename,
    shell({ "0f8fad5b-d9cb-469f-a165-70867728950e": user.id }),
  );
  assert.match(outcome?.output ?? "", /runtime:2/);
  assert.equal((await operate("rollout", "status")).json.state, "undone");
  await operate("rollout", "canary");
  await service.rpc("release_worker", { worker: "docs" });
  await user.client.rpc("delete_agent", { agent_id: launched.data.agentId });
});
