// Accounts: what an answer of Auth tells about the existence of an account, and what a changed password ends.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "vitest";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let alice: TestUser;
beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  alice = await stack.createUser();
});
afterAll(() => stack.stop());

const auth = async (path: string, body: unknown, init: { method?: string; token?: string } = {}) => {
  const answer = await stack.fetch(`/auth/v1${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
    ...init,
  });
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? null : JSON.parse(text) };
};
const unknown = () => `nobody-${randomUUID()}@example.com`;
/** Rounds of the comparison in time: what else the machine does adds to one side or the other, and to both in the end. */
const ROUNDS = 6;

describe("whether an account exists", () => {
  test("a wrong password is answered alike, in words and in time, for known and unknown addresses", async () => {
    await stack.sql(
      "update private.security_settings set value = value || '{\"failures\": 1000}' where name = 'lockout'",
    );
    try {
      const quickest = { known: Number.POSITIVE_INFINITY, unknown: Number.POSITIVE_INFINITY };
      const said = new Set<string>();
      const isAlike = () =>
        Math.abs(quickest.known - quickest.unknown) < 0.25 * Math.max(quickest.known, quickest.unknown);
      for (let round = 0; round < ROUNDS && !isAlike(); round++) {
        for (let i = 0; i < 16; i++) {
          for (const kind of ["known", "unknown"] as const) {
            const email = kind === "known" ? alice.email : unknown();
            const began = performance.now();
            const answer = await auth("/token?grant_type=password", { email, password: "wrong-password" });
            quickest[kind] = Math.min(quickest[kind], performance.now() - began);
            said.add(JSON.stringify(answer));
          }
        }
      }
      assert.equal(said.size, 1, [...said].join("\n"));
      assert.ok(isAlike(), `${quickest.known} ms against ${quickest.unknown} ms`);
    } finally {
      await stack.sql(
        "update private.security_settings set value = value || '{\"failures\": 5}' where name = 'lockout'",
      );
    }
  });

  for (const [name, path, more] of [
    ["a code without sign-up", "/otp", { create_user: false }],
    ["a password recovery", "/recover", {}],
    ["a resent confirmation", "/resend", { type: "signup" }],
    ["a resent change of address", "/resend", { type: "email_change" }],
  ] as const) {
    test(`${name} is answered alike for known and unknown addresses`, async () => {
      const known = await auth(path, { email: alice.email, ...more });
      const absent = await auth(path, { email: unknown(), ...more });
      assert.deepEqual(absent, known);
      assert.deepEqual(known, { status: 200, body: {} });
    });
  }

  test("a code without sign-up makes no account and sends no mail", async () => {
    const email = unknown();
    await auth("/otp", { email, create_user: false });
    assert.equal((await stack.sql("select from auth.users where email = $1", [email])).length, 0);
    const path = `/mailbox.json?to=${encodeURIComponent(email)}`;
    const mails = await (await stack.fetch(path, { key: stack.info.secretKey })).json();
    assert.equal((mails as unknown[]).length, 0);
  });

  test("a password of another type is refused alike for known and unknown addresses", async () => {
    for (const password of [1, null, ["x"], {}]) {
      const known = await auth("/token?grant_type=password", { email: alice.email, password });
      const absent = await auth("/token?grant_type=password", { email: unknown(), password });
      assert.equal(known.status, 400);
      assert.deepEqual(absent, known);
    }
  });
});

describe("a changed password", () => {
  test("ends other sessions; the one that changed it and other users' go on", async () => {
    const [user, bob] = [await stack.createUser(), await stack.createUser()];
    const second = await auth("/token?grant_type=password", { email: user.email, password: user.password });
    assert.equal(second.status, 200);
    const password = `new-${randomUUID()}`;
    const changed = await auth("/user", { password }, { method: "PUT", token: second.body.access_token });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    const refresh = (refresh_token: string) => auth("/token?grant_type=refresh_token", { refresh_token });
    const first = await refresh(user.refreshToken);
    assert.equal(first.status, 400);
    assert.equal(first.body.error_code, "refresh_token_not_found");
    assert.equal((await refresh(second.body.refresh_token)).status, 200);
    assert.equal((await refresh(bob.refreshToken)).status, 200);
    // Auth itself no longer takes the ended session's token.
    assert.equal((await stack.fetch("/auth/v1/user", { token: user.token })).status, 403);
    assert.equal((await auth("/token?grant_type=password", { email: user.email, password })).status, 200);
  });

  test("other changes of the account end no session", async () => {
    const user = await stack.createUser();
    const second = await auth("/token?grant_type=password", { email: user.email, password: user.password });
    await auth("/user", { data: { full_name: "x" } }, { method: "PUT", token: second.body.access_token });
    const same = await auth(
      "/user",
      { password: user.password },
      { method: "PUT", token: second.body.access_token },
    );
    assert.equal(same.status, 422, "the same password is refused");
    assert.equal(
      (await auth("/token?grant_type=refresh_token", { refresh_token: user.refreshToken })).status,
      200,
    );
  });

  test("a forged token and an anonymous caller change nothing", async () => {
    const forged = `${alice.token.slice(0, -4)}AAAA`;
    assert.equal(
      (await auth("/user", { password: "new-password-1" }, { method: "PUT", token: forged })).status,
      403,
    );
    assert.equal((await auth("/user", { password: "new-password-1" }, { method: "PUT" })).status, 403);
    assert.equal(
      (await auth("/token?grant_type=refresh_token", { refresh_token: alice.refreshToken })).status,
      200,
    );
  });
});
