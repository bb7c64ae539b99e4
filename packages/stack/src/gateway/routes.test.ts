import assert from "node:assert/strict";
import { readTarget } from "@agent-launchpad/local-supabase/gateway/target.ts";
import { test } from "vitest";
import { stackRouteOf } from "./routes.ts";

function route(raw: string, host = "127.0.0.1:54321") {
  const target = readTarget(raw);
  assert.ok(!("cure" in target), raw);
  return stackRouteOf(host, target);
}

for (const [raw, expected] of [
  ["/api/agents?x=1", { kind: "api", path: "/api/agents?x=1" }],
  ["/api", { kind: "api", path: "/api" }],
  ["/apis", undefined],
  ["/docs/swagger-ui.css?v=1", { kind: "docs", path: "/docs/swagger-ui.css" }],
  ["/docsx", undefined],
  ["/rest/v1/agents", undefined],
] as const) {
  test(`${raw} is ${expected?.kind ?? "the project's"}`, () => assert.deepEqual(route(raw), expected));
}

test("every path on an agent's host is the agent's", () => {
  for (const host of ["agent-123abc.agents.localhost:54321", "Agent-123ABC.agents.localhost"]) {
    assert.deepEqual(route("/rest/v1/agents", host), {
      kind: "agent",
      agentId: "agent-123abc",
      path: "/rest/v1/agents",
      below: false,
    });
  }
});

test("below /agents the path names the agent, and the rest is the agent's", () => {
  const agent = { kind: "agent", agentId: "agent-1", below: true };
  assert.deepEqual(route("/agents/agent-1/message?x=1"), { ...agent, path: "/message?x=1" });
  assert.deepEqual(route("/agents/agent-1"), { ...agent, path: "/" });
  for (const target of [
    "/agents",
    "/agents/",
    "/agents/Agent-1/message",
    "/agents/-a/message",
    "/agents/a.b/message",
  ]) {
    assert.equal(route(target), undefined, target);
  }
});

test("a host that only looks like an agent's is not one", () => {
  for (const host of [
    "agents.localhost",
    ".agents.localhost",
    "a.b.agents.localhost",
    "a.agents.localhost.evil.com",
  ]) {
    assert.equal(route("/", host), undefined);
  }
});
