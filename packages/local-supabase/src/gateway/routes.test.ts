import assert from "node:assert/strict";
import { test } from "vitest";
import { isLocalName, type Route, routeOf } from "./routes.ts";

const HERE = "127.0.0.1:54321";

const TABLE: [string, string, Route][] = [
  ["GET", "/rest/v1/agents?select=*", { kind: "rest", path: "/agents?select=*" }],
  ["GET", "/rest/v1/", { kind: "rest", path: "/" }],
  ["GET", "/rest/v1", { kind: "rest", path: "/" }],
  ["GET", "/rest/v1/agents?apikey=k&id=eq.1", { kind: "rest", path: "/agents?id=eq.1" }],
  ["GET", "/rest/v1/agents?apikey=k", { kind: "rest", path: "/agents" }],
  ["GET", "/rest/v10/agents", { kind: "none", path: "/rest/v10/agents" }],
  ["POST", "/graphql/v1", { kind: "graphql", path: "/graphql/v1" }],
  ["GET", "/graphql/v1?query=x", { kind: "graphql", path: "/graphql/v1?query=x" }],
  ["GET", "/graphql/v1/deeper", { kind: "none", path: "/graphql/v1/deeper" }],
  ["POST", "/auth/v1/token?grant_type=password", auth("/auth/v1/token?grant_type=password", true)],
  ["GET", "/auth/v1/verify?token=t", auth("/auth/v1/verify?token=t", false)],
  ["POST", "/auth/v1/verify", auth("/auth/v1/verify", true)],
  ["GET", "/auth/v1/authorize?provider=github", auth("/auth/v1/authorize?provider=github", false)],
  ["POST", "/auth/v1/authorize", auth("/auth/v1/authorize", true)],
  ["GET", "/auth/v1/.well-known/jwks.json", auth("/auth/v1/.well-known/jwks.json", false)],
  ["GET", "/storage/v1/bucket", storage("/storage/v1/bucket")],
  ["GET", "/storage/v1/object/public/a/b.png", storage("/storage/v1/object/public/a/b.png")],
  ["GET", "/storage/v1/object/publicity/b.png", storage("/storage/v1/object/publicity/b.png")],
  ["GET", "/storage/v1/object/sign/a/b?token=t", storage("/storage/v1/object/sign/a/b?token=t")],
  ["POST", "/storage/v1/object/sign/a/b", storage("/storage/v1/object/sign/a/b")],
  ["POST", "/storage/v1/object/public/a/b.png", storage("/storage/v1/object/public/a/b.png")],
  [
    "PUT",
    "/storage/v1/object/upload/sign/a/b?token=t",
    storage("/storage/v1/object/upload/sign/a/b?token=t"),
  ],
  [
    "POST",
    "/storage/v1/object/upload/sign/a/b?token=t",
    storage("/storage/v1/object/upload/sign/a/b?token=t"),
  ],
  ["GET", "/api/agents", { kind: "function", name: "api", path: "/api/agents" }],
  ["GET", "/api", { kind: "function", name: "api", path: "/api" }],
  ["GET", "/apis", { kind: "none", path: "/apis" }],
  ["POST", "/functions/v1/api/agents?x=1", { kind: "function", name: "api", path: "/api/agents?x=1" }],
  ["POST", "/functions/v1/hello", { kind: "function", name: "hello", path: "/hello" }],
  ["POST", "/functions/v1/hello?x", { kind: "function", name: "hello", path: "/hello?x=" }],
  ["POST", "/functions/v1/", { kind: "none", path: "/functions/v1/" }],
  ["GET", "/realtime/v1/websocket", { kind: "realtime", path: "/websocket" }],
  ["GET", "/docs/swagger-ui.css?v=1", { kind: "docs", path: "/docs/swagger-ui.css" }],
  ["GET", "/docsx", { kind: "none", path: "/docsx" }],
  ["GET", "/mailbox", { kind: "mailbox", path: "/mailbox" }],
  ["GET", "/mailbox.json?to=a", { kind: "mailbox.json", path: "/mailbox.json?to=a" }],
  ["GET", "/healthz", { kind: "health", path: "/healthz" }],
  ["GET", "/", { kind: "home", path: "/" }],
  ["GET", "/elsewhere", { kind: "none", path: "/elsewhere" }],
];

for (const [method, target, expected] of TABLE) {
  test(`${method} ${target}`, () => assert.deepEqual(routeOf(HERE, method, target), expected));
}

test("every path on an agent's host is the agent's", () => {
  for (const host of ["agent-123abc.agents.localhost:54321", "Agent-123ABC.agents.localhost"]) {
    assert.deepEqual(routeOf(host, "GET", "/rest/v1/agents"), {
      kind: "agent",
      agentId: "agent-123abc",
      path: "/rest/v1/agents",
      below: false,
    });
  }
});

test("below /agents the path names the agent, and the rest is the agent's", () => {
  const route = (target: string) => routeOf("127.0.0.1:54321", "POST", target);
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
    assert.equal(route(target).kind, "none", target);
  }
});

test("a host that only looks like an agent's is not one", () => {
  for (const host of [
    "agents.localhost",
    ".agents.localhost",
    "a.b.agents.localhost",
    "a.agents.localhost.evil.com",
  ]) {
    assert.equal(routeOf(host, "GET", "/").kind, "home");
  }
});

function auth(path: string, needsKey: boolean): Route {
  return { kind: "auth", path, needsKey };
}

function storage(path: string): Route {
  return { kind: "storage", path };
}

test("a name of this machine", () => {
  for (const host of ["127.0.0.1", "localhost:54321", "LOCALHOST", "[::1]:80"])
    assert.ok(isLocalName(host), host);
  for (const host of [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example:54321",
    "",
    undefined,
  ]) {
    assert.ok(!isLocalName(host), String(host));
  }
});
