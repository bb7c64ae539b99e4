import assert from "node:assert/strict";
import { test } from "vitest";
import { manifestOptionsOf, workloadOf } from "../testing.ts";
import { contextOf } from "./context.ts";
import { doorSlices } from "./door.ts";

const context = contextOf(workloadOf(), manifestOptionsOf());
const slicesOf = (...addresses: string[]) => doorSlices(context, { addresses: () => addresses, port: 8081 });

test("a sleeping agent's Service leads to every controller, in each family that they have", () => {
  const slices = slicesOf("10.0.0.2", "fd00::2", "10.0.0.1", "10.0.0.2");
  assert.deepEqual(
    slices.map(({ addressType, endpoints, metadata }) => ({ addressType, endpoints, name: metadata.name })),
    [
      {
        addressType: "IPv4",
        name: "agent-1-door-ipv4",
        endpoints: ["10.0.0.1", "10.0.0.2"].map((address) => ({
          addresses: [address],
          conditions: { ready: true, serving: true, terminating: false },
        })),
      },
      {
        addressType: "IPv6",
        name: "agent-1-door-ipv6",
        endpoints: [
          { addresses: ["fd00::2"], conditions: { ready: true, serving: true, terminating: false } },
        ],
      },
    ],
  );
});

test("a door is of the agent's Service, by its port's name, and no other controller's", () => {
  const [slice] = slicesOf("10.0.0.1");
  assert.deepEqual(slice?.ports, [{ name: "http", port: 8081, protocol: "TCP" }]);
  assert.equal(slice?.metadata.labels?.["kubernetes.io/service-name"], "agent-1");
  assert.equal(slice?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"], "agent-launchpad.dev");
  assert.equal(slice?.metadata.labels?.["agent-launchpad.dev/agent"], "agent-1");
});

test("the longest agent id makes a name that Kubernetes takes", () => {
  const long = contextOf(workloadOf({ agentId: `a${"1".repeat(62)}` }), manifestOptionsOf());
  const [slice] = doorSlices(long, { addresses: () => ["10.0.0.1"], port: 8081 });
  assert.ok((slice?.metadata.name.length ?? 64) <= 63);
});
