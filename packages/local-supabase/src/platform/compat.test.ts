import assert from "node:assert/strict";
import { test } from "vitest";
import { withHostedForms } from "./compat.ts";

const accounts = { hasPassword: async () => true, isBanned: async () => false };

test("a code of type email is asked for as lite knows it; other types and garbage pass", async () => {
  const verify = async (body: string) => {
    let got: string | undefined;
    const handler = withHostedForms(async (request) => {
      got = await request.text();
      return new Response();
    }, accounts);
    await handler(new Request("http://localhost/auth/v1/verify", { method: "POST", body }));
    return got;
  };
  assert.equal(await verify('{"type":"email","token":"1"}'), '{"type":"magiclink","token":"1"}');
  assert.equal(await verify('{"type":"signup"}'), '{"type":"signup"}');
  assert.equal(await verify("{"), "{");
});
