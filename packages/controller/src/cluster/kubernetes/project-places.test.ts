import assert from "node:assert/strict";
import { test } from "vitest";
import { projectPlaces } from "./project-places.ts";

const resolvesTo =
  (...addresses: string[]) =>
  async () =>
    addresses;
const block = (cidr: string) => ({ ipBlock: { cidr } });

test("an address of the project is its place, alone", async () => {
  assert.deepEqual(await projectPlaces("http://10.0.8.4:8000", undefined), [block("10.0.8.4/32")]);
  assert.deepEqual(await projectPlaces("http://[fd00::4]:8000", undefined), [block("fd00::4/128")]);
});

test("a name stands for the addresses it resolves to, in order and once, without the loopback", async () => {
  const places = await projectPlaces(
    "https://supabase.corp.example",
    undefined,
    resolvesTo("192.168.3.9", "10.0.8.4", "192.168.3.9", "1.1.1.7", "127.0.0.1"),
  );
  assert.deepEqual(places, [block("1.1.1.7/32"), block("10.0.8.4/32"), block("192.168.3.9/32")]);
});

test("a Service of the cluster is opened by its namespace", async () => {
  const peer = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "supabase" } } };
  assert.deepEqual(await projectPlaces("http://kong.supabase.svc.cluster.local:8000", undefined), [peer]);
  assert.deepEqual(await projectPlaces("http://kong.supabase.svc:8000", undefined), [peer]);
});

test("networks that the operator names are used as they are", async () => {
  assert.deepEqual(await projectPlaces("https://nowhere.invalid", ["10.1.0.0/24"]), [block("10.1.0.0/24")]);
});
