import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createArrivals } from "@agent-launchpad/local-supabase/gateway/bodies/arrival.ts";
import { createAuthDoor } from "@agent-launchpad/local-supabase/gateway/serve-auth.ts";
import { afterAll, beforeAll, describe, it } from "vitest";
import { createAuthGuard } from "./extension.ts";
import { createAuthLimit } from "./limits/auth-limit.ts";
import type { SecurityWatch } from "./security.ts";
import { createSignInGuard } from "./sign-in.ts";

describe("the sign-in guard", () => {
  const told: string[] = [];
  let locked = false;
  let away = false;
  const watch: SecurityWatch = {
    look: () => {},
    answered: () => {},
    refused: () => {},
    async beginSignIn(_, email) {
      if (away) throw new Error("away");
      told.push(`begin ${email}`);
      return { locked, retry_after: locked ? 61 : 0 };
    },
    async endSignIn(_, email, ok) {
      told.push(`end ${email} ${ok}`);
      return { locked: false, retry_after: 0 };
    },
    close: () => {},
  };
  let running = 0;
  let most = 0;
  const auth = async (request: Request): Promise<Response> => {
    running += 1;
    most = Math.max(most, running);
    const { password } = (await request.json()) as { password?: string };
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (password === "right") return Response.json({ access_token: "t" });
    if (password === "broken") return Response.json({ code: 500 }, { status: 500 });
    return Response.json({ code: 400, error_code: "invalid_credentials", msg: "Invalid" }, { status: 400 });
  };
  let server: Server;
  let url: string;
  beforeAll(async () => {
    const count = async () => ({ limit: 1000, remaining: 999, reset: 0 });
    const limit = createAuthLimit({ count, jwtKeys: "a secret of thirty-two characters!" });
    const door = createAuthDoor({
      arrivals: createArrivals(),
      guard: createAuthGuard(limit, createSignInGuard(watch)),
    });
    server = createServer((request, response) => {
      const path = request.url ?? "/";
      const handed = { origin: "http://gateway", path };
      void door(request, response, { route: { kind: "auth", path, needsKey: true }, handler: auth, handed });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/auth/v1/token?grant_type=password`;
  });
  afterAll(() => void server.close());

  const post = (body: unknown) =>
    fetch(url, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });

  it("passes a sign-in on with its body and tells how it ended", async () => {
    told.length = 0;
    const answer = await post({ email: "a@example.com", password: "right" });
    assert.deepEqual([answer.status, await answer.json()], [200, { access_token: "t" }]);
    await post({ email: "a@example.com", password: "wrong" });
    assert.deepEqual(told, [
      "begin a@example.com",
      "end a@example.com true",
      "begin a@example.com",
      "end a@example.com false",
    ]);
  });

  it("does not take a failure of Auth for a wrong password", async () => {
    told.length = 0;
    assert.equal((await post({ email: "a@example.com", password: "broken" })).status, 500);
    assert.deepEqual(told, ["begin a@example.com"]);
  });

  it("does not ask Auth for a locked account", async () => {
    locked = true;
    const answer = await post({ email: "a@example.com", password: "right" });
    locked = false;
    assert.equal(answer.status, 429);
    assert.equal(answer.headers.get("retry-after"), "61");
    assert.equal(((await answer.json()) as { error_code: string }).error_code, "over_request_rate_limit");
  });

  it("checks no password while the database is down", async () => {
    away = true;
    assert.equal((await post({ email: "a@example.com", password: "right" })).status, 503);
    away = false;
  });

  it("checks the passwords of one account one after the other, whatever the case of its address", async () => {
    most = 0;
    await Promise.all(
      ["a@example.com", "A@example.com", " a@EXAMPLE.com"].map((email) => post({ email, password: "wrong" })),
    );
    assert.equal(most, 1);
    await Promise.all(["b", "c", "d"].map((name) => post({ email: `${name}@x.com`, password: "wrong" })));
    assert.ok(most > 1, "different accounts do not wait for each other");
  });

  it("refuses what names no address before a password is checked, and a huge body", async () => {
    told.length = 0;
    assert.equal((await post({ phone: "1", password: "wrong" })).status, 400);
    assert.equal((await post({ email: ["a@example.com"], password: "wrong" })).status, 400);
    assert.equal(
      (await post(`\ufeff${JSON.stringify({ email: "a@example.com", password: "w" })}`)).status,
      400,
    );
    assert.deepEqual(told, []);
    assert.equal((await post("x".repeat(1024 * 1024 + 1))).status, 413);
  });

  it("counts a sign-in whose body is larger than a password needs", async () => {
    told.length = 0;
    await post({ email: "a@example.com", password: "wrong", data: { padding: "x".repeat(70_000) } });
    assert.deepEqual(told, ["begin a@example.com", "end a@example.com false"]);
  });
});
