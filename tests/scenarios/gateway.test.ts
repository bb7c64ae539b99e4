// What a client of the stack sees at its one port: keys, CORS, sign-in by every way, and whose rows are whose.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, test } from "vitest";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

let stack: TestStack;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
});
afterAll(() => stack.stop());

interface Mail {
  to: string;
  subject: string;
  text: string;
}

/** The newest e-mail to an address. */
async function lastMail(to: string): Promise<Mail> {
  const path = `/mailbox.json?to=${encodeURIComponent(to)}`;
  const mails = (await (await stack.fetch(path, { key: stack.info.secretKey })).json()) as Mail[];
  assert.ok(mails[0], `an e-mail to ${to}`);
  return mails[0];
}

const codeIn = (mail: Mail) => /\b(\d{6})\b/.exec(mail.text)?.[1] ?? assert.fail(`no code in: ${mail.text}`);
const linkIn = (mail: Mail) =>
  /https?:\/\/\S+\/auth\/v1\/verify\S+/.exec(mail.text)?.[0] ?? assert.fail(mail.text);
const someone = () => `user-${randomUUID()}@example.com`;

describe("API keys", () => {
  test("/storage/v1/bucket wants a token or a key, and says so as hosted does", async () => {
    const without = await stack.fetch("/storage/v1/bucket", { key: null });
    assert.equal(without.status, 400);
    assert.deepEqual(await without.json(), {
      statusCode: "403",
      error: "Unauthorized",
      message: "Invalid Compact JWS",
      code: "AccessDenied",
    });
    assert.equal((await stack.fetch("/storage/v1/bucket", { key: "sb_publishable_wrong" })).status, 401);
    const { token } = await stack.createUser();
    assert.equal((await stack.fetch("/storage/v1/bucket", { key: null, token })).status, 200);
    assert.equal((await stack.fetch("/storage/v1/bucket")).status, 200);
  });

  for (const path of ["/rest/v1/agents", "/auth/v1/settings"]) {
    test(`${path} wants a key, and the right one`, async () => {
      const without = await stack.fetch(path, { key: null });
      assert.equal(without.status, 401);
      assert.deepEqual(await without.json(), {
        message: "No API key found in request",
        hint: "No `apikey` request header or url param was found.",
      });
      const wrong = await stack.fetch(path, { key: "sb_publishable_wrong" });
      assert.equal(wrong.status, 401);
      assert.deepEqual(await wrong.json(), {
        message: "Invalid API key",
        hint: "Double check your API key.",
      });
    });
  }

  test("a key in the query counts, and is no filter for PostgREST", async () => {
    const answer = await stack.fetch(`/rest/v1/agents?select=id&limit=1&apikey=${stack.info.secretKey}`, {
      key: null,
    });
    assert.equal(answer.status, 200);
  });

  test("a functions call needs no key, but refuses a wrong one, in the API's own error form", async () => {
    const open = await stack.fetch("/api/openapi.json", { key: null });
    assert.equal(open.status, 200);
    for (const path of ["/api/agents", "/functions/v1/api/agents"]) {
      const wrong = await stack.fetch(path, {
        key: "sb_secret_wrong",
        headers: { "x-request-id": "req-mine" },
      });
      assert.equal(wrong.status, 401);
      assert.equal(wrong.headers.get("x-request-id"), "req-mine");
      assert.equal(wrong.headers.get("x-ratelimit-limit"), "0");
      const { error } = (await wrong.json()) as { error: Record<string, unknown> };
      assert.equal(error.code, "INVALID_JWT_TOKEN");
      assert.equal(error.requestId, "req-mine");
    }
  });

  test("a user's token is no key", async () => {
    const { token } = await stack.createUser();
    assert.equal((await stack.fetch("/rest/v1/agents", { key: token })).status, 401);
  });
});

describe("CORS", () => {
  test("a preflight with what supabase-js sends is answered, on every path", async () => {
    const requested = "authorization,apikey,content-type,x-client-info,prefer,idempotency-key";
    for (const path of [
      "/rest/v1/agents",
      "/auth/v1/token",
      "/storage/v1/bucket",
      "/api/agents",
      "/functions/v1/api/agents",
    ]) {
      const answer = await stack.fetch(path, {
        key: null,
        method: "OPTIONS",
        headers: {
          origin: "http://localhost:3000",
          "access-control-request-method": "POST",
          "access-control-request-headers": requested,
        },
      });
      assert.equal(answer.status, 204, path);
      assert.equal(answer.headers.get("access-control-allow-origin"), "*");
      assert.equal(answer.headers.get("access-control-allow-headers"), requested);
      assert.match(answer.headers.get("access-control-allow-methods") ?? "", /PATCH/);
    }
  });

  test("a page may read the answers, errors too, and the rate-limit headers", async () => {
    for (const path of ["/rest/v1/agents", "/auth/v1/user", "/api/agents", "/nowhere"]) {
      const answer = await stack.fetch(path, { headers: { origin: "http://localhost:3000" } });
      assert.equal(answer.headers.get("access-control-allow-origin"), "*", path);
      assert.match(answer.headers.get("access-control-expose-headers") ?? "", /x-ratelimit-remaining/i, path);
    }
  });
});

describe("signing in", () => {
  test("by password: the session has what both specifications promise", async () => {
    const { email, password, id } = await stack.createUser();
    const answer = await stack.fetch("/auth/v1/token?grant_type=password", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email, password }),
    });
    assert.equal(answer.status, 200);
    const session = (await answer.json()) as Record<string, unknown> & {
      user: { id: string; user_metadata: object };
    };
    assert.equal(typeof session.access_token, "string");
    assert.equal(typeof session.refresh_token, "string");
    assert.equal(session.expires_in, 3600);
    assert.equal(session.token_type, "bearer");
    assert.equal(session.user.id, id);
    assert.equal(typeof session.user.user_metadata, "object");
  });

  test("a wrong password is refused", async () => {
    const { email } = await stack.createUser();
    const { error } = await stack.client().auth.signInWithPassword({ email, password: "not-this-one" });
    assert.equal(error?.status, 400);
  });

  test("by a code from an e-mail", async () => {
    const email = someone();
    const client = stack.client();
    assert.equal((await client.auth.signInWithOtp({ email })).error, null);
    const token = codeIn(await lastMail(email));
    const { data, error } = await client.auth.verifyOtp({ email, token, type: "email" });
    assert.equal(error, null);
    assert.equal(data.user?.email, email);
  });

  test("by the link in an e-mail, which a browser opens without a key", async () => {
    const { email, id } = await stack.createUser();
    const asked = await stack.fetch("/auth/v1/magiclink", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email }),
    });
    assert.equal(asked.status, 200);
    const opened = await fetch(linkIn(await lastMail(email)), { redirect: "manual" });
    assert.equal(opened.status, 303);
    const fragment = new URLSearchParams(new URL(opened.headers.get("location") ?? "").hash.slice(1));
    const { data } = await stack.client().auth.getUser(fragment.get("access_token") ?? "");
    assert.equal(data.user?.id, id);
  });

  test("a link from another site is not sent on to", async () => {
    const { email } = await stack.createUser();
    const client = stack.client();
    await client.auth.signInWithOtp({ email, options: { emailRedirectTo: "https://evil.example/steal" } });
    const opened = await fetch(linkIn(await lastMail(email)), { redirect: "manual" });
    assert.ok(!opened.headers.get("location")?.startsWith("https://evil.example"));
  });

  test("by OAuth: both forms say clearly that the provider is not set up", async () => {
    const posted = await stack.fetch("/auth/v1/authorize", {
      method: "POST",
      body: JSON.stringify({ provider: "google", redirect_to: "http://localhost:3000/callback" }),
    });
    assert.equal(posted.status, 400);
    assert.match(JSON.stringify(await posted.json()), /provider is not enabled/);
    const nameless = await stack.fetch("/auth/v1/authorize", { method: "POST", body: "{" });
    assert.equal(nameless.status, 400);
    const opened = await stack.fetch("/auth/v1/authorize?provider=google", { key: null, redirect: "manual" });
    assert.ok(opened.status >= 300 && opened.status < 500);
  });

  test("a session is refreshed, its user changed, and it ends", async () => {
    const user = await stack.createUser();
    const refreshed = await user.client.auth.refreshSession();
    assert.equal(refreshed.error, null);
    assert.notEqual(refreshed.data.session?.refresh_token, user.refreshToken);
    const updated = await user.client.auth.updateUser({ data: { nickname: "Ada" } });
    assert.equal(updated.data.user?.user_metadata.nickname, "Ada");
    assert.equal((await user.client.auth.signOut()).error, null);
    const late = await stack.client().auth.refreshSession({ refresh_token: user.refreshToken });
    assert.ok(late.error);
  });
});

describe("whose rows", () => {
  test("without a user there is nothing; a user sees their own; the secret key sees all", async () => {
    const [alice, bob] = [await stack.createUser(), await stack.createUser()];
    const made = await alice.client.from("agents").insert({ name: "alices" }).select("id").single();
    assert.equal(made.error, null);
    const id = made.data?.id as string;
    const seen = async (client = stack.client()) =>
      (await client.from("agents").select("id").eq("id", id)).data ?? [];
    assert.deepEqual(await seen(), []);
    assert.deepEqual(await seen(bob.client), []);
    assert.deepEqual(await seen(alice.client), [{ id }]);
    assert.deepEqual(await seen(stack.client(stack.info.secretKey)), [{ id }]);
  });

  test("the secret key in both headers, as supabase-js sends it, is service_role", async () => {
    const { secretKey } = stack.info;
    const answer = await stack.fetch("/rest/v1/agents?limit=1", { key: secretKey, token: secretKey });
    assert.equal(answer.status, 200);
  });

  test("forged, unsigned and expired tokens are refused everywhere", async () => {
    const { token } = await stack.createUser();
    const [head, payload, signature] = token.split(".") as [string, string, string];
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const service = encode({ ...claims, role: "service_role" });
    const foreign = createHmac("sha256", "another-secret").update(`${head}.${service}`).digest("base64url");
    const forged = [
      `${head}.${service}.${signature}`,
      `${head}.${service}.${foreign}`,
      `${encode({ alg: "none", typ: "JWT" })}.${service}.`,
      "not-a-token",
    ];
    for (const each of forged) {
      assert.equal((await stack.fetch("/rest/v1/agents", { token: each })).status, 401, "rest");
      assert.equal((await stack.fetch("/api/agents", { token: each })).status, 401, "api");
      const user = await stack.fetch("/auth/v1/user", { token: each });
      assert.ok(user.status === 401 || user.status === 403, "auth");
    }
  });
});

describe("storage", () => {
  test("a bucket's file comes back; a public one without a key; a signed link works", async () => {
    const service = stack.client(stack.info.secretKey);
    const bucket = `bucket-${randomUUID()}`;
    assert.equal((await service.storage.createBucket(bucket, { public: true })).error, null);
    const files = service.storage.from(bucket);
    const text = "x".repeat(300_000);
    const uploaded = await files.upload("folder/a file.txt", new Blob([text], { type: "text/plain" }), {
      contentType: "text/plain",
    });
    assert.equal(uploaded.error, null);
    assert.equal(await (await files.download("folder/a file.txt")).data?.text(), text);
    const open = await fetch(files.getPublicUrl("folder/a file.txt").data.publicUrl);
    assert.equal(open.status, 200);
    assert.equal(open.headers.get("content-type"), "text/plain");
    assert.equal((await open.text()).length, text.length);
    const signed = await files.createSignedUrl("folder/a file.txt", 60);
    assert.equal((await fetch(signed.data?.signedUrl ?? "")).status, 200);
    const slot = await files.createSignedUploadUrl("later.txt");
    const later = await stack
      .client()
      .storage.from(bucket)
      .uploadToSignedUrl("later.txt", slot.data?.token ?? "", "later");
    assert.equal(later.error, null);
    assert.equal((await files.list()).data?.length, 2);
    assert.equal((await files.remove(["later.txt", "folder/a file.txt"])).data?.length, 2);
  });
});

describe("the rest of the port", () => {
  test("unknown paths, functions and agents answer JSON", async () => {
    const cases: [string, number][] = [
      ["/nowhere", 404],
      ["/functions/v1/nothing", 404],
      ["/healthz", 200],
      ["/", 200],
      ["/mailbox.json", 401],
    ];
    for (const [path, status] of cases) {
      const answer = await stack.fetch(path);
      assert.equal(answer.status, status, path);
      assert.match(answer.headers.get("content-type") ?? "", /^application\/json/, path);
      await answer.json();
    }
    const agent = await stack.agentFetch("agent-that-is-not", "/message", { method: "POST", body: "{}" });
    assert.ok(agent.status === 404 || agent.status === 503);
    JSON.parse(agent.body);
  });

  test("no other site may read the mailbox: no CORS, no foreign name", async () => {
    const own = await stack.fetch("/mailbox.json", {
      key: stack.info.secretKey,
      headers: { origin: "https://evil.example" },
    });
    assert.equal(own.status, 200);
    assert.equal(own.headers.get("access-control-allow-origin"), null);
    const { hostname, port } = new URL(stack.info.apiUrl);
    const foreign = await new Promise<number | undefined>((resolve, reject) => {
      request(
        { host: hostname, port, path: "/mailbox.json", headers: { host: "evil.example" } },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        },
      )
        .on("error", reject)
        .end();
    });
    assert.equal(foreign, 403);
  });

  test("what is not HTTP is told so in JSON", async () => {
    const { hostname, port } = new URL(stack.info.apiUrl);
    const socket = connect(Number(port), hostname);
    socket.end("FOO /api/agents HTTP/1.1\r\nhost: x\r\n\r\n");
    let text = "";
    for await (const chunk of socket.setEncoding("utf8")) text += chunk;
    assert.match(text, /^HTTP\/1\.1 400 /);
    assert.equal(JSON.parse(text.slice(text.indexOf("{"))).code, "VALIDATION_ERROR");
  });

  test("a browser gets pages at / and /mailbox, and mail cannot inject into them", async () => {
    const headers = { accept: "text/html" };
    assert.match(await (await stack.fetch("/", { key: null, headers })).text(), /<h1>Agent Launchpad<\/h1>/);
    await stack.client().auth.signInWithOtp({ email: `"<img/src=x>"@example.com` });
    const page = await (await stack.fetch("/mailbox", { key: stack.info.secretKey, headers })).text();
    assert.match(page, /<article>/);
    assert.ok(!page.includes("<img"));
  });

  test("a malformed request does not disturb the next one", async () => {
    const { port, hostname } = new URL(stack.info.apiUrl);
    for (const raw of [
      "GET / HTTP/9\r\n\r\n",
      "\r\n\r\n\r\n",
      `GET /${"x".repeat(70_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
    ]) {
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {}); // the gateway hangs up: as it should
      socket.resume().end(raw);
      await new Promise((resolve) => socket.once("close", resolve));
    }
    assert.equal((await stack.fetch("/healthz")).status, 200);
  });
});
