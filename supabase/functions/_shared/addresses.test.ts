import assert from "node:assert/strict";
import { it } from "vitest";
import { AddressError, allowedAddresses, parseHosts } from "./addresses.ts";

it("an exception names a host, or a host at a port, of both families", async () => {
  const privateHosts = parseHosts(" Crm.corp.example:8443, 10.0.9.1 ,[fd00::9]:8080,[fd00::7], fd00::8 ");
  const resolve = async () => ["10.0.9.4"];
  const reaches = (host: string, port: number) => allowedAddresses(host, port, { privateHosts, resolve });
  assert.deepEqual(await reaches("crm.corp.example", 8443), ["10.0.9.4"]);
  assert.deepEqual(await reaches("10.0.9.1", 443), ["10.0.9.1"]);
  for (const [host, port] of [
    ["[fd00::9]", 8080],
    ["[fd00::7]", 443],
    ["[fd00::8]", 80],
  ] as const) {
    assert.deepEqual(await reaches(host, port), [host.slice(1, -1)]);
  }
  for (const [host, port] of [
    ["crm.corp.example", 443],
    ["[fd00::9]", 8081],
    ["10.0.9.2", 443],
  ] as const) {
    await assert.rejects(reaches(host, port), AddressError);
  }
});
