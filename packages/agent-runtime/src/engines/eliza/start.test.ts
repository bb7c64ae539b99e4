// How a real elizaOS agent starts. Needs the optional part: npm run install:eliza
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { startProviderStub } from "../../../../../tests/helpers/providers.ts";
import { runToEnd, startAgent } from "../../testing/agent.ts";
import { makeElizaPart, skipEliza as skip } from "../../testing/eliza.ts";

const config = { plugins: ["@elizaos/plugin-bootstrap"] };

test("killed in its first start → the next start makes the database again; killed later → it is kept", {
  skip: Boolean(skip),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-eliza-test-"));
  const environment = { AGENT_STATE_DIR: join(folder, "state") };
  const database = join(folder, "state/pglite");
  const files = () => (existsSync(database) ? readdirSync(database, { recursive: true }).length : 0);
  try {
    for (const enough of [1, 400]) {
      const { lines } = await runToEnd({ config, environment }, (child) => {
        const timer = setInterval(() => files() >= enough && child.kill("SIGKILL"), 2);
        child.once("exit", () => clearInterval(timer));
      });
      assert.ok(!lines.some(({ message }) => message === "listening"), `killed with ${enough} files`);
    }
    let made = 0;
    for (const kept of [false, true]) {
      await using agent = await startAgent({ config, environment });
      assert.equal((await agent.get("/ready")).status, 200);
      if (kept) assert.equal(statSync(join(database, "PG_VERSION")).birthtimeMs, made);
      made = statSync(join(database, "PG_VERSION")).birthtimeMs;
      agent.process.kill("SIGKILL");
      await agent.exited;
    }
    truncateSync(join(database, "global/pg_control"));
    const { code, lines } = await runToEnd({ config, environment });
    assert.deepEqual([code, lines.at(-1)?.level], [1, "ERROR"]);
    assert.match(lines.at(-1)?.message ?? "", /database cannot be opened.*pglite\.broken/);
    await using agent = await startAgent({ config, environment });
    assert.equal((await agent.get("/ready")).status, 200);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("bio, lore, facts, templates and settings of a character are all in elizaOS's hands; its database holds no setting", {
  skip: Boolean(skip),
}, async () => {
  const echo = `export default { name: "echo", description: "a test's", providers: [{ name: "ECHO", get: async (runtime) =>
    ({ text: "MCP " + JSON.stringify(runtime.character.settings.mcp) + " flat " + runtime.getSetting("FLAT").length }) }] };`;
  using part = makeElizaPart({ "echo-settings": { module: echo } });
  const folder = mkdtempSync(join(tmpdir(), "agent-eliza-test-"));
  const many = (kind: string) => Array.from({ length: 12 }, (_, index) => `${kind} number ${index}.`);
  try {
    await using stub = await startProviderStub(
      () => "<response><thought>easy</thought><actions>REPLY</actions><text>Hello</text></response>",
    );
    await using agent = await startAgent({
      config: {
        plugins: ["echo-settings"],
        character: {
          name: "Ada",
          bio: ["I never give investment advice.", ...many("Bio")],
          lore: many("Lore"),
          knowledge: many("Fact"),
          postExamples: ["One post"],
          messageExamples: [
            [
              { user: "{{user1}}", content: { text: "who?" } },
              { user: "Ada", content: {} },
            ],
          ],
          settings: {
            mcp: { url: "https://mcp.example", token: `\${${"MCP_TOKEN"}}` },
            FLAT: "stored-in-no-table-x",
          },
          templates: { messageHandlerTemplate: "MY OWN TEMPLATE {{providers}}" },
        },
      },
      environment: {
        ...stub.environment,
        AGENT_ELIZA_DIR: part.folder,
        AGENT_STATE_DIR: join(folder, "state"),
        MCP_TOKEN: "correct-horse-battery",
      },
    });
    assert.equal((await agent.say({ text: "hello" })).body.reply, "Hello");
    const asked = stub.requests.filter(({ messages }) => messages.length > 0);
    const prompt = asked.map(({ system, messages }) => `${system} ${JSON.stringify(messages)}`).join("\n");
    for (const words of [
      "I never give investment advice.",
      ...[...many("Bio"), ...many("Lore"), ...many("Fact")],
      "MY OWN TEMPLATE",
      "https://mcp.example",
      "flat 20",
      "correct-horse-battery",
    ]) {
      assert.ok(prompt.includes(words), words);
    }
    assert.ok(!prompt.includes("undefined"));
    agent.process.kill("SIGTERM");
    assert.equal(await agent.exited, 0);
    const written = readdirSync(join(folder, "state/pglite"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"));
    assert.ok(!written.some((text) => text.includes("stored-in-no-table-x")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
