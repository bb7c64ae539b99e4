// What a model takes and whether it answers, on the whole stack: undeployed and deployed agents, a server that speaks OpenAI's
// form, and the catalogue as operators change it with the CLI.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { api, launched } from "../helpers/agents.ts";
import { openTerminal, type Terminal } from "../helpers/cli.ts";
import { eventually } from "../helpers/processes.ts";
import { type Answering, echo, type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stub: ProviderStub;
let stack: TestStack;
let terminal: Terminal;
let user: TestUser;
let stranger: TestUser;

beforeAll(async () => {
  stub = await startProviderStub();
  // As for Ollama and the like: the address alone is set, no key.
  stack = await startTestStack({ env: { OPENAI_BASE_URL: stub.environment.OPENAI_BASE_URL ?? "" } });
  await stack.raiseRateLimits();
  [user, stranger] = await Promise.all([stack.createUser(), stack.createUser()]);
  terminal = await openTerminal(stack.info);
});
beforeEach(() => {
  stub.answer = echo;
  stub.requests.length = 0;
});
afterAll(async () => {
  await terminal.remove();
  await stack.stop();
  await stub.close();
});

interface Told {
  status: string;
  content: string;
  model: string | null;
  error: { code: string; message: string } | null;
  warnings: { field: string; message: string }[];
}

/** Says something to an agent by rows and waits for what comes of it. */
async function say(agentId: string, content = "hello"): Promise<Told> {
  const row = { to_agent_id: agentId, conversation_id: crypto.randomUUID(), content };
  const { data, error } = await user.client.from("messages").insert(row).select("id").single();
  assert.equal(error, null, JSON.stringify(error));
  return eventually(
    "the answer",
    async () =>
      (await user.client.from("messages").select().eq("reply_to", data?.id)).data?.[0] as Told | undefined,
  );
}
const readiness = async (agentId: string) => {
  const { body } = await api(stack, user, "GET", `/agents/${agentId}/status`);
  return body.conditions.find(({ type }: { type: string }) => type === "ModelReady");
};
const operate = (...args: string[]) =>
  terminal.run(["models", ...args, "--json"], { env: { LAUNCHPAD_SECRET_KEY: stack.info.secretKey } });

/** Refuses stop sequences as servers do that do not know them. */
const refusing: Answering = (asked) =>
  asked.body.stop === undefined
    ? echo(asked)
    : { status: 400, message: "Unsupported parameter: 'stop' is not supported with this model." };

for (const kind of ["undeployed", "deployed"] as const) {
  describe(`agents, ${kind}:`, () => {
    let agentId: string;
    const model = `house-${kind}`;
    beforeAll(async () => {
      assert.equal((await operate("add", "openai", model)).code, 0);
      const definition = { framework: "openai", model, settings: { stop: ["END"] } };
      if (kind === "deployed") agentId = await launched(stack, user, definition);
      else {
        const { data } = await user.client
          .from("agents")
          .insert({ name: "Bot", ...definition })
          .select()
          .single();
        agentId = data?.id;
      }
    });

    test("is told in its provider's words what is refused: in the answer, by an event, and live in its status", async () => {
      stub.answer = refusing;
      const words =
        "openai rejected the request (400). It says: Unsupported parameter: 'stop' is not supported";
      const answer = await say(agentId);
      assert.deepEqual([answer.status, answer.error?.code], ["error", "MODEL_REQUEST_REJECTED"]);
      assert.ok(answer.error?.message.startsWith(words), answer.error?.message);
      const [event] = await eventually("the event", async () => {
        const { data } = await user.client
          .from("agent_events")
          .select("message, details")
          .eq("agent_id", agentId)
          .eq("event_type", "MODEL_REFUSED");
        return data?.length ? data : undefined;
      });
      assert.ok(event?.message.startsWith(words));
      const { data: theirs } = await stranger.client.from("agent_events").select().eq("agent_id", agentId);
      assert.deepEqual(theirs, []);
      const { status, reason, message } = await readiness(agentId);
      assert.deepEqual([status, reason], ["False", "MODEL_REQUEST_REJECTED"]);
      assert.ok(message.startsWith(words));
    });

    test("goes on without the setting once the catalogue knows that the model does not take it, and says so", async () => {
      stub.answer = refusing;
      assert.equal((await operate("add", "openai", model, "--takes", "temperature,top_p")).code, 0);
      const answer = await say(agentId);
      assert.deepEqual([answer.status, answer.content], ["complete", 'You said "hello" (message 1)']);
      assert.deepEqual(answer.warnings, [
        { field: "settings.stop", message: `Left out: ${model} does not take stop` },
      ]);
      const { status, reason } = await eventually("the model is ready", async () => {
        const condition = await readiness(agentId);
        return condition?.status === "True" ? condition : undefined;
      });
      assert.deepEqual([status, reason], ["True", "SETTING_IGNORED"]);
    });
  });
}

test("an address without a key is enough, and a model of another server goes by chat completions", async () => {
  await operate("add", "openai", "org/any-model:7b");
  const { data } = await user.client
    .from("agents")
    .insert({ name: "Local", framework: "openai", model: "org/any-model:7b" })
    .select()
    .single();
  assert.equal((await say(data?.id)).status, "complete");
  assert.deepEqual(
    [stub.requests.at(-1)?.path, stub.requests.at(-1)?.model],
    ["/openai/v1/chat/completions", "org/any-model:7b"],
  );
});

test("the default model is called by chat completions at another server's address", async () => {
  const { data } = await user.client.from("agents").insert({ name: "Default" }).select().single();
  const answer = await say(data?.id);
  assert.deepEqual([answer.status, answer.model, answer.warnings], ["complete", "gpt-6-luna", []]);
  assert.equal(stub.requests[0]?.path, "/openai/v1/chat/completions");
});

describe("launchpad models", () => {
  test("lists what agents may use, for everybody; retired ones when asked", async () => {
    const shown = await terminal.run(["models", "list", "--framework", "anthropic"]);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /^FRAMEWORK +MODEL/);
    assert.match(
      shown.stdout,
      /^anthropic +claude-sonnet-4-6 \(default\) +128000 +never +\$3\.00\/\$15\.00/m,
    );
    assert.doesNotMatch(shown.stdout, /claude-sonnet-4-20250514/);
    const all = await terminal.run(["models", "list", "--retired", "--json"]);
    assert.ok(all.json.models.some(({ name }: { name: string }) => name === "claude-sonnet-4-20250514"));
  });

  test("adds and retires with the secret key, and says what is wrong", async () => {
    const added = await operate(
      "add",
      "openai",
      "gpt-7",
      "--max-output",
      "9000",
      "--price",
      "1/2/0.1",
      "--thinks",
      "unless-sampled",
    );
    assert.deepEqual(
      [added.json.max_output_tokens, added.json.thinks, added.json.price.cachedInputMicros],
      [9000, "unless_sampled", 100_000],
    );
    const retired = await operate(
      "retire",
      "openai",
      "gpt-7",
      "--on",
      "2026-01-01",
      "--successor",
      "gpt-6-luna",
    );
    assert.equal(retired.json.retires_at, "2026-01-01");
    const { error } = await user.client
      .from("agents")
      .insert({ name: "Late", framework: "openai", model: "gpt-7" });
    assert.match(error?.message ?? "", /gpt-7 was retired by its provider on 2026-01-01; use gpt-6-luna/);
    assert.equal((await operate("retire", "openai", "gpt-7", "--undo")).json.retires_at, null);

    const wrong = await operate("retire", "openai", "gpt-6-luna");
    assert.match(wrong.stderr, /is the default of openai; make another one the default first/);
    const unknown = await operate("retire", "openai", "never-was");
    assert.match(unknown.stderr, /models list --retired/);
    const anyone = await terminal.run(["models", "add", "openai", "mine"]);
    assert.match(anyone.stderr, /Set LAUNCHPAD_SECRET_KEY/);
  });
});
