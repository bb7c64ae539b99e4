// Agents exposed by a Gateway, as their users meet it: the embedded stack, its controller, a real control plane with the
// Gateway API's own definitions.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { api, lastSeq, reached } from "../helpers/agents.ts";
import { whyNoCluster } from "../helpers/cluster.ts";
import { definitionsOf, install } from "../helpers/definitions.ts";
import type { KubeObject } from "../helpers/kube.ts";
import { type KubeStack, startKubeStack } from "../helpers/kube-stack.ts";
import { eventually } from "../helpers/processes.ts";
import type { TestUser } from "../helpers/stack.ts";

const why = await whyNoCluster();

describe("agents behind a Gateway", { skip: why !== undefined }, () => {
  let system: KubeStack;
  let user: TestUser;
  let agentId: string;

  beforeAll(async () => {
    system = await startKubeStack({
      env: { LAUNCHPAD_EXPOSE: "gateway", LAUNCHPAD_GATEWAY: "infra/public", LAUNCHPAD_RESYNC_SECONDS: "2" },
    });
    await system.cluster.setRules([{ pretend: true }]);
    user = await system.stack.createUser();
  });
  afterAll(async () => {
    await system?.stop();
  });

  const status = async () => (await api(system.stack, user, "GET", `/agents/${agentId}/status`)).body;
  const routes = () => system.objectsOf("HTTPRoute", agentId);
  const corrections = () =>
    system.stack.sql<{ message: string }>(
      "select message from public.agent_events where agent_id = $1 and event_type = 'CORRECTED' order by seq",
      [agentId],
    );
  /** What the events tell of the newest correction; they must be so many. */
  const corrected = (count: number) =>
    eventually("the correction is told", async () => {
      const told = await corrections();
      return told.length >= count ? told.at(-1)?.message : undefined;
    });
  const spec = async () => (await routes())[0]?.spec as KubeObject | undefined;
  const exposed = async () =>
    (await status()).conditions.find(({ type }: { type: string }) => type === "Exposed");

  it("without the Gateway API a launch waits and says for what; the controller stays up", async () => {
    const { pid } = system.controller();
    const resources = { memory: "256Mi", cpu: "100m" };
    const { body } = await api(system.stack, user, "POST", "/agents", { agentName: "routed", resources });
    agentId = body.agentId;
    const waiting = await eventually("the reason is told", async () => {
      const told = await status();
      return told.reason === "RETRYING" ? told : undefined;
    });
    assert.match(waiting.message, /install the Gateway API .*or choose another LAUNCHPAD_EXPOSE/);
    assert.deepEqual(await system.kube.list("Deployment"), []);
    assert.equal(system.controller().pid, pid);
  });

  it("is deployed on its own once the Gateway API is there, at its own address", async () => {
    await install(system.kube, await definitionsOf("gateway"));
    await reached(system.stack, agentId, "DEPLOYED");
    const { url } = await status();
    const [route] = await routes();
    assert.deepEqual(route?.spec.parentRefs, [
      { group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "infra", name: "public" },
    ]);
    assert.deepEqual(route?.spec.hostnames, [new URL(url).hostname]);
    const { name, port } = route?.spec.rules[0].backendRefs[0] ?? {};
    const service = await system.kube.get("Service", route?.metadata.namespace, name);
    assert.equal(service?.spec.ports[0].port, port);
    assert.deepEqual(await system.objectsOf("Ingress", agentId), []);
  });

  it("is updated without a write to its route", async () => {
    const generation = (await routes())[0]?.metadata.resourceVersion;
    const seq = await lastSeq(system.stack, agentId);
    await api(system.stack, user, "PUT", `/agents/${agentId}`, { character: { bio: "Another one" } });
    await reached(system.stack, agentId, "DEPLOYED", seq);
    assert.equal((await routes())[0]?.metadata.resourceVersion, generation);
    assert.deepEqual(await corrections(), []);
  });

  it("what the Gateway says of the route is a condition that its user sees", async () => {
    const [route] = await routes();
    const say = (accepted: "True" | "False", reason: string, message: string) => {
      const condition = { type: "Accepted", status: accepted, reason, message, observedGeneration: 1 };
      const conditions = [{ ...condition, lastTransitionTime: new Date().toISOString() }];
      const parentRef = { namespace: "infra", name: "public" };
      const parents = [{ parentRef, controllerName: "example.com/gateway", conditions }];
      const { namespace, name } = route?.metadata ?? {};
      return system.kube.patch("HTTPRoute", namespace, name, { status: { parents } }, "status");
    };
    assert.equal((await exposed()).reason, "ROUTE_PENDING");
    await say("False", "NotAllowedByListeners", "no listener takes this namespace");
    const told = await eventually("the refusal is told", async () => {
      const found = await exposed();
      return found.status === "False" ? found : undefined;
    });
    assert.equal(told.reason, "NotAllowedByListeners");
    assert.match(told.message, /Gateway infra\/public does not take .* no listener takes this namespace/);
    await say("True", "Accepted", "");
    await eventually("that it is served is told", async () => (await exposed()).status === "True");
  });

  it("a hand's edit is put back and told", async () => {
    const [route] = await routes();
    const before = await spec();
    const { namespace, name } = route?.metadata ?? {};
    await system.kube.patch("HTTPRoute", namespace, name, { spec: { hostnames: ["evil.example.com"] } });
    assert.match(await corrected(1), new RegExp(`HTTPRoute ${agentId}: spec.hostnames\\[0\\] was changed`));
    await eventually("it is put back", async () => JSON.stringify(await spec()) === JSON.stringify(before));

    await system.kube.delete("HTTPRoute", namespace, name);
    assert.match(await corrected(2), new RegExp(`HTTPRoute ${agentId} was removed`));
    await eventually("it is made anew", async () => JSON.stringify(await spec()) === JSON.stringify(before));
  });

  it("the route goes when the agent is stopped, comes with its start, and goes with it for good", async () => {
    for (const [method, path, phase, count] of [
      ["POST", "/stop", "STOPPED", 0],
      ["POST", "/start", "DEPLOYED", 1],
      ["DELETE", "", "DELETED", 0],
    ] as const) {
      const seq = await lastSeq(system.stack, agentId);
      await api(system.stack, user, method, `/agents/${agentId}${path}`);
      await reached(system.stack, agentId, phase, seq);
      assert.equal((await routes()).length, count, phase);
    }
  });
});
