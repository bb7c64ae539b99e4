// Sessions signed with ES256: every part of the stack accepts them, and clients verify them by themselves.
import assert from "node:assert/strict";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { afterAll, beforeAll, test } from "vitest";
import { api, forgedToken } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let alice: TestUser;
let bob: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
});
afterAll(() => stack.stop());

const keySet = async () => {
  const answer = await fetch(`${stack.info.apiUrl}/auth/v1/.well-known/jwks.json`);
  assert.equal(answer.status, 200, "without an API key");
  return (await answer.json()) as JSONWebKeySet;
};

test("a session's token is verified by the published keys, which show nothing private", async () => {
  const keys = await keySet();
  assert.ok(keys.keys.length > 0);
  for (const key of keys.keys) assert.deepEqual([key.alg, key.d, key.k], ["ES256", undefined, undefined]);
  const { payload, protectedHeader } = await jwtVerify(alice.token, createLocalJWKSet(keys), {
    audience: "authenticated",
    issuer: `${stack.info.apiUrl}/auth/v1`,
  });
  assert.equal(payload.sub, alice.id);
  assert.equal(protectedHeader.kid, keys.keys[0]?.kid);
  await assert.rejects(jwtVerify(forgedToken(alice), createLocalJWKSet(keys)));
});

test("supabase-js verifies it without asking Auth who the user is", async () => {
  const { data, error } = await alice.client.auth.getClaims();
  assert.equal(error, null);
  assert.deepEqual(
    [data?.header.alg, data?.claims.sub, data?.claims.role],
    ["ES256", alice.id, "authenticated"],
  );
  assert.ok((await alice.client.auth.getClaims(forgedToken(alice))).error);
});

test("REST, GraphQL, the API, Storage and Realtime know its user, and no forged or anonymous one", async () => {
  assert.equal(decodeProtectedHeader(alice.token).alg, "ES256");
  const { data } = await alice.client.from("agents").insert({ name: "signed" }).select("id").single();
  const id = String(data?.id);
  const seen = async (token: string | undefined) => {
    const headers = { ...(token ? { token } : {}) };
    const rest = await stack.fetch(`/rest/v1/agents?id=eq.${id}&select=id`, headers);
    const graphql = await stack.fetch("/graphql/v1", {
      ...headers,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: "{ agentsCollection { edges { node { id } } } }" }),
    });
    return {
      rest: rest.ok ? ((await rest.json()) as unknown[]).length : rest.status,
      graphql: graphql.ok ? (await graphql.text()).includes(id) : graphql.status,
    };
  };
  assert.deepEqual(await seen(alice.token), { rest: 1, graphql: true });
  assert.deepEqual(await seen(bob.token), { rest: 0, graphql: false });
  assert.deepEqual(await seen(forgedToken(alice)), { rest: 401, graphql: 401 });
  assert.notDeepEqual(await seen(undefined), { rest: 1, graphql: true });
  assert.equal((await api(stack, alice, "GET", `/agents/${id}`)).status, 200);
  assert.equal((await api(stack, bob, "GET", `/agents/${id}`)).status, 404);
  const listed = await alice.client.storage.from("knowledge").list(alice.id);
  assert.equal(listed.error, null);
  const channel = alice.client.channel(`agent:${id}`, { config: { private: true } });
  const joined = Promise.withResolvers<string>();
  channel.subscribe(
    (status) => (status === "SUBSCRIBED" || status === "CHANNEL_ERROR") && joined.resolve(status),
  );
  assert.equal(await joined.promise, "SUBSCRIBED");
  await alice.client.removeAllChannels();
});
