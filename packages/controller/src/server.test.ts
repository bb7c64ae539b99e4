import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { isGenuine, sign } from "@agent-launchpad/agent-runtime";
import { type TestContext, test } from "vitest";
import { silentLog } from "./log.ts";
import { createControllerServer } from "./server.ts";
import type { WebhookHint } from "./webhook.ts";

const SECRET = "the-secret-of-the-webhook";

async function serve(context: TestContext) {
  const hints: WebhookHint[] = [];
  const problems: string[] = [];
  const notes: string[] = [];
  const server = createControllerServer({
    secret: SECRET,
    log: silentLog,
    onHint: (hint) => hints.push(hint),
    problems: async () => problems,
    notes: () => notes,
    metrics: () => "up 1\n",
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const post = async (body: string, headers: Record<string, string>) =>
    (await fetch(`${url}/webhooks/deployments`, { method: "POST", headers, body })).status;
  return { hints, notes, post, problems, url };
}

function signed(body: string, at = Date.now(), secret = SECRET): Record<string, string> {
  const timestamp = String(Math.floor(at / 1000));
  return { "x-launchpad-timestamp": timestamp, "x-launchpad-signature": sign(secret, timestamp, body) };
}

test("a genuine webhook is a hint; sent again it is one more hint and nothing else", async (context) => {
  const { hints, post } = await serve(context);
  const body = JSON.stringify({ agentId: "agent-a", generation: 3, reason: "queued" });
  const headers = signed(body);
  assert.equal(await post(body, headers), 202);
  assert.equal(await post(body, headers), 202);
  assert.deepEqual(hints, Array(2).fill({ agentId: "agent-a", generation: 3, reason: "queued" }));
});

test("anything else is refused", async (context) => {
  const { hints, post } = await serve(context);
  const body = JSON.stringify({ reason: "sweep" });
  const good = signed(body);
  const refused: [string, Record<string, string>][] = [
    ["no headers", {}],
    ["no signature", { "x-launchpad-timestamp": good["x-launchpad-timestamp"] ?? "" }],
    ["another secret", signed(body, Date.now(), "another-secret")],
    ["another body", signed(`${body} `)],
    ["another time", { ...good, "x-launchpad-timestamp": String(Number(good["x-launchpad-timestamp"]) - 1) }],
    ["too old", signed(body, Date.now() - 302_000)],
    ["too far ahead", signed(body, Date.now() + 302_000)],
    [
      "a cut signature",
      { ...good, "x-launchpad-signature": good["x-launchpad-signature"]?.slice(0, -1) ?? "" },
    ],
    ["a strange time", { ...good, "x-launchpad-timestamp": "soon" }],
  ];
  for (const [what, headers] of refused) assert.equal(await post(body, headers), 401, what);
  assert.deepEqual(hints, []);
  assert.equal(await post("x".repeat(70_000), {}), 413);
});

test("five minutes either way are tolerated", () => {
  const at = 1_900_000_000;
  const body = Buffer.from("{}");
  const headers = new Headers({
    "x-launchpad-timestamp": String(at),
    "x-launchpad-signature": sign(SECRET, String(at), body),
  });
  for (const [off, genuine] of [
    [-301, false],
    [-300, true],
    [300, true],
    [301, false],
  ] as const) {
    assert.equal(isGenuine(SECRET, headers, body, (at + off) * 1000), genuine, `${off} s`);
  }
});

test("a genuine body that says nothing known still hints", async (context) => {
  const { hints, post } = await serve(context);
  for (const body of ["", "[]", "nonsense", '{"generation":"x"}'])
    assert.equal(await post(body, signed(body)), 202);
  assert.deepEqual(hints, [{}, {}, {}, {}]);
});

test("health, readiness, metrics, and JSON for everything else", async (context) => {
  const { notes, problems, url } = await serve(context);
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  notes.push("Read-only: operators hold every change.");
  const noted = await fetch(`${url}/readyz`);
  assert.deepEqual([noted.status, await noted.json()], [200, { ready: true, problems, notes }]);
  problems.push("The database has not answered lately.");
  const response = await fetch(`${url}/readyz`);
  assert.deepEqual([response.status, await response.json()], [503, { ready: false, problems, notes }]);
  assert.equal(await (await fetch(`${url}/metrics`)).text(), "up 1\n");
  assert.equal((await fetch(`${url}/webhooks/deployments`)).status, 405);
  assert.equal((await fetch(`${url}/healthz`, { method: "POST" })).status, 405);
  const nothing = await fetch(`${url}/x`);
  assert.equal(nothing.status, 404);
  assert.match(nothing.headers.get("content-type") ?? "", /json/);
});
