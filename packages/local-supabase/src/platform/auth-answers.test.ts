import assert from "node:assert/strict";
import { test } from "vitest";
import { noteError, withHostedAnswers } from "./auth-answers.ts";

const wrong = () => Response.json({ error_code: "invalid_credentials" }, { status: 400 });
const post = (path: string, body: unknown, method = "POST") =>
  new Request(`http://localhost/auth/v1${path}`, {
    method,
    body: JSON.stringify(body),
    headers: { authorization: "Bearer t" },
  });

test("a wrong password takes as long for an address without an account", async () => {
  const took = async (known: boolean) => {
    const handler = withHostedAnswers(async () => wrong(), {
      hasPassword: async () => known,
      isBanned: async () => false,
    });
    await handler(post("/token?grant_type=password", { email: "a@b.c", password: "x" })); // makes the decoy
    const began = performance.now();
    await handler(post("/token?grant_type=password", { email: "a@b.c", password: "x" }));
    return performance.now() - began;
  };
  const least = async (known: boolean) =>
    Math.min(await took(known), await took(known), await took(known), await took(known));
  assert.ok((await least(false)) > 10, "compares with a decoy");
  assert.ok((await least(true)) < 10, "Auth itself compared");
});

test("a password that is no text is refused before anything depends on the account", async () => {
  const handler = withHostedAnswers(async () => assert.fail("asked"), {
    hasPassword: async () => true,
    isBanned: async () => false,
  });
  const answer = await handler(post("/token?grant_type=password", { email: "a@b.c", password: 1 }));
  assert.equal(answer.status, 400);
  assert.equal((await answer.json()).error_code, "validation_failed");
});

for (const [path, status, code] of [
  ["/otp", 422, "otp_disabled"],
  ["/resend", 429, "over_email_send_rate_limit"],
] as const) {
  test(`${path} answers {} at a fixed time where Auth says ${code}`, async () => {
    const handler = withHostedAnswers(async () => Response.json({ error_code: code }, { status }), {
      hasPassword: async () => false,
      isBanned: async () => false,
    });
    const began = performance.now();
    const answer = await handler(post(path, { email: "a@b.c" }));
    assert.deepEqual([answer.status, await answer.json()], [200, {}]);
    assert.ok(performance.now() - began >= 240);
  });
}

test("another refusal of a mail passes", async () => {
  const handler = withHostedAnswers(
    async () => Response.json({ error_code: "validation_failed" }, { status: 400 }),
    { hasPassword: async () => false, isBanned: async () => false },
  );
  assert.equal((await handler(post("/otp", {}))).status, 400);
});

test("a changed password ends the other sessions with the caller's own token", async () => {
  const asked: string[] = [];
  const handler = withHostedAnswers(
    async (request) => {
      asked.push(
        `${request.method} ${new URL(request.url).pathname}${new URL(request.url).search} ${request.headers.get("authorization")}`,
      );
      return Response.json({});
    },
    { hasPassword: async () => true, isBanned: async () => false },
  );
  await handler(post("/user", { password: "new-password" }, "PUT"));
  await handler(post("/user", { data: { a: 1 } }, "PUT"));
  assert.deepEqual(asked, [
    "PUT /auth/v1/user Bearer t",
    "POST /auth/v1/logout?scope=others Bearer t",
    "PUT /auth/v1/user Bearer t",
  ]);
});

test("other sessions that could not be ended are an error", async () => {
  const handler = withHostedAnswers(
    async (request) => new Response(null, { status: request.method === "PUT" ? 200 : 500 }),
    { hasPassword: async () => true, isBanned: async () => false },
  );
  assert.equal((await handler(post("/user", { password: "new-password" }, "PUT"))).status, 500);
});

for (const [error, status, code] of [
  [new Error("user_banned"), 403, "user_banned"],
  [
    Object.assign(
      new Error(
        '{"code":"VALIDATION_ERROR","message":"m","details":"{\\"user_metadata\\": \\"Must be small\\"}"}',
      ),
      { code: "PGRST" },
    ),
    400,
    "validation_failed",
  ],
  [new Error("something else"), 500, undefined],
] as const) {
  test(`${error.message.slice(0, 20)} of the database becomes ${status}`, async () => {
    const handler = withHostedAnswers(
      async () => {
        noteError(error);
        return Response.json({}, { status: 500 });
      },
      { hasPassword: async () => true, isBanned: async () => false },
    );
    const answer = await handler(post("/signup", {}));
    assert.equal(answer.status, status);
    assert.equal((await answer.json()).error_code, code);
  });
}

test("a banned account's token is refused everywhere but at the sign-out", async () => {
  const asked: string[] = [];
  const handler = withHostedAnswers(
    async (request) => {
      asked.push(new URL(request.url).pathname);
      return new Response(null, { status: 204 });
    },
    { hasPassword: async () => true, isBanned: async (authorization) => authorization === "Bearer t" },
  );
  for (const path of ["/user", "/factors", "/otp"]) {
    const answer = await handler(post(path, { data: {} }, path === "/user" ? "PUT" : "POST"));
    assert.deepEqual([answer.status, (await answer.json()).error_code], [403, "user_banned"]);
  }
  assert.equal((await handler(post("/logout", {}))).status, 204);
  assert.deepEqual(asked, ["/auth/v1/logout"]);
});
