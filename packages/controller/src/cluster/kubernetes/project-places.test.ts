import assert from "node:assert/strict";
import { test } from "node:test";
import { projectPlaces } from "./project-places.ts";

const resolvesTo =
  (...addresses: string[]) =>
  async () =>
    addresses;
const internet = { allowCidrs: [], exceptCidrs: [], allowPrivate: false, ports: [] };
const block = (cidr: string) => ({ ipBlock: { cidr } });

test("a private address of the project is opened, alone", async () => {
  assert.deepEqual(await projectPlaces("http://10.0.8.4:8000", undefined, internet), [block("10.0.8.4/32")]);
  assert.deepEqual(await projectPlaces("http://[fd00::4]:8000", undefined, internet), [block("fd00::4/128")]);
});

test("a name opens the private addresses it resolves to, in order and once", async () => {
  const places = await projectPlaces(
    "https://supabase.corp.example",
    undefined,
    internet,
    resolvesTo("192.168.3.9", "10.0.8.4", "192.168.3.9", "1.1.1.7", "127.0.0.1"),
  );
  assert.deepEqual(places, [block("10.0.8.4/32"), block("192.168.3.9/32")]);
});

test("a public project needs no rule of its own", async () => {
  assert.deepEqual(
    await projectPlaces("https://x.supabase.co", undefined, internet, resolvesTo("104.18.38.10")),
    [],
  );
});

test("a public project is opened where the rule for the internet does not reach it", async () => {
  const narrow = { ...internet, allowCidrs: ["198.51.100.0/24"] };
  const address = resolvesTo("1.1.1.7");
  assert.deepEqual(await projectPlaces("https://db.example", undefined, narrow, address), [
    block("1.1.1.7/32"),
  ]);
  assert.deepEqual(await projectPlaces("https://db.example:8443", undefined, internet, address), [
    block("1.1.1.7/32"),
  ]);
});

test("a Service of the cluster is opened by its namespace", async () => {
  const peer = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "supabase" } } };
  assert.deepEqual(await projectPlaces("http://kong.supabase.svc.cluster.local:8000", undefined, internet), [
    peer,
  ]);
  assert.deepEqual(await projectPlaces("http://kong.supabase.svc:8000", undefined, internet), [peer]);
});

test("networks that the operator names are used as they are", async () => {
  assert.deepEqual(await projectPlaces("https://nowhere.invalid", ["10.1.0.0/24"], internet), [
    block("10.1.0.0/24"),
  ]);
});
