// What users really send, M1–M7 and T1–T6: settings, models and tools. Each row of the list by its own input, in both ways of
// running an agent, against what the providers and a tool's server get. Siblings stand beside the code they concern.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { api } from "../helpers/agents.ts";
import { eventually } from "../helpers/processes.ts";
import { calling, type Stage, setStage, WAYS } from "../helpers/real-inputs.ts";
import { ENDINGS, recordAnswer } from "../helpers/recorded-answers.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await setStage();
});
beforeEach(() => stage.reset());
afterAll(() => stage?.stop());

const launch = (definition: Record<string, unknown>) =>
  api(stage.stack, stage.user, "POST", "/agents", { agentName: "Ada", ...definition });
const insertError = async (row: Record<string, unknown>) =>
  (await stage.user.client.from("agents").insert({ name: "Ada", ...row })).error;
const asked = (at = 0) => {
  const request = stage.stub.requests.at(at);
  assert.ok(request, "the provider was asked");
  return request;
};

for (const way of WAYS) {
  test(`M1: top_p 0.2 at Anthropic is sent, and no temperature beside it (${way})`, async () => {
    const id = await stage.agent(way, { framework: "anthropic", settings: { top_p: 0.2 } });
    assert.equal((await stage.say(id)).status, "complete");
    assert.deepEqual([asked().body.top_p, asked().body.temperature], [0.2, undefined]);
  });
}

describe("M2: a setting that the model does not take is refused when it is set, with the reason", () => {
  for (const [model, settings, field, reason] of [
    [
      "gpt-5",
      { stop: ["END"] },
      "settings.stop",
      /gpt-5 does not take stop; remove it, or choose another model|retired/,
    ],
    ["o3", { stop: ["END"] }, "settings.stop", /does not take stop|retired/],
    ["o4-mini", { stop: ["END"] }, "settings.stop", /does not take stop|retired/],
    ["gpt-4o", { stop: ["a", "b", "c", "d", "e"] }, "settings.stop", /at most 4/],
    ["claude-opus-4-8", { stop: ["\n"] }, "settings.stop", /white space/],
    ["claude-haiku-4-5", { max_tokens: 100_000 }, "settings.max_tokens", /at most \d+/],
    [
      "gemini-3-flash-preview",
      { presence_penalty: 0.5 },
      "settings.presence_penalty",
      /does not take presence_penalty/,
    ],
  ] as const) {
    test(`${model}: ${JSON.stringify(settings).slice(0, 40)}`, async () => {
      const { status, body } = await launch({ model, settings });
      const row = await insertError({ model, settings });
      assert.equal(status, 400, JSON.stringify(body));
      const told = { ...body.error.details, ...JSON.parse(row?.details ?? "{}") };
      // A model that its provider has retired meanwhile is refused for that too.
      assert.deepEqual(
        Object.keys(told).filter((name) => name !== "model"),
        told[field] ? [field] : [],
      );
      assert.match(Object.values(told).join(" "), reason);
      assert.deepEqual(JSON.parse(row?.details ?? "{}"), body.error.details, "both doors say the same");
    });
  }

  test("at a framework's default, which most never chose, it is left out with a warning", async () => {
    const settings = { stop: ["\n"] };
    const { body } = await launch({ framework: "anthropic", settings });
    assert.deepEqual(
      body.warnings.map(({ field }: { field: string }) => field),
      ["settings.stop"],
    );
    const id = await stage.agent("undeployed", { framework: "anthropic", settings });
    const answer = await stage.say(id);
    assert.deepEqual([answer.status, asked().body.stop_sequences], ["complete", undefined]);
    assert.deepEqual(
      answer.warnings.map(({ field }) => field),
      ["settings.stop"],
    );
  });

  test("what is refused all the same is shown in the provider's words, redacted", async () => {
    const id = await stage.agent("undeployed");
    const key = `sk-proj-${"a1B2".repeat(8)}`;
    stage.stub.answer = () => ({ status: 400, message: `Unsupported parameter: 'stop' by ${key}` });
    const { error } = await stage.say(id);
    assert.equal(error?.code, "MODEL_REQUEST_REJECTED");
    assert.match(error?.message ?? "", /It says: Unsupported parameter: 'stop' by \[secret\]$/);
  });
});

for (const way of WAYS) {
  test(`M3: the gpt-6 family goes by the Responses API with a tool, and thinks on (${way})`, async () => {
    const id = await stage.agent(way, { model: "gpt-6-luna" });
    await stage.tool(id, { name: `m3_${way}`, implementation: { type: "http", url: `${stage.outside}/` } });
    stage.stub.answer = calling(`m3_${way}`, {});
    assert.equal((await stage.say(id)).content, "Done.");
    const { path, body } = asked();
    assert.match(path, /\/responses$/);
    assert.notEqual((body.reasoning as { effort?: string } | undefined)?.effort, "none");
    assert.equal((body.tools as unknown[]).length, 1);
  });
}

test("M4: a default lives; a retired model is refused with its successor, by both doors", async () => {
  const { body } = await launch({ framework: "anthropic" });
  const { data } = await stage.user.client.from("agents").select("model").eq("id", body.agentId).single();
  assert.equal(data?.model, "claude-sonnet-4-6");
  const retired = { framework: "anthropic", model: "claude-opus-4-20250514" };
  const refused = await launch(retired);
  assert.deepEqual([refused.status, refused.body.error.code], [400, "INVALID_MODEL"]);
  const words = /claude-opus-4-20250514 was retired by its provider on 2026-06-15; use claude-opus-4-8/;
  assert.match(refused.body.error.details.model, words);
  assert.match((await insertError(retired))?.message ?? "", words);
});

for (const way of WAYS) {
  test(`M5: a model that thinks until max_tokens is used up is asked once, and says so (${way})`, async () => {
    const raw = (await recordAnswer("google", true))
      .toString()
      .replaceAll(/"text":"[^"]*"/g, '"text":""')
      .replace(ENDINGS.google.whole, '"finishReason":"MAX_TOKENS"');
    stage.stub.answer = () => ({ raw });
    const id = await stage.agent(way, { framework: "google" });
    const { status, error } = await stage.say(id);
    assert.equal(status, "error");
    assert.match(error?.message ?? "", /used up max_tokens .* set a larger max_tokens/);
    assert.equal(stage.stub.requests.length, 1);
  });
}

for (const way of WAYS) {
  test(`M6: model claude-sonnet-4-5 without a framework is Anthropic's (${way})`, async () => {
    const id = await stage.agent(way, { model: "claude-sonnet-4-5" });
    assert.equal((await stage.say(id)).status, "complete");
    assert.deepEqual([asked().provider, asked().model], ["anthropic", "claude-sonnet-4-5"]);
  });
}

// That the settings which apply are on the wire: packages/agent-runtime/src/engines/eliza, on the real packages.
test("M7: a launch says which settings do not apply in elizaOS, and of top_p nothing", async () => {
  const plugins = ["@elizaos/plugin-bootstrap"];
  const settings = { top_p: 0.2, stop: ["END"] };
  const { status, body } = await launch({ model: "gpt-4o", plugins, settings });
  assert.equal(status, 201);
  const fields = body.warnings.map(({ field }: { field: string }) => field);
  assert.ok(fields.includes("settings.stop") && !fields.includes("settings.top_p"), String(fields));
});

for (const way of WAYS) {
  describe(`tools, ${way}:`, () => {
    /** What the tool's server got when a model called it so. */
    const called = async (tool: Record<string, unknown>, args: Record<string, unknown>, more = {}) => {
      const name = `t_${crypto.randomUUID().slice(0, 8)}`;
      const id = await stage.agent(way, more);
      await stage.tool(id, { name, ...tool });
      stage.stub.answer = calling(name, args);
      assert.equal((await stage.say(id)).content, "Done.");
      return stage.outgoing[0];
    };
    const http = (more: Record<string, unknown> = {}) => ({
      type: "http",
      url: `${stage.outside}/x`,
      ...more,
    });
    const schema = (...names: string[]) => ({
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, {}])),
    });

    test("T1: the user's Accept wins; a form content type sends a form", async () => {
      const got = await called({ implementation: http({ headers: { Accept: "application/json" } }) }, {});
      assert.equal(got?.headers.accept, "application/json");
      stage.reset();
      const headers = { "Content-Type": "application/x-www-form-urlencoded" };
      const form = await called(
        { input_schema: schema("a"), implementation: http({ method: "POST", headers }) },
        { a: "b c" },
      );
      assert.deepEqual([form?.body, form?.headers["content-type"]], ["a=b+c", headers["Content-Type"]]);
    });

    test("T2: {{user-id}} is filled; an optional argument that is absent is left out", async () => {
      const url = `${stage.outside}/users/{{user-id}}?q={{q}}&fixed=1`;
      const got = await called(
        { input_schema: schema("user-id", "q"), implementation: http({ url }) },
        { "user-id": "ä/1" },
      );
      assert.equal(got?.url, "/users/%C3%A4%2F1?fixed=1");
      const { error } = await stage.user.client.from("tools").insert({
        name: `unfilled ${way}`,
        description: "d",
        input_schema: schema("a"),
        implementation: http({ url: `${stage.outside}/{{nobody}}` }),
      });
      assert.match(JSON.parse(error?.details ?? "{}")["implementation.url"], /\{\{nobody\}\} has no value/);
    });

    test("T3: a list is one entry an item, and null is left out", async () => {
      const got = await called(
        { input_schema: schema("ids", "q"), implementation: http() },
        { ids: [1, 2], q: null },
      );
      assert.equal(got?.url, "/x?ids=1&ids=2");
    });

    test("T4: 1password has a name that Gemini takes, and is called", async () => {
      const id = await stage.agent(way, { framework: "google" });
      await stage.tool(id, { name: way === "deployed" ? "1password" : "1password!", implementation: http() });
      stage.stub.answer = ({ body }) => {
        const tools = body.tools as { functionDeclarations: { name: string }[] }[] | undefined;
        const name = tools?.[0]?.functionDeclarations[0]?.name ?? "";
        assert.match(name, /^[A-Za-z_][\w-]*$/);
        return calling(name, {})({ body } as never);
      };
      assert.equal((await stage.say(id)).content, "Done.");
      assert.equal(stage.outgoing.length, 1);
    });

    test("T5: {type: object} reaches OpenAI with its properties", async () => {
      await called({ input_schema: { type: "object" }, implementation: http() }, {});
      const [tool] = asked().body.tools as { parameters: unknown }[];
      assert.deepEqual(tool?.parameters, { type: "object", properties: {} });
    });

    test("T6: an address that is refused is an event and a step, for the owner alone", async () => {
      const id = await stage.agent(way);
      const name = `inner_${way}`;
      await stage.tool(id, {
        name,
        input_schema: schema("q", "password"),
        implementation: { type: "http", url: "http://169.254.169.254/latest" },
      });
      stage.stub.answer = calling(name, { q: "https://me:word@x.example/", password: "hunter2" });
      const answer = await stage.say(id);
      const stepsAs = async (user: typeof stage.user) =>
        (await user.client.from("answer_steps").select().eq("message_id", answer.id).eq("kind", "tool")).data;
      const steps = await eventually("the step", async () => {
        const found = await stepsAs(stage.user);
        return found?.length ? found : undefined;
      });
      const { status, arguments: args, error } = steps[0];
      assert.deepEqual(
        [steps[0].name, status, error.code, args],
        [name, "refused", "TOOL_NOT_ALLOWED", { q: "https://[secret]@x.example/", password: "[secret]" }],
      );
      assert.equal(typeof steps[0].milliseconds, "number");
      const eventsAs = async (user: typeof stage.user) =>
        (await user.client.from("agent_events").select().eq("agent_id", id).eq("event_type", "TOOL_REFUSED"))
          .data;
      const [event] = (await eventsAs(stage.user)) ?? [];
      assert.equal(event.details.tool, name);
      assert.deepEqual([await stepsAs(stage.stranger), await eventsAs(stage.stranger)], [[], []]);
    });
  });
}
