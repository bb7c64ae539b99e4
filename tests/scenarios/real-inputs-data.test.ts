// What users really send, D1–D6: data and answers. Each row of the list by its own input, through the gateway and in both ways
// of running an agent. Siblings stand beside the code they concern.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { api } from "../helpers/agents.ts";
import { openTerminal } from "../helpers/cli.ts";
import { eventually } from "../helpers/processes.ts";
import { echo } from "../helpers/providers.ts";
import { FRAMEWORKS, type Stage, setStage, WAYS } from "../helpers/real-inputs.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await setStage();
});
beforeEach(() => stage.reset());
afterAll(() => stage?.stop());

describe("D1: a parameter that names an embedded resource chooses no rows of the root", () => {
  for (const [method, target] of [
    ["DELETE", "agents?select=id,agent_tools!inner(tool_id)&agent_tools.tool_id=eq.TOOL"],
    ["DELETE", "agents?select=id,agent_tools(tool_id)&agent_tools.order=tool_id"],
    ["DELETE", "agents?select=id,agent_tools(tool_id)&agent_tools.or=(tool_id.eq.TOOL)"],
    ["PATCH", "agents?select=id,agent_tools!inner(tool_id)&agent_tools.tool_id=eq.TOOL"],
    ["DELETE", "swarms?select=id,swarm_agents!inner(agent_id)&swarm_agents.agent_id=eq.AGENT"],
    ["PATCH", "swarms?select=id,swarm_agents!inner(agent_id)&swarm_agents.agent_id=eq.AGENT"],
    ["DELETE", "messages?select=id,agents!inner(id)&agents.id=eq.AGENT"],
  ] as const) {
    test(`${method} ${target}`, async () => {
      const { user, stack } = stage;
      const [bound] = await Promise.all([stage.agent("undeployed"), stage.agent("undeployed")]);
      const calculator = (await user.client.from("tools").select("id").eq("name", "calculator").single()).data
        ?.id;
      await user.client.from("agent_tools").insert({ agent_id: bound, tool_id: calculator });
      const team = await stage.insert("swarms", { name: "team" });
      await user.client.from("swarm_agents").insert({ swarm_id: team.id, agent_id: bound });
      await stage.insert("swarms", { name: "other" });
      await stage.say(bound as string);
      const counts = () =>
        stack.sql(
          `select (select count(*) from public.agents where user_id = $1 and name = 'Ada') as agents,
             (select count(*) from public.swarms where user_id = $1 and name <> 'x') as swarms,
             (select count(*) from public.messages where user_id = $1) as messages`,
          [user.id],
        );
      const before = await counts();
      const response = await stack.fetch(
        `/rest/v1/${target.replace("TOOL", calculator).replace("AGENT", bound as string)}`,
        {
          method,
          token: user.token,
          headers: { "content-type": "application/json", prefer: "return=representation" },
          ...(method === "PATCH" && { body: JSON.stringify({ name: "x" }) }),
        },
      );
      assert.deepEqual([response.status, (await response.json()).code], [400, "21000"]);
      assert.deepEqual(await counts(), before);
    });
  }

  test("supabase-js: delete().eq('agent_tools.tool_id', …), by its user and by a stranger", async () => {
    const id = await stage.agent("undeployed");
    for (const { client } of [stage.user, stage.stranger]) {
      const { error } = await client
        .from("agents")
        .delete()
        .eq("agent_tools.tool_id", crypto.randomUUID())
        .select("id, agent_tools!inner(tool_id)");
      assert.equal(error?.code, "21000");
    }
    assert.equal((await stage.user.client.from("agents").select("id").eq("id", id)).data?.length, 1);
  });
});

describe("D2: a character is understood, or refused with the field", () => {
  const rows: [name: string, character: Record<string, unknown>, field: string | undefined][] = [
    [
      "knowledge as knowledge2character writes it",
      {
        knowledge: {
          documents: [{ id: "1", content: "The sky is teal" }],
          chunks: [{ id: "2", documentId: "1", content: "The sky is teal" }],
        },
      },
      undefined,
    ],
    [
      "knowledge of items with content",
      { knowledge: [{ id: "1", path: "a.md", content: "The sky is teal" }] },
      undefined,
    ],
    ["lore as an object", { lore: { a: "b" } }, "character.lore"],
    ["style.chat: [1]", { style: { chat: [1] } }, "character.style.chat"],
    ["messageExamples: x", { messageExamples: "x" }, "character.messageExamples"],
    ["knowledge: {}", { knowledge: {} }, "character.knowledge"],
  ];
  for (const [name, character, field] of rows) {
    test(name, async () => {
      const { status, body } = await api(stage.stack, stage.user, "POST", "/agents", {
        agentName: "Ada",
        character,
      });
      const row = await stage.user.client.from("agents").insert({ name: "Ada", character }).select().single();
      if (field === undefined) {
        assert.equal(status, 201);
        stage.stub.answer = ({ system, messages }) => JSON.stringify([system, messages]);
        for (const id of [body.agentId, row.data?.id]) {
          const { status: outcome, content } = await stage.say(id);
          assert.equal(outcome, "complete");
          assert.match(content, /The sky is teal/);
        }
        return;
      }
      assert.deepEqual(
        [status, body.error.code, Object.keys(body.error.details)],
        [400, "VALIDATION_ERROR", [field]],
      );
      assert.deepEqual(Object.keys(JSON.parse(row.error?.details ?? "{}")), [field]);
    });
  }
});

describe("D3: a stream that breaks off is no answer", () => {
  for (const way of WAYS) {
    for (const framework of FRAMEWORKS) {
      test(`${framework}, ${way}: cut, it is asked again; filtered after a text, an error`, async () => {
        const id = await stage.agent(way, { framework });
        let asked = 0;
        stage.stub.answer = (request) =>
          asked++ === 0 ? { pieces: ["half an "], breakOff: true } : echo(request);
        const whole = await stage.say(id);
        assert.deepEqual(
          [whole.status, whole.content, asked],
          ["complete", 'You said "hello" (message 1)', 2],
        );
        stage.stub.answer = () => ({ pieces: ["half an "], refused: true });
        const filtered = await stage.say(id);
        assert.deepEqual([filtered.status, filtered.error?.code], ["error", "MODEL_REFUSED"]);
      });
    }
  }
});

test("D4: launchpad secrets set --env-file keeps JSON, escaped quotes, a # inside a word, an empty value", async () => {
  const id = await stage.agent("undeployed");
  const terminal = await openTerminal(stage.stack.info);
  try {
    await terminal.login(stage.user);
    const lines = [
      'JSON_A="{\\"a\\": \\"b c\\"}"',
      'JSON_B="{"a": 1}"',
      "WORD=pass#word",
      "EMPTY=",
      "LAST=1 # one",
    ];
    await writeFile(join(terminal.folder, ".env"), lines.join("\n"));
    const { code, stderr } = await terminal.run(["secrets", "set", id, "--env-file", ".env"]);
    assert.equal(code, 0, stderr);
  } finally {
    await terminal.remove();
  }
  const [{ secrets } = { secrets: {} }] = await stage.stack.sql<{ secrets: object }>(
    `select jsonb_object_agg(s.name, v.decrypted_secret) as secrets
     from public.agent_secrets s join vault.decrypted_secrets v on v.id = s.vault_id where s.agent_id = $1`,
    [id],
  );
  assert.deepEqual(secrets, {
    JSON_A: '{"a": "b c"}',
    JSON_B: '{"a": 1}',
    WORD: "pass#word",
    EMPTY: "",
    LAST: "1",
  });
});

describe("D5: the second turn of one agent in rounds works", () => {
  for (const way of WAYS) {
    for (const framework of FRAMEWORKS) {
      test(`${framework}, ${way}`, async () => {
        const id = await stage.agent(way, { framework });
        const swarm = await stage.insert("swarms", { name: "team", reply_mode: "rounds", max_turns: 2 });
        const { error } = await stage.user.client
          .from("swarm_agents")
          .insert({ swarm_id: swarm.id, agent_id: id });
        assert.equal(error, null);
        await stage.insert("messages", { swarm_id: swarm.id, content: "Begin" });
        const answers = await eventually("two answers", async () => {
          const { data } = await stage.user.client
            .from("messages")
            .select()
            .eq("swarm_id", swarm.id)
            .eq("sender_kind", "agent");
          return data?.length === 2 ? data : undefined;
        });
        assert.deepEqual(
          answers.map(({ status }) => status),
          ["complete", "complete"],
        );
        const turns = stage.stub.requests.map(({ messages }) => messages.at(-1)?.role);
        assert.deepEqual(turns, ["user", "user"]);
        assert.ok(
          stage.stub.requests[1]?.messages.some(({ role }) => role !== "user"),
          "it hears itself",
        );
      });
    }
  }
});

describe("D6: what looks empty is refused like spaces", () => {
  for (const content of ["\n\t", "\u00a0", "\u200b", " \u00a0\u200b\n"]) {
    test(JSON.stringify(content), async () => {
      const id = await deployed();
      const { error } = await stage.user.client
        .from("messages")
        .insert({ to_agent_id: id, conversation_id: crypto.randomUUID(), content });
      assert.deepEqual(JSON.parse(error?.details ?? "{}"), { content: "Content is required" });
      const { status, body } = await stage.stack.agentFetch(id, "/message", {
        method: "POST",
        token: stage.user.token,
        body: JSON.stringify({ text: content }),
        headers: { "content-type": "application/json" },
      });
      assert.deepEqual([status, Object.keys(JSON.parse(body).error.details)], [400, ["text"]]);
      assert.equal(stage.stub.requests.length, 0);
    });
  }
  for (const way of WAYS) {
    test(`an answer of invisible characters is none, and it is asked again (${way})`, async () => {
      const id = await stage.agent(way);
      let asked = 0;
      stage.stub.answer = (request) => (asked++ === 0 ? "\u200b\u00a0" : echo(request));
      const { status, content } = await stage.say(id);
      assert.deepEqual([status, content, asked], ["complete", 'You said "hello" (message 1)', 2]);
    });
  }

  let one: Promise<string> | undefined;
  const deployed = () => (one ??= stage.agent("deployed"));
});
