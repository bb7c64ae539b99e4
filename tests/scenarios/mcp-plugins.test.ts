// MCP servers and packages with AI SDK tools on the whole stack: launched, their tools called by agents deployed and not, and how their
// state is shown; another user's secret is never sent.
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, launched } from "../helpers/agents.ts";
import { type RunningMcpServer, startMcpServer } from "../helpers/mcp-server.ts";
import { eventually } from "../helpers/processes.ts";
import { type Answering, type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startRegistry } from "../helpers/registry.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const SECRET = "s3cret-of-ada-for-the-server";

let folder: string;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let server: RunningMcpServer;
let stub: ProviderStub;
let stack: TestStack;
let ada: TestUser;
let bob: TestUser;

/** Calls the tool that the message names, with its arguments, then says what came of it. */
const obedient: Answering = ({ body, messages }) => {
  const last = ((body.messages ?? body.input) as Record<string, unknown>[]).at(-1) ?? {};
  const result = last.role === "tool" ? last.content : last.output;
  if (result !== undefined) return { pieces: [`It says ${JSON.stringify(result)}`] };
  const said = /call (?<name>\w+) (?<given>\{.*\})/.exec(messages.at(-1)?.text ?? "");
  const { name = "none", given = "{}" } = said?.groups ?? {};
  return { pieces: [], toolCalls: [{ name, arguments: JSON.parse(given) }] };
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mcp-scenario-"));
  await chmod(folder, 0o755); // agents have accounts of their own
  const source = join(folder, "clock-tools");
  await mkdir(source);
  const manifest = {
    name: "clock-tools",
    version: "1.4.0",
    type: "module",
    main: "index.js",
    license: "MIT",
  };
  await writeFile(join(source, "package.json"), JSON.stringify(manifest));
  await writeFile(
    join(source, "index.js"),
    `const inputSchema = { "~standard": { version: 1, vendor: "own", validate: (value) => ({ value }),
      jsonSchema: { input: () => ({ type: "object", properties: { zone: { type: "string" } } }) } } };
    export const tools = { clock: { description: "Tells the time", inputSchema, execute: async ({ zone }) => "noon in " + zone } };\n`,
  );
  registry = await startRegistry(join(folder, "archives"), [source]);
  server = await startMcpServer("session");
  stub = await startProviderStub(obedient);
  stack = await startTestStack({
    env: {
      ...stub.environment,
      LAUNCHPAD_TOOL_PRIVATE_HOSTS: server.host,
      npm_config_registry: registry.url,
      npm_config_cache: join(folder, "cache"),
      npm_config_userconfig: join(folder, "no-npmrc"),
      LAUNCHPAD_PLUGIN_STORE: join(folder, "store"),
    },
  });
  await stack.raiseRateLimits();
  await stack.sql("insert into private.plugin_rules (pattern) values ('clock-tools')");
  [ada, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  const { error } = await ada.client.rpc("set_user_secret", { name: "TOKEN", value: SECRET });
  assert.equal(error, null, JSON.stringify(error));
});
afterAll(async () => {
  await stack?.stop();
  await stub?.close();
  await server?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

/** Says something by rows and waits for the answer; with its steps of tools. */
async function say(user: TestUser, agentId: string, content: string) {
  const row = { to_agent_id: agentId, conversation_id: crypto.randomUUID(), content };
  const { data, error } = await user.client.from("messages").insert(row).select("id").single();
  assert.equal(error, null, JSON.stringify(error));
  const answer = await eventually(
    "the answer",
    async () => (await user.client.from("messages").select().eq("reply_to", data?.id)).data?.[0],
  );
  assert.equal(answer.status, "complete", JSON.stringify([answer.error, stub.requests.at(-1)?.body]));
  const steps = await eventually("the step of the tool", async () => {
    const found = await user.client
      .from("answer_steps")
      .select()
      .eq("message_id", answer.id)
      .eq("kind", "tool");
    return found.data?.length ? found.data : undefined;
  });
  return { content: answer.content as string, steps: steps as { name: string; status: string }[] };
}
const undeployed = async (user: TestUser, plugins: string[]): Promise<string> => {
  const { data, error } = await user.client.from("agents").insert({ name: "Bot", plugins }).select().single();
  assert.equal(error, null, JSON.stringify(error));
  return data.id;
};
const plugin = () => `mcp:${server.url}#TOKEN`;
const ORDER = 'call order {"thing": "tea"}';

for (const kind of ["undeployed", "deployed"] as const) {
  describe(`an agent, ${kind}`, () => {
    test("calls an MCP server's tool with its owner's secret; the answer's steps show it without", async () => {
      const plugins = [plugin()];
      const id =
        kind === "deployed" ? await launched(stack, ada, { plugins }) : await undeployed(ada, plugins);
      server.requests.length = 0;
      const { content, steps } = await say(ada, id, ORDER);
      assert.match(content, /ordered tea/);
      assert.deepEqual(
        steps.map(({ name, status }) => [name, status]),
        [["order", "ok"]],
      );
      assert.ok(!JSON.stringify([content, steps]).includes(SECRET));
      const call = server.requests.find(({ rpc }) => rpc === "tools/call");
      assert.equal(call?.headers.authorization, `Bearer ${SECRET}`);
    });
  });
}

test("another user's agent of the same server is not given the secret, and says which one is missing", async () => {
  const id = await launched(stack, bob, { plugins: [plugin()] });
  const condition = await eventually("the state of the server", async () => {
    const { body } = await api(stack, bob, "GET", `/agents/${id}/status`);
    return body.conditions.find(({ type }: { type: string }) => type === `PluginReady:${plugin()}`);
  });
  assert.deepEqual([condition.status, condition.reason], ["False", "PLUGIN_FAILED"]);
  assert.match(condition.message, /The secret TOKEN is not set: run `launchpad secrets set <agent> TOKEN`/);
  const { data } = await ada.client.from("agents").select("id").eq("id", id);
  assert.deepEqual(data, []);
});

test("the state of a server that answers is a condition with the number of its tools", async () => {
  const id = await launched(stack, ada, { plugins: [plugin()] });
  const condition = await eventually("the state of the server", async () => {
    const { body } = await api(stack, ada, "GET", `/agents/${id}/status`);
    return body.conditions.find(({ type }: { type: string }) => type === `PluginReady:${plugin()}`);
  });
  assert.deepEqual([condition.status, condition.message], ["True", "Offers 2 tools"]);
});

test("a package that exports AI SDK tools is installed, and its tool is called", async () => {
  const id = await launched(stack, ada, { plugins: ["clock-tools@^1", plugin()] });
  const { content, steps } = await say(ada, id, 'call clock {"zone": "Ulm"}');
  assert.match(content, /noon in Ulm/);
  assert.deepEqual(
    steps.map(({ name, status }) => [name, status]),
    [["clock", "ok"]],
  );
  const { data } = await ada.client
    .from("agent_revisions")
    .select("resolved_plugins")
    .eq("agent_id", id)
    .single();
  assert.deepEqual(
    [
      data?.resolved_plugins.engine,
      data?.resolved_plugins.plugins[0].version,
      data?.resolved_plugins.plugins.length,
    ],
    ["model", "1.4.0", 1],
  );
});
