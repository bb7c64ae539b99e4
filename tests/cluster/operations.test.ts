// The operations page keeps up with the code: each reason of a FAILED agent has a line in the runbook.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "vitest";
import { createInstruments } from "../../packages/controller/src/instruments.ts";

const root = resolve(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(join(root, file), "utf8");
const page = read("docs/operations.md");

test("every reason that an agent can fail for is in the runbook", () => {
  const kubernetes = "packages/controller/src/cluster/kubernetes/observe";
  const sources = [
    `${kubernetes}/reasons.ts`,
    `${kubernetes}/container-exit.ts`,
    "packages/controller/src/reconcile/decide.ts",
    "packages/controller/src/cluster/exit-reason.ts",
  ].map(read);
  const told = sources.flatMap((text) =>
    [...text.matchAll(/reason: "([A-Za-z_]+)"/g)].map(([, reason]) => reason),
  );
  const [, runtime = ""] =
    /type ConfigurationReason =([^;]+);/.exec(read("packages/agent-runtime/src/errors.ts")) ?? [];
  const own = [...runtime.matchAll(/"([A-Z_]+)"/g)].map(([, reason]) => reason);
  assert.ok(told.length > 8 && own.length > 5);
  for (const reason of new Set([...told, ...own])) {
    // That one fails where it failed before; the reason then stays the first one's.
    if (reason === "FAILED_BEFORE") continue;
    assert.ok(page.includes(`\`${reason}\``), `${reason} is not in docs/operations.md`);
  }
});

test("every metric of the controller is on the page, and no other", () => {
  const instruments = createInstruments();
  instruments.watch({ controller: {}, cluster: {}, telemetry: {} } as never);
  const own = instruments.names.filter((name) => name.startsWith("launchpad_"));
  // Of the processes that the controller runs itself: not on Kubernetes.
  const elsewhere = ["launchpad_ingress_requests_total"];
  for (const name of own) assert.ok(page.includes(`\`${name}`) || elsewhere.includes(name), name);
  for (const [name] of page.matchAll(/launchpad_[a-z_]+/g)) {
    if (/_(url|secret)$/.test(name)) continue;
    assert.ok(own.includes(name), `${name} is no metric`);
  }
});
