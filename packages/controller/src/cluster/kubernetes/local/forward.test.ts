import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, get } from "node:http";
import { type AddressInfo, connect as connectTo } from "node:net";
import { test } from "vitest";
import { Endpoints } from "../../../ingress/endpoints.ts";
import { createLog } from "../../../log.ts";
import { until } from "../../../testing/temporary.ts";
import { LocalForwards, type ReadyPod } from "./forward.ts";

async function answerOf(port: number): Promise<string> {
  const [response] = await once(get({ host: "127.0.0.1", port, agent: false }), "response");
  return (await response.toArray()).join("");
}

test("each ready pod has a port; a pod that is no longer ready has none", async (context) => {
  const pods = new Map<string, number>();
  for (const name of ["pod-1", "pod-2"]) {
    const server = createServer((_, response) => response.end(name)).listen(0, "127.0.0.1");
    await once(server, "listening");
    pods.set(name, (server.address() as AddressInfo).port);
    context.onTestFinished(async () => {
      await server.close();
    });
  }
  let ready: ReadyPod[] | undefined = [];
  const endpoints = new Endpoints();
  const forwards = new LocalForwards({
    endpoints,
    readyPods: () => ready,
    log: createLog(() => {}, "error"),
    connect: async (pod, socket) => {
      const upstream = connectTo(pods.get(pod.name) ?? 0, "127.0.0.1");
      await once(upstream, "connect");
      socket.pipe(upstream).pipe(socket);
    },
  });
  context.onTestFinished(() => forwards.stop());

  forwards.sync("agent-a");
  assert.ok(endpoints.knows("agent-a"));
  assert.equal(endpoints.count("agent-a"), 0);

  ready = [
    { namespace: "n", name: "pod-1" },
    { namespace: "n", name: "pod-2" },
  ];
  forwards.sync("agent-a");
  forwards.sync("agent-a");
  await until("two ports", () => endpoints.count("agent-a") === 2);
  const first = endpoints.pick("agent-a", new Set());
  const second = endpoints.pick("agent-a", new Set([first?.replica ?? ""]));
  assert.deepEqual([first?.replica, second?.replica].sort(), ["pod-1", "pod-2"]);
  for (const endpoint of [first, second])
    assert.equal(await answerOf(endpoint?.port ?? 0), endpoint?.replica);

  ready = [{ namespace: "n", name: "pod-2" }];
  forwards.sync("agent-a");
  assert.equal(endpoints.pick("agent-a", new Set())?.replica, "pod-2");
  assert.equal(endpoints.count("agent-a"), 1);

  ready = undefined;
  forwards.sync("agent-a");
  assert.equal(endpoints.knows("agent-a"), false);
  assert.equal(endpoints.count("agent-a"), 0);
});

test("a pod that cannot be reached breaks the connection off", async (context) => {
  const endpoints = new Endpoints();
  const forwards = new LocalForwards({
    endpoints,
    readyPods: () => [{ namespace: "n", name: "pod-1" }],
    log: createLog(() => {}, "error"),
    connect: async () => {
      throw new Error("no such pod");
    },
  });
  context.onTestFinished(() => forwards.stop());
  forwards.sync("agent-a");
  const endpoint = await until("a port", () => endpoints.pick("agent-a", new Set()));
  await assert.rejects(answerOf(endpoint.port), /socket hang up|ECONNRESET/);
});
