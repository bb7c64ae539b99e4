// "Supabase Authentication" and "User Management with Supabase Auth" of the Launchpad specification, request by request.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, test } from "vitest";
import { userProfile } from "../../supabase/functions/_shared/contract/index.ts";
import { api, forgedToken } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let owner: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  owner = await stack.createUser();
});
afterAll(() => stack.stop());

// biome-ignore lint/suspicious/noExplicitAny: bodies are judged field by field
const auth = async (method: string, path: string, body?: unknown, token?: string): Promise<[number, any]> => {
  const answer = await stack.fetch(`/auth/v1/${path}`, {
    method,
    headers: { "content-type": "application/json" },
    ...(token === undefined ? {} : { token }),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return [answer.status, text === "" ? undefined : JSON.parse(text)];
};
const signIn = (email: string, password: string) =>
  auth("POST", "token?grant_type=password", { email, password });
const profile = (method = "GET", body?: unknown, caller: TestUser | string = owner) =>
  api(stack, caller, method, "/users/profile", body);

describe("Email/Password Authentication", () => {
  test("a password is as long as supabase/config.toml wants, at sign-up and when it is changed", async () => {
    const config = readFileSync(new URL("../../supabase/config.toml", import.meta.url), "utf8");
    const least = Number(/^minimum_password_length = (\d+)$/m.exec(config)?.[1]);
    const email = `${randomUUID()}@example.com`;
    for (const [length, expected] of [
      [least - 1, 422],
      [least, 200],
    ] as const) {
      const [status, body] = await auth("POST", "signup", { email, password: "p".repeat(length) });
      assert.equal(status, expected);
      if (expected === 422) assert.equal(body.error_code, "weak_password");
    }
    const [, { access_token }] = await signIn(email, "p".repeat(least));
    const [status] = await auth("PUT", "user", { password: "q".repeat(least - 1) }, access_token);
    assert.equal(status, 422);
  });

  test("POST /auth/v1/token?grant_type=password: a session whose token works everywhere", async () => {
    const [status, session] = await signIn(owner.email, owner.password);
    assert.equal(status, 200);
    assert.equal(session.token_type, "bearer");
    assert.equal(session.expires_in, 3600);
    assert.equal(typeof session.refresh_token, "string");
    assert.deepEqual([session.user.id, session.user.email], [owner.id, owner.email]);
    for (const path of ["/rest/v1/agents", "/auth/v1/user", "/api/agents", "/functions/v1/api/agents"]) {
      assert.equal((await stack.fetch(path, { token: session.access_token })).status, 200, path);
    }
  });

  test("a wrong password is not said to be one: as an unknown address", async () => {
    const wrong = await signIn(owner.email, "not-this-one");
    const unknown = await signIn(`${randomUUID()}@example.com`, "not-this-one");
    assert.deepEqual(wrong, unknown);
    assert.equal(wrong[0], 400);
  });
});

describe("Authentication Response", () => {
  test("has the specification's fields, the user's permissions among them", async () => {
    const email = `${randomUUID()}@example.com`;
    const signedUp = await auth("POST", "signup", {
      email,
      password: "a-long-password",
      data: { full_name: "Ada" },
    });
    assert.equal(signedUp[0], 200);
    for (const [status, session] of [
      await signIn(email, "a-long-password"),
      await auth("POST", "token?grant_type=refresh_token", {
        refresh_token: (await signIn(email, "a-long-password"))[1].refresh_token,
      }),
    ]) {
      assert.equal(status, 200);
      for (const field of ["access_token", "refresh_token", "expires_in", "token_type"])
        assert.ok(session[field], field);
      assert.equal(session.user.email, email);
      const { full_name, permissions } = session.user.user_metadata;
      assert.equal(full_name, "Ada");
      assert.deepEqual(permissions, ["agents:read", "agents:write", "monitoring:read"]);
    }
  });
});

describe("OAuth Authentication", () => {
  test("POST /auth/v1/authorize says which provider is not set up", async () => {
    const [status, body] = await auth("POST", "authorize", {
      provider: "google",
      redirect_to: "https://your-domain.com/auth/callback",
    });
    assert.equal(status, 400);
    assert.match(JSON.stringify(body), /provider is not enabled/);
  });
});

describe("Magic Link Authentication", () => {
  test("POST /auth/v1/magiclink: the link is in the mailbox, and signs in", async () => {
    const [status] = await auth("POST", "magiclink", { email: owner.email });
    assert.equal(status, 200);
    const key = stack.info.secretKey;
    const answer = await stack.fetch(`/mailbox.json?to=${encodeURIComponent(owner.email)}`, { key });
    const [mail] = (await answer.json()) as { subject: string; text: string; html: string }[];
    const link = /https?:\/\/\S+\/auth\/v1\/verify\S+/.exec(mail?.text ?? "")?.[0] ?? assert.fail("no link");
    const opened = await fetch(link, { redirect: "manual" });
    const fragment = new URLSearchParams(new URL(opened.headers.get("location") ?? "").hash.slice(1));
    const [, user] = await auth("GET", "user", undefined, fragment.get("access_token") ?? "");
    assert.equal(user.id, owner.id);
    const page = await (await stack.fetch("/mailbox", { key, headers: { accept: "text/html" } })).text();
    assert.ok(page.includes(owner.email));
  });
});

describe("Get User Profile", () => {
  test("GET /api/users/profile", async () => {
    const { status, body } = await profile();
    assert.equal(status, 200);
    const { user, profile: mine } = userProfile.parse(body);
    assert.deepEqual([user.id, user.email, user.role], [owner.id, owner.email, "authenticated"]);
    assert.deepEqual(user.app_metadata, { provider: "email", providers: ["email"] });
    assert.ok(user.last_sign_in_at);
    assert.deepEqual(user.user_metadata.permissions, ["agents:read", "agents:write", "monitoring:read"]);
    assert.equal(mine.username, owner.email.split("@")[0]);
    assert.deepEqual([mine.agent_count, mine.storage_used], [0, "0B"]);
  });

  test("wants a genuine user", async () => {
    for (const token of [forgedToken(owner), "nonsense"]) {
      const { status, body } = await profile("GET", undefined, token);
      assert.deepEqual([status, body.error.code], [401, "INVALID_JWT_TOKEN"]);
    }
  });
});

describe("Update User Profile", () => {
  test("PUT /api/users/profile with the specification's body; Auth shows the same", async () => {
    const { status, body } = await profile("PUT", {
      user_metadata: { full_name: "Updated Name", avatar_url: "https://new-avatar-url.com" },
      notification_preferences: { email: true, real_time: false, security_alerts: true },
    });
    assert.equal(status, 200, JSON.stringify(body));
    userProfile.parse(body);
    assert.equal(body.user.user_metadata.full_name, "Updated Name");
    assert.equal(body.profile.notification_preferences.real_time, false);
    const [, user] = await auth("GET", "user", undefined, owner.token);
    assert.equal(user.user_metadata.avatar_url, "https://new-avatar-url.com");
  });

  test("nonsense is named, field by field, and nothing is changed", async () => {
    const { status, body } = await profile("PUT", {
      user_metadata: { full_name: 1, avatar_url: "ftp://x", role: "service_role" },
      notification_preferences: { email: "yes" },
      id: randomUUID(),
    });
    assert.equal(status, 400);
    assert.deepEqual(Object.keys(body.error.details).sort(), [
      "id",
      "notification_preferences.email",
      "user_metadata.avatar_url",
      "user_metadata.full_name",
      "user_metadata.role",
    ]);
    assert.equal((await profile()).body.user.user_metadata.full_name, "Updated Name");
  });
});

describe("Get Current User", () => {
  test("GET /auth/v1/user", async () => {
    const [status, user] = await auth("GET", "user", undefined, owner.token);
    assert.equal(status, 200);
    assert.deepEqual([user.id, user.email, user.role], [owner.id, owner.email, "authenticated"]);
    assert.notEqual((await auth("GET", "user", undefined, forgedToken(owner)))[0], 200);
  });
});

describe("Update User Metadata", () => {
  test("PUT /auth/v1/user: preferences and permissions set there are ours too", async () => {
    const user = await stack.createUser();
    const data = {
      permissions: ["agents:read", "agents:write", "monitoring:read"],
      notification_preferences: { email: true, real_time: true },
    };
    const [status, body] = await auth("PUT", "user", { data }, user.token);
    assert.equal(status, 200);
    assert.deepEqual(body.user_metadata.permissions, data.permissions);
    await auth("PUT", "user", { data: { notification_preferences: { email: false } } }, user.token);
    const { body: seen } = await profile("GET", undefined, user);
    assert.deepEqual(seen.profile.notification_preferences, {
      email: false,
      real_time: true,
      security_alerts: true,
    });
  });

  test("permissions there follow an operator's grants; a list narrows what was granted before it", async () => {
    const [user, narrow] = await Promise.all([stack.createUser(), stack.createUser()]);
    const told = async ({ email, password }: typeof user) =>
      (await signIn(email, password))[1].user.user_metadata.permissions;
    await auth("PUT", "user", { data: { permissions: ["agents:read"] } }, narrow.token);
    await stack.sql(
      "insert into public.user_permissions (user_id, permission) values ($1, 'system:read'), ($2, 'system:read')",
      [user.id, narrow.id],
    );
    const granted = ["agents:read", "agents:write", "monitoring:read", "system:read"];
    assert.deepEqual(await told(user), granted);
    assert.deepEqual(await told(narrow), ["agents:read", "system:read"]);
    assert.deepEqual((await profile("GET", undefined, user)).body.user.user_metadata.permissions, granted);
    await auth("PUT", "user", { data: { permissions: null } }, narrow.token);
    assert.deepEqual(await told(narrow), granted, "cleared, it tells what is granted");
    await stack.sql("delete from public.user_permissions where user_id = $1 and permission like 'agents:%'", [
      user.id,
    ]);
    assert.deepEqual(await told(user), ["monitoring:read", "system:read"]);
  });

  test("a copy of the metadata from before a grant, written back, takes the grant not away", async () => {
    const user = await stack.createUser();
    const [, { user_metadata: copy }] = await auth("GET", "user", undefined, user.token).then(
      ([status, body]) => [status, body] as const,
    );
    await stack.sql("insert into public.user_permissions (user_id, permission) values ($1, 'system:read')", [
      user.id,
    ]);
    const [status, body] = await auth("PUT", "user", { data: { ...copy, theme: "dark" } }, user.token);
    assert.equal(status, 200);
    assert.equal(body.user_metadata.theme, "dark");
    const { body: seen } = await profile("GET", undefined, user);
    assert.ok(seen.user.user_metadata.permissions.includes("system:read"));
  });

  test("permissions there narrow what an operator granted, at every door, and never widen it", async () => {
    const user = await stack.createUser();
    const permissions = ["agents:read", "security:write", "system:read"];
    await auth("PUT", "user", { data: { permissions } }, user.token);
    const { body } = await profile("GET", undefined, user);
    assert.deepEqual(body.user.user_metadata.permissions, ["agents:read"]);
    const launch = await api(stack, user, "POST", "/agents", { agentName: "x" });
    assert.deepEqual([launch.status, launch.body.error.code], [403, "INSUFFICIENT_PERMISSIONS"]);
    const logs = await stack.fetch("/rest/v1/agent_logs", { token: user.token });
    assert.equal(logs.status, 403);
    assert.equal(((await logs.json()) as { code: string }).code, "PERMISSION_DENIED");
    assert.equal((await stack.fetch("/rest/v1/agents", { token: user.token })).status, 200);
  });
});

describe("Change Password", () => {
  test("PUT /auth/v1/user: the new one works, the old one does not", async () => {
    const user = await stack.createUser();
    const password = `new-${randomUUID()}`;
    const [status] = await auth("PUT", "user", { password }, user.token);
    assert.equal(status, 200);
    assert.equal((await signIn(user.email, user.password))[0], 400);
    assert.equal((await signIn(user.email, password))[0], 200);
  });

  test("without a user, or with a password too short, nothing changes", async () => {
    const user = await stack.createUser();
    assert.equal((await auth("PUT", "user", { password: "long-enough-1" }))[0] >= 400, true);
    assert.equal((await auth("PUT", "user", { password: "x" }, user.token))[0], 422);
    assert.equal((await signIn(user.email, user.password))[0], 200);
  });
});

describe("taking one's data along, and leaving", () => {
  test("GET /api/users/export, then DELETE /api/users/profile", async () => {
    const user = await stack.createUser();
    await user.client.from("agents").insert({ name: "mine" });
    const { body: data } = await api(stack, user, "GET", "/users/export");
    assert.equal(data.user.email, user.email);
    assert.equal(data.tables.agents[0].name, "mine");
    const leave = (confirm: string) =>
      api(stack, user, "DELETE", `/users/profile?confirm=${encodeURIComponent(confirm)}`);
    const slip = await leave("");
    assert.deepEqual([slip.status, Object.keys(slip.body.error.details)], [400, ["confirm"]]);
    const gone = await leave(user.email);
    assert.deepEqual([gone.status, gone.body.status], [200, "DELETED"]);
    assert.equal((await profile("GET", undefined, user)).body.error.code, "INVALID_JWT_TOKEN");
    assert.equal((await signIn(user.email, user.password))[0], 400);
    const rows = await stack.sql("select from public.agents where user_id = $1", [user.id]);
    assert.equal(rows.length, 0);
  });
});
