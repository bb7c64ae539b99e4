// Pages of the gateway: what another site or another program of the machine can do with them.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { send } from "../helpers/raw-http.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let alice: TestUser;
let bob: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [alice, bob] = [await stack.createUser(), await stack.createUser()];
  await stack.client().auth.signInWithOtp({ email: alice.email });
});
afterAll(() => stack.stop());

describe("a page", () => {
  for (const path of ["/", "/docs", "/mailbox"]) {
    test(`${path} may not be framed, loads nothing of other sites, and hands on no address`, async () => {
      const answer = await fetch(stack.info.apiUrl + path, { headers: { accept: "text/html" } });
      assert.equal(answer.status, 200);
      const policy = answer.headers.get("content-security-policy") ?? "";
      assert.match(policy, /default-src 'none'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.ok(!/script-src[^;]*'unsafe-/.test(policy), policy);
      assert.equal(answer.headers.get("x-frame-options"), "DENY");
      assert.equal(answer.headers.get("referrer-policy"), "no-referrer");
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
      assert.equal(answer.headers.get("access-control-allow-origin"), null);
    });
  }

  test("a file of the reference is served as what it is", async () => {
    const answer = await fetch(`${stack.info.apiUrl}/docs/start.js`);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  });
});

describe("the mailbox", () => {
  const open = (path: string, headers: [string, string][] = []) =>
    send(stack.info.apiUrl, { target: path, headers: [...headers, ["accept", "text/html"]] });

  test("shows no mail to a program without its key: a visitor, a user, a forger", async () => {
    const callers: [string, string][][] = [
      [],
      [["apikey", stack.info.publishableKey]],
      [["authorization", `Bearer ${alice.token}`]],
      [["authorization", `Bearer ${bob.token}`]],
      [["authorization", "Bearer x.y.z"]],
      [["cookie", "launchpad_mailbox=guess"]],
      [["apikey", "sb_secret_guess"]],
    ];
    for (const headers of callers) {
      const json = await open("/mailbox.json", headers);
      assert.equal(json.status, 401);
      assert.match(JSON.parse(json.body).hint, /npm start/);
      const page = await open("/mailbox", headers);
      assert.equal(page.status, 200);
      assert.ok(!page.body.includes(alice.email) && !page.body.includes("<article>"));
      assert.equal((await open("/mailbox.json?key=guess", headers)).status, 401);
    }
  });

  test("opens by the address that npm start prints, which leaves the address bar", async () => {
    const address = new URL(stack.info.mailboxUrl);
    const first = await open(address.pathname + address.search);
    assert.equal(first.status, 303);
    assert.equal(first.headers.location, "/mailbox");
    assert.match(first.headers["set-cookie"] ?? "", /HttpOnly; SameSite=Strict/);
    const cookie = (first.headers["set-cookie"] ?? "").split(";")[0] ?? "";
    const page = await open("/mailbox", [["cookie", cookie]]);
    assert.ok(page.body.includes(alice.email));
    const json = await open(`/mailbox.json${address.search}`);
    assert.equal(json.status, 200);
    const foreign = await open("/mailbox", [
      ["cookie", cookie],
      ["host", "evil.example"],
    ]);
    assert.equal(foreign.status, 403);
  });
});
