import assert from "node:assert/strict";
import { test } from "vitest";
import { silentLog } from "../../log.ts";
import { privatePlaces } from "./private-places.ts";

const block = (cidr: string, port?: number) => ({ to: { ipBlock: { cidr } }, ...(port && { port }) });
const nowhere = () => Promise.reject(new Error("no names here"));

test("an address is its place, at its port where one is named", async () => {
  assert.deepEqual(
    await privatePlaces(["10.0.9.1:8080", "10.0.9.2", "fd00::9", "[fd00::9]:8080"], silentLog, nowhere),
    [block("10.0.9.1/32", 8080), block("10.0.9.2/32"), block("fd00::9/128"), block("fd00::9/128", 8080)],
  );
});

test("a name is all addresses it means now; a Service of the cluster is its namespace", async () => {
  const names: string[] = [];
  const resolve = async (host: string) => {
    names.push(host);
    return ["10.0.9.4", "10.0.9.3", "10.0.9.4"];
  };
  assert.deepEqual(await privatePlaces(["CRM.corp.example:8443", "crm.sales.svc:80"], silentLog, resolve), [
    block("10.0.9.3/32", 8443),
    block("10.0.9.4/32", 8443),
    { to: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "sales" } } } },
  ]);
  assert.deepEqual(names, ["crm.corp.example"]);
});

test("metadata services, links and the machine itself stay closed, named or resolved; what means nothing is warned of", async () => {
  const warned: unknown[] = [];
  const log = { ...silentLog, warn: (_message: string, facts?: unknown) => warned.push(facts) };
  const closed = [
    "169.254.169.254",
    "127.0.0.1:8080",
    "[::1]:80",
    "100.100.100.200",
    "fe80::1",
    "fd00:ec2::254",
  ];
  assert.deepEqual(await privatePlaces(closed, log, nowhere), []);
  assert.deepEqual(await privatePlaces(["sly.example"], log, async () => ["169.254.169.254"]), []);
  assert.deepEqual(await privatePlaces(["gone.example:80"], log, nowhere), []);
  assert.equal(warned.length, closed.length + 2);
  assert.deepEqual(warned.at(-1), { host: "gone.example:80" });
});
