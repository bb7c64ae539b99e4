import assert from "node:assert/strict";
import { test } from "vitest";
import { isLocalName, type Route, routeOf } from "./routes.ts";
import type { Target } from "./target.ts";

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
  ["POST", "/functions/v1/hello/a?x=1", { kind: "function", name: "hello", path: "/hello/a?x=1" }],
  ["POST", "/functions/v1/hello", { kind: "function", name: "hello", path: "/hello" }],
  ["POST", "/functions/v1/hello?x", { kind: "function", name: "hello", path: "/hello?x=" }],
  ["POST", "/functions/v1/", { kind: "none", path: "/functions/v1/" }],
  ["GET", "/realtime/v1/websocket", { kind: "realtime", path: "/websocket" }],
  ["GET", "/mailbox", { kind: "mailbox", path: "/mailbox" }],
  ["GET", "/mailbox.json?to=a", { kind: "mailbox.json", path: "/mailbox.json?to=a" }],
  ["GET", "/healthz", { kind: "health", path: "/healthz" }],
  ["GET", "/", { kind: "home", path: "/" }],
  ["GET", "/elsewhere", { kind: "none", path: "/elsewhere" }],
];

for (const [method, target, expected] of TABLE) {
  test(`${method} ${target}`, () => assert.deepEqual(routeOf(HERE, method, target), expected));
}

function auth(path: string, needsKey: boolean): Route {
  return { kind: "auth", path, needsKey };
}

function storage(path: string): Route {
  return { kind: "storage", path };
}

test("an extension's routes come first; names that no service takes are unreadable there too", () => {
  const serve = () => {};
  const extension = {
    routeOf: (_: string | undefined, { path }: Target): Route | undefined =>
      path.startsWith("/rest/v1/own") ? { kind: "extension", path, limit: 1, serve } : undefined,
  };
  const kind = (raw: string) => routeOf(HERE, "GET", raw, extension).kind;
  assert.equal(kind("/rest/v1/own"), "extension");
  assert.equal(kind("/rest/v1/other"), "rest");
  assert.equal(kind("/rest/v1/own%2Fx"), "unreadable");
});

test("a function of the platform is one by both of its paths, and an unreadable path has its form", () => {
  const errors = () => ({ body: {}, headers: {} });
  const extension = {
    routeOf: (_: string | undefined, { path }: Target): Route | undefined =>
      path === "/hello" ? { kind: "function", name: "hello", path } : undefined,
    platformFunction: (name: string) => (name === "hello" ? { errors } : undefined),
    unreadableForm: (raw: string) => (raw.startsWith("/hello") ? errors : undefined),
  };
  const route = (raw: string) => routeOf(HERE, "GET", raw, extension);
  const hello = { kind: "function", name: "hello", path: "/hello", platform: { errors } };
  assert.deepEqual(route("/hello"), hello);
  assert.deepEqual(route("/functions/v1/hello"), hello);
  assert.ok(!("platform" in route("/functions/v1/other")));
  const unreadable = route("/hello/../x");
  assert.ok(unreadable.kind === "unreadable" && unreadable.errors === errors);
  assert.ok(!("errors" in route("/x/../hello")));
});

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
