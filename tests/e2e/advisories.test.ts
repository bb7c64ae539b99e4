// Known vulnerabilities from the advisory source to a scan's verdict: a stack whose function `upkeep` asks a local endpoint
// that speaks npm's wire format.
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, test } from "vitest";
import { api } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

/** package → severity of the one advisory the endpoint knows of it. */
const vulnerable = new Map<string, string>();
let answers = true;
let server: Server;
let stack: TestStack;
let owner: TestUser;
let agentId: string;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    if (!answers) return response.writeHead(405).end();
    const names = Object.keys(JSON.parse(text) as Record<string, string[]>).filter((n) => vulnerable.has(n));
    const url = "https://github.com/advisories/GHSA-test-test-test";
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify(
        Object.fromEntries(
          names.map((name) => [
            name,
            [{ id: 1, url, title: "A hole", severity: vulnerable.get(name), vulnerable_versions: "<99" }],
          ]),
        ),
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack = await startTestStack({
    env: {
      LAUNCHPAD_ADVISORY_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/bulk`,
    },
  });
  await stack.raiseRateLimits();
  owner = await stack.createUser();
  const { body } = await api(stack, owner, "POST", "/agents", {
    agentName: "scanned",
    resources: { memory: "256Mi", cpu: "100m" },
  });
  agentId = body.agentId;
});
afterAll(async () => {
  await stack.stop();
  server.close();
  server.closeAllConnections();
});

const scan = async () => (await api(stack, owner, "POST", `/security/scan/${agentId}`)).body.results;

/** Has packages looked up, as the sweep does once a minute, and scans until `enough`. */
async function scanUntil(enough: (results: Awaited<ReturnType<typeof scan>>) => boolean) {
  await stack.sql("select private.want_advisories()");
  const deadline = Date.now() + 60_000;
  for (;;) {
    const results = await scan();
    if (enough(results)) return results;
    if (Date.now() > deadline) throw new Error(JSON.stringify(results.sources));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Lets the day pass after which packages are looked up again. */
const tomorrow = () =>
  stack.sql(
    "update private.package_checks set checked_at = checked_at - interval '25 hours', attempted_at = attempted_at - interval '25 hours'",
  );

const isAvailable = (results: { sources: { npm_advisories: { status: string } } }) =>
  results.sources.npm_advisories.status === "available";

test("a source without advisories: the scan passes, and says what was checked", async () => {
  const results = await scanUntil(isAvailable);
  assert.equal(results.passed, true, JSON.stringify(results.findings));
  const { packages, checked } = results.sources.npm_advisories;
  assert.ok(packages > 10);
  assert.equal(checked, packages);
  const [listed] = await stack.sql<{ n: number }>(
    "select count(*)::int as n from private.runtime_packages where set_name = 'model'",
  );
  assert.equal(packages, listed?.n);
});

test("a new advisory is found the next day, fails the scan, and blocks deployments where that is set", async () => {
  vulnerable.set("ai", "critical");
  await tomorrow();
  const results = await scanUntil((r) => r.vulnerabilities.critical > 0);
  assert.equal(results.passed, false);
  const found = results.findings.find((f: { source: string }) => f.source === "npm");
  assert.deepEqual([found.check, found.package, found.severity], ["GHSA-test-test-test", "ai", "CRITICAL"]);
  await stack.sql(
    "update private.security_settings set value = 'true' where name = 'block_critical_findings'",
  );
  const { status, body } = await api(stack, owner, "POST", "/agents", { agentName: "blocked" });
  await stack.sql(
    "update private.security_settings set value = 'false' where name = 'block_critical_findings'",
  );
  assert.deepEqual([status, body.error.code], [422, "SECURITY_SCAN_FAILED"]);
});

test("a source that goes away: what is known stays, and after a week nothing passes on its account", async () => {
  vulnerable.clear();
  await tomorrow();
  await scanUntil((r) => r.vulnerabilities.critical === 0);
  answers = false;
  await tomorrow();
  assert.equal(isAvailable(await scan()), true, "a day old is still an answer");
  await stack.sql("update private.package_checks set checked_at = checked_at - interval '8 days'");
  const results = await scanUntil((r) => r.sources.npm_advisories.reason?.includes("405"));
  assert.equal(results.sources.npm_advisories.status, "unavailable");
  assert.equal(results.passed, false);
});
