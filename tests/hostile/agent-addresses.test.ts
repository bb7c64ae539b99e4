// Where an agent's owner may send its requests: an address of the machine's own networks, written into a provider's address.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, test } from "vitest";
import { launched } from "../helpers/agents.ts";
import { eventually } from "../helpers/processes.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let user: TestUser;
let inside: Server;
/** Requests that came to the service on this machine. */
let asked = 0;

const portOf = (server: Server) => (server.address() as AddressInfo).port;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  user = await stack.createUser();
  inside = createServer((_, response) => {
    asked += 1;
    // What a service inside says: an error that an SDK would repeat, and long.
    response
      .writeHead(400, { "content-type": "application/json" })
      .end(JSON.stringify({ error: { message: `inner-secret ${"x".repeat(5000)}` } }));
  }).listen(0, "127.0.0.1");
  await once(inside, "listening");
});
afterAll(async () => {
  inside.close();
  await stack.stop();
});

/** Sends a message to an agent at its own host, as its owner. */
async function say(agentId: string): Promise<string> {
  const { hostname, port } = new URL(stack.info.apiUrl);
  const call = request({
    host: hostname,
    port,
    path: "/message",
    method: "POST",
    headers: {
      host: `${agentId}.agents.localhost:${port}`,
      "content-type": "application/json",
      authorization: `Bearer ${user.token}`,
    },
  });
  call.end(JSON.stringify({ text: "hello" }));
  const [answer] = await once(call, "response");
  let body = "";
  for await (const chunk of answer.setEncoding("utf8")) body += chunk;
  return body;
}

const agentAt = (baseUrl: string) =>
  launched(stack, user, { environment: { OPENAI_API_KEY: "sk-of-the-agent", OPENAI_BASE_URL: baseUrl } });

test("an agent reaches no loopback or link-local address that its owner names, and says why", async () => {
  for (const host of [`localhost:${portOf(inside)}`, `[::1]:${portOf(inside)}`, "169.254.169.254"]) {
    const agentId = await agentAt(`http://${host}/v1`);
    const answer = await say(agentId);
    assert.match(answer, /MODEL_UNAVAILABLE/, host);
    assert.match(answer, /not on the public Internet/, host);
    await stack.fetch(`/api/agents/${agentId}`, { method: "DELETE", token: user.token });
  }
  assert.equal(asked, 0);
});

test("a redirect from an allowed host to one that is not is not followed", async () => {
  const gate = createServer((_, response) =>
    response.writeHead(307, { location: `http://localhost:${portOf(inside)}/v1` }).end(),
  ).listen(0, "127.0.0.1");
  await once(gate, "listening");
  try {
    // 127.0.0.1 is the operator's exception on this stack, localhost is not.
    const agentId = await agentAt(`http://127.0.0.1:${portOf(gate)}/v1`);
    assert.match(await say(agentId), /not on the public Internet/);
    assert.equal(asked, 0);
  } finally {
    gate.close();
    gate.closeAllConnections();
  }
});

test("of an allowed host's words the log repeats a piece, and the caller hears none", async () => {
  const agentId = await agentAt(`http://127.0.0.1:${portOf(inside)}/v1`);
  const answer = await say(agentId);
  assert.ok(!answer.includes("inner-secret"), answer);
  const line = await eventually("the failure is logged", async () => {
    const [row] = await stack.sql<{ text: string }>(
      "select message || metadata::text as text from public.agent_logs where agent_id = $1 and level = 'WARN' and message like 'openai %'",
      [agentId],
    );
    return row;
  });
  assert.ok(line.text.length < 1000, line.text);
});
