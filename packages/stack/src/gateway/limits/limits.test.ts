import assert from "node:assert/strict";
import { readAuthRequest } from "@agent-launchpad/local-supabase/gateway/auth-request.ts";
import { mintRoleToken } from "@agent-launchpad/local-supabase/tokens.ts";
import { describe, test } from "vitest";
import { createAuthLimit } from "./auth-limit.ts";
import { type Counted, createRestLimit } from "./rest-limit.ts";

describe("the budget of direct reads", () => {
  const USER = "8c9e6679-7425-40de-944b-e07fc1f90ae7";
  const OTHER = "11111111-7425-40de-944b-e07fc1f90ae7";

  function counter(limit: number) {
    const used: Record<string, number> = {};
    const state = { limit, down: false, used, calls: 0 };
    const count = async (reads: Record<string, number>): Promise<Record<string, Counted>> => {
      state.calls += 1;
      if (state.down) throw new Error("down");
      for (const [user, n] of Object.entries(reads)) used[user] = (used[user] ?? 0) + n;
      return Object.fromEntries(
        Object.keys(reads).map((user) => [user, { limit: state.limit, used: used[user] ?? 0, reset: 60 }]),
      );
    };
    return { state, count };
  }

  test("is counted together, refused when spent, per user, and a raised limit counts", async () => {
    const { state, count } = counter(10);
    const limit = createRestLimit({ count, now: () => 0, flushMs: 60_000 });
    for (let i = 0; i < 4; i++) limit.read(USER);
    await limit.flush();
    assert.deepEqual([state.calls, state.used[USER]], [1, 4]);
    for (let i = 0; i < 6; i++) assert.equal(limit.read(USER)?.allowed, true);
    assert.equal(limit.read(USER)?.allowed, false, "the eleventh, before SQL has heard of the tenth");
    await limit.flush();
    assert.equal(state.used[USER], 10, "a refused read is not counted");
    assert.equal(limit.read(USER)?.allowed, false);
    assert.equal(limit.read(OTHER)?.allowed, true);
    state.limit = 20;
    await limit.flush();
    assert.equal(limit.read(USER)?.allowed, true);
    limit.close();
  });

  test("writes that SQL counted are part of it", async () => {
    const { state, count } = counter(10);
    const limit = createRestLimit({ count, now: () => 0, flushMs: 60_000 });
    state.used[USER] = 9;
    limit.read(USER);
    await limit.flush();
    assert.equal(limit.read(USER)?.allowed, false);
    limit.close();
  });

  test("a new window is a new budget; a database that is down refuses nobody", async () => {
    const { state, count } = counter(1);
    let now = 0;
    const limit = createRestLimit({ count, now: () => now, flushMs: 60_000 });
    limit.read(USER);
    await limit.flush();
    assert.equal(limit.read(USER)?.allowed, false);
    now = 60_000;
    assert.notEqual(limit.read(USER)?.allowed, false);
    state.down = true;
    await limit.flush();
    for (let i = 0; i < 5; i++) assert.notEqual(limit.read(USER)?.allowed, false);
    limit.close();
  });
});

describe("the limit of auth requests", () => {
  const secret = "a secret of thirty-two characters!";
  const passed: string[] = [];
  let left = 2;
  const counted: string[] = [];
  const limit = createAuthLimit({
    jwtKeys: secret,
    now: () => 1_000,
    count: async (email) => {
      counted.push(email);
      return { limit: 2, remaining: --left, reset: 61 };
    },
  });
  const post = async (path: string, body: unknown, token?: string): Promise<Response> => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const asked = readAuthRequest("POST", `/auth/v1/${path}`, "application/json", Buffer.from(text));
    if ("cure" in asked) return Response.json(asked, { status: asked.status ?? 400 });
    return await limit({ method: "POST", asked, token }, async () => {
      passed.push(String(asked.body));
      return Response.json({ ok: true });
    });
  };

  test("counts by address, tells what is left, then refuses in Auth's own form", async () => {
    const body = { email: "a@example.com", password: "p" };
    const first = await post("token?grant_type=password", body);
    assert.equal(first.headers.get("supabase-auth-rate-limit"), "1");
    assert.deepEqual(passed, [JSON.stringify(body)]);
    await post("otp", body);
    const third = await post("recover", body);
    assert.equal(third.status, 429);
    assert.equal(third.headers.get("retry-after"), "60");
    assert.deepEqual(await third.json(), {
      code: 429,
      error_code: "over_request_rate_limit",
      msg: "Request rate limit reached",
    });
    assert.equal(passed.length, 2);
  });

  test("leaves alone what is no guess, or comes with the secret key; refuses a guess at no address", async () => {
    const before = counted.length;
    await post("token?grant_type=refresh_token", { refresh_token: "x" });
    await post("logout", { email: "a@example.com" });
    const token = mintRoleToken("service_role", secret, 1_000, 60);
    assert.equal((await post("otp", { email: "a@example.com" }, token)).status, 200);
    const served = passed.length;
    for (const body of ["{", {}, { email: 7 }, { email: ["a@example.com"] }, { Email: "a@example.com" }, ""])
      assert.equal((await post("otp", body)).status, 400, JSON.stringify(body));
    assert.equal(passed.length, served);
    assert.equal(counted.length, before);
  });

  test("counts the address that Auth reads, however it is written", async () => {
    for (const email of [
      "a@example.com",
      " A@example.com",
      "a@EXAMPLE.com\n",
      "a@example.com\u00a0",
      "A@e\u212aample.com",
    ]) {
      counted.length = passed.length = 0;
      left = 9;
      await post("otp", { email });
      assert.deepEqual(counted, [JSON.parse(passed[0] ?? "{}").email]);
      assert.equal(counted[0], counted[0]?.trim().toLowerCase());
    }
  });
});
