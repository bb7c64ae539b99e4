// What an attempt at an answer may do once another one acted: in itself, and with two replicas of one agent.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "vitest";
import { startProviderStub } from "../../../../tests/helpers/providers.ts";
import { AgentError } from "../errors.ts";
import { signed } from "../signature.ts";
import { type RunningAgent, startAgent } from "../testing/agent.ts";
import { granting, MESSAGE_KEY, type ProjectStub } from "../testing/project.ts";
import { Acting } from "./acting.ts";
import { isFinal } from "./model/completion.ts";

describe("an attempt", () => {
  const failure = new AgentError("MODEL_UNAVAILABLE", "No model.");

  it("asks once before it acts, and is final from then on", async () => {
    let asked = 0;
    const acting = new Acting(async () => {
      asked += 1;
      return true;
    });
    assert.equal(isFinal(acting.explain(failure)), false);
    await Promise.all([acting.begin(), acting.begin()]);
    assert.equal(asked, 1);
    assert.equal(isFinal(acting.explain(failure)), true);
    assert.equal(acting.signal.aborted, false);
  });

  it("that may not act ends with a failure that is not tried again", async () => {
    const acting = new Acting(async () => false);
    for (const _ of [1, 2]) await assert.rejects(acting.begin(), { code: "ACTION_FAILED" });
    assert.equal(acting.signal.aborted, true);
    assert.equal(acting.hasActed, false);
    assert.equal(isFinal(acting.explain(failure)), true);
  });

  it("that cannot ask, not at a second time either, has not acted and is tried again", async () => {
    let asked = 0;
    const acting = new Acting(async () => {
      asked += 1;
      throw new Error("no network");
    });
    await assert.rejects(acting.begin(), { code: "SUPABASE_CONNECTION_ERROR" });
    assert.equal(asked, 2);
    assert.equal(isFinal(acting.explain(failure)), false);
    assert.equal(acting.explain(failure).code, "SUPABASE_CONNECTION_ERROR");
  });

  it("whose permission was lost on its way gets it again", async () => {
    const answers = [Promise.reject(new Error("reset")), Promise.resolve(true)];
    const acting = new Acting(() => answers.shift()!);
    await acting.begin();
    assert.equal(acting.hasActed, true);
  });
});

describe("two replicas", () => {
  /** The one word of the database about who acts. */
  const shared = (): ProjectStub["answer"] => {
    const first = new Map<string, string>();
    return (called) => {
      if (called.rpc === "runtime_tools") return { body: { tools: [order] } };
      if (called.rpc !== "runtime_acts") return granting(called);
      const { message_id: id, attempt } = called.args;
      if (!first.has(id)) first.set(id, attempt);
      return { body: { may: first.get(id) === attempt } };
    };
  };
  let order: object;
  /** The last event of the answer. */
  const deliver = async (agent: RunningAgent, id: string, more: object = {}) => {
    const answer = { id, word: "0123456789abcdef", ...more };
    const body = JSON.stringify({ text: "Order!", history: [], conversationId: randomUUID(), answer });
    const { body: said } = await agent.say(body, {
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        ...signed(MESSAGE_KEY, Buffer.from(body), Date.now()),
      },
    });
    const [, last = JSON.stringify(said)] = /event: (?:done|error)\ndata: (.*)/.exec(String(said.text)) ?? [];
    const { reply, code, details, error } = JSON.parse(last);
    return { reply, code: code ?? error?.code, final: (details ?? error?.details)?.final };
  };

  it("order once, though the message comes to both", async () => {
    let ordered = 0;
    const arrived = Promise.withResolvers<void>();
    const shop = createServer((_, response) => {
      ordered += 1;
      arrived.resolve();
      response.end("ordered");
    });
    await once(shop.listen(0, "127.0.0.1"), "listening");
    const { port } = shop.address() as AddressInfo;
    order = {
      id: randomUUID(),
      name: "order",
      description: "Orders.",
      inputSchema: { type: "object", properties: {} },
      implementation: { type: "http", method: "POST", url: `http://127.0.0.1:${port}/` },
      configuration: {},
    };
    // Its answers are streams, so the messages ask for one.
    await using stub = await startProviderStub(({ body }) =>
      JSON.stringify(body).includes('"role":"tool"')
        ? { pieces: ["Done."] }
        : { pieces: [], toolCalls: [{ name: "order", arguments: {} }] },
    );
    const options = {
      environment: { ...stub.environment, AGENT_TOOL_PRIVATE_HOSTS: `127.0.0.1:${port}` },
      project: shared(),
    };
    await using one = await startAgent(options);
    await using other = await startAgent(options);
    try {
      const id = randomUUID();
      assert.equal((await deliver(one, id)).reply, "Done.");
      await arrived.promise;
      // Whoever waited for it died; its next attempt meets the other replica.
      for (const more of [{}, { begun: true }]) {
        const { code, final } = await deliver(other, id, more);
        assert.deepEqual([code, final], ["ACTION_FAILED", "true"]);
      }
      assert.equal(
        (await deliver(one, id, { begun: true })).reply,
        "Done.",
        "who knows the outcome tells it",
      );
      const asked = stub.requests.length;
      assert.equal((await deliver(other, randomUUID(), { begun: true })).code, "ACTION_FAILED");
      assert.equal(stub.requests.length, asked, "no model is asked in vain");
      assert.equal(ordered, 1);
    } finally {
      shop.closeAllConnections();
      shop.close();
    }
  });
});
