// The HIVE Agents API, request by request, through supabase-js and REST. Each test has its heading's name.
import assert from "node:assert/strict";
import type { SupabaseClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { Inbox, subscribed } from "../helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let user: TestUser;
let stranger: TestUser;
/** What the samples call their client. */
let supabase: SupabaseClient;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [user, stranger] = await Promise.all([stack.createUser(), stack.createUser()]);
  supabase = user.client;
});
afterAll(async () => {
  await user.client.removeAllChannels();
  await stack.stop();
});

/** The document's curl calls. */
async function curl(
  method: string,
  path: string,
  { headers = {}, body, as = user }: { headers?: Record<string, string>; body?: unknown; as?: TestUser } = {},
) {
  const response = await stack.fetch(path, {
    method,
    token: as.token,
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
}

// biome-ignore lint/suspicious/noExplicitAny: rows are judged field by field in tests
type Data = any;

/** A sample's `{ data, error }`, of which the error must be null. */
async function ok(sample: PromiseLike<{ data: unknown; error: unknown }>): Promise<Data> {
  const { data, error } = await sample;
  assert.equal(error, null, JSON.stringify(error));
  return data;
}

const RESEARCH = {
  name: "Research Assistant",
  role: "Researcher",
  avatar: "https://api.dicebear.com/7.x/bottts/svg?seed=research",
  framework: "openai",
  model: "gpt-4o",
  system_prompt: "You are a helpful research assistant specializing in data analysis and literature review.",
  settings: { temperature: 0.7, max_tokens: 4096, presence_penalty: 0, frequency_penalty: 0 },
};
const REVIEWER = {
  name: "Code Reviewer",
  role: "Developer",
  avatar: "https://api.dicebear.com/7.x/bottts/svg?seed=coder",
  framework: "anthropic",
  model: "claude-sonnet-4-20250514",
  system_prompt: "You are an expert code reviewer...",
  settings: { temperature: 0.3, max_tokens: 8192 },
};

const make = (agent: Record<string, unknown> = RESEARCH, as = user) =>
  ok(as.client.from("agents").insert(agent).select().single());
const clear = () => stack.sql("delete from public.agents where user_id = $1", [user.id]);
const tool = (name: string) => ok(supabase.from("tools").select("id").eq("name", name).single());

/** What the document shows of an agent. */
const shown = (agent: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(agent).filter(([column]) =>
      ["name", "role", "avatar", "framework", "model", "system_prompt", "settings", "status"].includes(
        column,
      ),
    ),
  );

describe("List Agents", () => {
  beforeAll(async () => {
    await clear();
    await make(REVIEWER);
    await make(RESEARCH);
    await make({ name: "Not yours" }, stranger);
  });

  test("Using Supabase Client", async () => {
    const agents = await ok(supabase.from("agents").select("*").order("created_at", { ascending: false }));
    assert.deepEqual(agents.map(shown), [
      { ...RESEARCH, status: "idle" },
      { ...REVIEWER, status: "idle" },
    ]);
    for (const agent of agents) {
      assert.equal(agent.user_id, user.id);
      assert.match(agent.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
      assert.ok(Date.parse(agent.created_at) <= Date.parse(agent.updated_at));
    }
  });

  test("Using REST API", async () => {
    const { status, body } = await curl("GET", "/rest/v1/agents?order=created_at.desc");
    assert.equal(status, 200);
    assert.deepEqual(
      body.map(shown).map(({ name }: { name: string }) => name),
      [RESEARCH.name, REVIEWER.name],
    );
  });

  test("Query Parameters", async () => {
    const { body } = await curl("GET", "/rest/v1/agents?select=name&order=created_at.desc&limit=1&offset=1");
    assert.deepEqual(body, [{ name: REVIEWER.name }]);
  });

  test("Filter Examples", async () => {
    const names = (rows: { name: string }[]) => rows.map(({ name }) => name);
    assert.deepEqual(names(await ok(supabase.from("agents").select("*").eq("framework", "openai"))), [
      RESEARCH.name,
    ]);
    assert.deepEqual(await ok(supabase.from("agents").select("*").eq("status", "active")), []);
    assert.equal((await ok(supabase.from("agents").select("*").eq("status", "idle"))).length, 2);
    assert.deepEqual(names(await ok(supabase.from("agents").select("*").ilike("name", "%assistant%"))), [
      RESEARCH.name,
    ]);
    assert.equal((await ok(supabase.from("agents").select("*").range(0, 9))).length, 2);
    assert.equal((await ok(supabase.from("agents").select("*").range(1, 1))).length, 1);
  });

  test("nobody reads without a user's token, nor with a forged one", async () => {
    assert.equal((await stack.fetch("/rest/v1/agents")).status, 401);
    assert.equal((await stack.fetch("/rest/v1/agents", { token: forgedToken(user) })).status, 401);
  });
});

describe("Get Agent", () => {
  let agentId = "";
  beforeAll(async () => {
    agentId = (await make()).id;
  });

  test("Using Supabase Client", async () => {
    const agent = await ok(supabase.from("agents").select("*").eq("id", agentId).maybeSingle());
    assert.deepEqual(shown(agent), { ...RESEARCH, status: "idle" });
    assert.equal(await ok(stranger.client.from("agents").select("*").eq("id", agentId).maybeSingle()), null);
  });

  test("Using REST API", async () => {
    const single = { accept: "application/vnd.pgrst.object+json" };
    const { status, body } = await curl("GET", `/rest/v1/agents?id=eq.${agentId}`, { headers: single });
    assert.equal(status, 200);
    assert.equal(body.id, agentId);
    const other = await curl("GET", `/rest/v1/agents?id=eq.${agentId}`, { headers: single, as: stranger });
    assert.equal(other.status, 406);
  });

  test("Get agent with assigned tools", async () => {
    const { id: toolId } = await tool("calculator");
    await ok(supabase.from("agent_tools").insert({ agent_id: agentId, tool_id: toolId }).select().single());
    const agent = await ok(
      supabase
        .from("agents")
        .select(`
    *,
    agent_tools (
      tool_id,
      enabled,
      configuration,
      tool:tools (
        id,
        name,
        description,
        category
      )
    )
  `)
        .eq("id", agentId)
        .maybeSingle(),
    );
    assert.equal(agent?.agent_tools.length, 1);
    const [assigned] = agent?.agent_tools ?? [];
    assert.deepEqual(
      { ...assigned, tool: { ...assigned?.tool, description: "…" } },
      {
        tool_id: toolId,
        enabled: true,
        configuration: {},
        tool: { id: toolId, name: "calculator", description: "…", category: "utility" },
      },
    );
  });
});

describe("Create Agent", () => {
  test("Using Supabase Client", async () => {
    const system_prompt = `You are a data analyst expert. You help users:
- Analyze datasets and identify patterns
- Create visualizations and reports
- Provide statistical insights
- Recommend data-driven decisions

Always explain your methodology and cite sources.`;
    const settings = { temperature: 0.5, max_tokens: 4096, presence_penalty: 0.1, frequency_penalty: 0.1 };
    const agent = await ok(
      supabase
        .from("agents")
        .insert({
          name: "Data Analyst",
          role: "Analyst",
          framework: "openai",
          model: "gpt-4o",
          system_prompt,
          settings,
        })
        .select()
        .single(),
    );
    assert.deepEqual(shown(agent), {
      name: "Data Analyst",
      role: "Analyst",
      avatar: null,
      framework: "openai",
      model: "gpt-4o",
      system_prompt,
      settings,
      status: "idle",
    });
    assert.equal(agent.user_id, user.id);
  });

  test("Using REST API", async () => {
    const { status, body } = await curl("POST", "/rest/v1/agents", {
      headers: { prefer: "return=representation" },
      body: {
        name: "Data Analyst",
        role: "Analyst",
        framework: "openai",
        model: "gpt-4o",
        system_prompt: "You are a data analyst expert...",
        settings: { temperature: 0.5, max_tokens: 4096 },
      },
    });
    assert.equal(status, 201);
    assert.equal(body[0].name, "Data Analyst");
  });

  test("Request Body", async () => {
    for (const [framework, model] of [
      ["openai", "gpt-6-luna"],
      ["anthropic", "claude-sonnet-4-6"],
      ["google", "gemini-3.5-flash"],
    ]) {
      assert.equal(
        (await make({ name: "x".repeat(100), framework })).model,
        model,
        "the framework's default",
      );
    }
    for (const [field, value] of [
      ["name", "x".repeat(101)],
      ["avatar", "javascript:alert(1)"],
      ["role", "x".repeat(201)],
    ] as const) {
      const { body, status } = await curl("POST", "/rest/v1/agents", {
        body: { ...RESEARCH, [field]: value },
      });
      assert.equal(status, 400);
      assert.deepEqual(Object.keys(JSON.parse(body.details)), [field]);
    }
  });

  test("Settings Object", async () => {
    const edges = {
      temperature: 2,
      max_tokens: 1,
      presence_penalty: -2,
      frequency_penalty: 2,
      top_p: 0,
      stop: ["END"],
    };
    assert.deepEqual((await make({ name: "edges", settings: edges })).settings, edges);
    assert.deepEqual((await make({ name: "none", settings: { stop: null } })).settings, { stop: null });
    const { error } = await supabase.from("agents").insert({
      name: "beyond",
      settings: {
        temperature: 2.1,
        max_tokens: 0,
        presence_penalty: -3,
        frequency_penalty: 3,
        top_p: 1.5,
        stop: "END",
        more: 1,
      },
    });
    assert.equal(error?.code, "VALIDATION_ERROR");
    assert.deepEqual(Object.keys(JSON.parse(error?.details ?? "{}")).sort(), [
      "settings.frequency_penalty",
      "settings.max_tokens",
      "settings.more",
      "settings.presence_penalty",
      "settings.stop",
      "settings.temperature",
      "settings.top_p",
    ]);
  });

  test("Validation Errors", async () => {
    const { data, error, status } = await supabase
      .from("agents")
      .insert({ framework: "acme" })
      .select()
      .single();
    assert.equal(data, null);
    assert.equal(status, 400);
    assert.equal(error?.code, "VALIDATION_ERROR");
    assert.equal(error?.message, "Invalid request body");
    assert.deepEqual(JSON.parse(error?.details ?? ""), {
      name: "Name is required",
      // The specification's three; the seed of the embedded stack adds the last.
      framework: "Framework must be one of: openai, anthropic, google, echo",
    });
  });
});

describe("Update Agent", () => {
  test("Using Supabase Client", async () => {
    const { id } = await make();
    const agent = await ok(
      supabase
        .from("agents")
        .update({
          name: "Senior Data Analyst",
          system_prompt: "Updated instructions...",
          settings: { temperature: 0.6, max_tokens: 8192 },
        })
        .eq("id", id)
        .select()
        .single(),
    );
    assert.equal(agent.name, "Senior Data Analyst");
    assert.deepEqual(agent.settings, { temperature: 0.6, max_tokens: 8192 });
    assert.ok(Date.parse(agent.updated_at) > Date.parse(agent.created_at));
    const { data } = await stranger.client.from("agents").update({ name: "taken" }).eq("id", id).select();
    assert.deepEqual(data, []);
  });

  test("Using REST API", async () => {
    const { id } = await make();
    const { status, body } = await curl("PATCH", `/rest/v1/agents?id=eq.${id}`, {
      headers: { prefer: "return=representation" },
      body: { name: "Senior Data Analyst", settings: { temperature: 0.6 } },
    });
    assert.equal(status, 200);
    assert.deepEqual([body[0].name, body[0].settings], ["Senior Data Analyst", { temperature: 0.6 }]);
  });

  test("Partial Updates", async () => {
    const { id: agentId, settings: existingSettings } = await make();
    await ok(supabase.from("agents").update({ model: "gpt-4-turbo" }).eq("id", agentId));
    await ok(
      supabase
        .from("agents")
        .update({ settings: { ...existingSettings, temperature: 0.8 } })
        .eq("id", agentId),
    );
    const agent = await ok(supabase.from("agents").select("*").eq("id", agentId).single());
    assert.deepEqual(shown(agent), {
      ...RESEARCH,
      model: "gpt-4-turbo",
      settings: { ...RESEARCH.settings, temperature: 0.8 },
      status: "idle",
    });
  });
});

describe("Delete Agent", () => {
  test("Using Supabase Client", async () => {
    const { id } = await make();
    await stranger.client.from("agents").delete().eq("id", id);
    assert.notEqual(await ok(supabase.from("agents").select().eq("id", id).maybeSingle()), null);
    const { error, status } = await supabase.from("agents").delete().eq("id", id);
    assert.deepEqual([error, status], [null, 204]);
    assert.equal(await ok(supabase.from("agents").select().eq("id", id).maybeSingle()), null);
  });

  test("Using REST API", async () => {
    const { id } = await make();
    assert.deepEqual(await curl("DELETE", `/rest/v1/agents?id=eq.${id}`), { status: 204, body: undefined });
  });

  test("Cascade Behavior", async () => {
    const { id } = await make();
    const swarm = await ok(supabase.from("swarms").insert({ name: "team" }).select().single());
    await ok(supabase.from("swarm_agents").insert({ swarm_id: swarm.id, agent_id: id }).select());
    await ok(
      supabase
        .from("agent_tools")
        .insert({ agent_id: id, tool_id: (await tool("calculator")).id })
        .select(),
    );
    await stack.sql(
      `insert into public.messages (user_id, swarm_id, agent_id, sender_kind, sender_name, content, status)
       values ($1, $2, $3, 'agent', 'Research Assistant', 'I said this', 'complete')`,
      [user.id, swarm.id, id],
    );
    await ok(supabase.from("agents").delete().eq("id", id));
    assert.deepEqual(await ok(supabase.from("swarm_agents").select().eq("swarm_id", swarm.id)), []);
    assert.deepEqual(await ok(supabase.from("agent_tools").select().eq("agent_id", id)), []);
    const messages = await ok(
      supabase
        .from("messages")
        .select("content, agent_id, sender_name, sender_deleted")
        .eq("swarm_id", swarm.id),
    );
    assert.deepEqual(messages, [
      { content: "I said this", agent_id: null, sender_name: "Research Assistant", sender_deleted: true },
    ]);
  });
});

describe("Agent Tools", () => {
  let agentId = "";
  let toolId = "";
  beforeAll(async () => {
    agentId = (await make()).id;
    toolId = (await tool("http_request")).id;
  });

  test("Assign Tool to Agent", async () => {
    const data = await ok(
      supabase
        .from("agent_tools")
        .insert({
          agent_id: agentId,
          tool_id: toolId,
          enabled: true,
          configuration: { api_key_ref: "user_weather_api_key", default_units: "metric" },
        })
        .select()
        .single(),
    );
    assert.deepEqual(data.configuration, { api_key_ref: "user_weather_api_key", default_units: "metric" });
    const { error } = await stranger.client
      .from("agent_tools")
      .insert({ agent_id: agentId, tool_id: toolId });
    assert.equal(error?.code, "AGENT_NOT_FOUND");
  });

  test("List Agent Tools", async () => {
    const tools = await ok(
      supabase
        .from("agent_tools")
        .select(`
    id,
    agent_id,
    tool_id,
    enabled,
    configuration,
    created_at,
    tool:tools (
      id,
      name,
      description,
      category,
      icon,
      input_schema
    )
  `)
        .eq("agent_id", agentId),
    );
    assert.equal(tools.length, 1);
    const { tool: listed, ...assignment } = tools[0] as unknown as {
      tool: Record<string, unknown>;
      tool_id: string;
    };
    assert.equal(assignment.tool_id, toolId);
    assert.deepEqual(Object.keys(listed).sort(), [
      "category",
      "description",
      "icon",
      "id",
      "input_schema",
      "name",
    ]);
    assert.deepEqual(await ok(stranger.client.from("agent_tools").select().eq("agent_id", agentId)), []);
  });

  test("Update Tool Configuration", async () => {
    const newConfig = { allowed_hosts: ["api.example.com"] };
    const { error } = await supabase
      .from("agent_tools")
      .update({ enabled: false, configuration: { ...newConfig } })
      .eq("agent_id", agentId)
      .eq("tool_id", toolId);
    assert.equal(error, null);
    const [row] = await ok(
      supabase.from("agent_tools").select("enabled, configuration").eq("agent_id", agentId),
    );
    assert.deepEqual(row, { enabled: false, configuration: newConfig });
  });

  test("Remove Tool from Agent", async () => {
    const { error } = await supabase
      .from("agent_tools")
      .delete()
      .eq("agent_id", agentId)
      .eq("tool_id", toolId);
    assert.equal(error, null);
    assert.deepEqual(await ok(supabase.from("agent_tools").select().eq("agent_id", agentId)), []);
  });
});

describe("Agent Status", () => {
  test("Status Values", async () => {
    const { id } = await make();
    for (const status of ["thinking", "responding", "error", "idle"]) {
      await ok(supabase.from("agents").update({ status }).eq("id", id));
      assert.equal((await ok(supabase.from("agents").select("status").eq("id", id).single())).status, status);
    }
    const { error } = await supabase.from("agents").update({ status: "sleeping" }).eq("id", id);
    assert.equal(error?.code, "VALIDATION_ERROR");
  });

  test("Subscribe to Status Changes", async () => {
    const { id: agentId } = await make();
    const statuses = new Inbox<string>();
    const channel = supabase
      .channel("agent-status")
      .on(
        "postgres_changes",
        { event: "UPDATE", schema: "public", table: "agents", filter: `id=eq.${agentId}` },
        (payload) => statuses.push(payload.new.status),
      );
    await subscribed(channel);
    // Update Status
    await ok(supabase.from("agents").update({ status: "thinking" }).eq("id", agentId));
    assert.equal(await statuses.first(), "thinking");
    await supabase.removeChannel(channel);
  });
});

describe("Error Codes", () => {
  const refused = async (body: unknown, as = user) => {
    const answer = await curl("POST", "/rest/v1/agents", { body, as });
    return [answer.status, answer.body?.code];
  };

  test("AGENT_NOT_FOUND", async () => {
    const { status, body } = await curl("POST", "/rest/v1/agent_tools", {
      body: { agent_id: "550e8400-e29b-41d4-a716-446655440001", tool_id: (await tool("calculator")).id },
    });
    assert.deepEqual([status, body.code], [404, "AGENT_NOT_FOUND"]);
  });

  test("AGENT_LIMIT_REACHED", async () => {
    const full = await stack.createUser();
    await stack.sql("update public.quotas set max_agents = 0 where user_id = $1", [full.id]);
    assert.deepEqual(await refused(RESEARCH, full), [403, "AGENT_LIMIT_REACHED"]);
  });

  test("INVALID_FRAMEWORK", async () => {
    assert.deepEqual(await refused({ name: "x", framework: "acme" }), [400, "INVALID_FRAMEWORK"]);
  });

  test("INVALID_MODEL", async () => {
    assert.deepEqual(await refused({ name: "x", framework: "google", model: "gpt-4o" }), [
      400,
      "INVALID_MODEL",
    ]);
  });

  test("PERMISSION_DENIED", async () => {
    const reader = await stack.createUser();
    await stack.sql(
      "delete from public.user_permissions where user_id = $1 and permission = 'agents:write'",
      [reader.id],
    );
    assert.deepEqual(await refused(RESEARCH, reader), [403, "PERMISSION_DENIED"]);
  });
});
