// The proxy that the fault tests rest on: it counts rightly, and each fault is what it says.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient } from "../helpers/kube.ts";
import { type KubeFaults, startKubeFaults } from "../helpers/kube-faults.ts";
import { parseRequest, WRITES } from "../helpers/kube-requests.ts";

const why = await whyNoCluster();

describe("a request to the API server", () => {
  const read = (method: string, path: string, headers = {}) => {
    const { verb, resource, group, namespace, name } = parseRequest(method, path, headers);
    return [verb, group, resource, namespace, name];
  };
  it("is read as what it asks for", () => {
    assert.deepEqual(read("GET", "/api/v1/namespaces/n/pods/p/log?follow=true"), [
      "get",
      "",
      "pods/log",
      "n",
      "p",
    ]);
    assert.deepEqual(read("GET", "/api/v1/namespaces/n"), ["get", "", "namespaces", undefined, "n"]);
    assert.deepEqual(read("GET", "/api/v1/pods?watch=true"), ["watch", "", "pods", undefined, undefined]);
    assert.deepEqual(
      read("PATCH", "/apis/apps/v1/namespaces/n/deployments/d?force=true", {
        "content-type": "application/apply-patch+yaml",
      }),
      ["apply", "apps", "deployments", "n", "d"],
    );
    assert.deepEqual(read("DELETE", "/apis/apps/v1/namespaces/n/replicasets"), [
      "deletecollection",
      "apps",
      "replicasets",
      "n",
      undefined,
    ]);
    assert.deepEqual(read("GET", "/version"), ["get", "", "/version", undefined, undefined]);
  });
});

describe("the fault proxy", { skip: why !== undefined }, () => {
  let cluster: TestCluster;
  let kube: KubeClient;
  let faults: KubeFaults;
  let agent: Agent;

  beforeAll(async () => {
    cluster = await startCluster();
    kube = kubeClient(cluster);
    faults = await startKubeFaults(cluster);
    const file = (name: string) => readFileSync(join(cluster.info.pki, name));
    agent = new Agent({
      keepAlive: true,
      maxSockets: 4,
      ca: file("ca.crt"),
      cert: file("admin.crt"),
      key: file("admin.key"),
    });
  });
  afterAll(async () => {
    agent?.destroy();
    kube?.close();
    await faults?.close();
    await cluster?.stop();
  });
  beforeEach(() => {
    faults.clear();
    faults.reset();
  });

  const open = (method: string, path: string, body?: unknown) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(
        new URL(path, faults.url),
        { method, agent, headers: { "content-type": "application/json" } },
        resolve,
      );
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await open(method, path, body);
    let text = "";
    for await (const part of response.setEncoding("utf8")) text += part;
    return { status: response.statusCode, headers: response.headers, body: JSON.parse(text) };
  };
  const configMaps = "/api/v1/namespaces/default/configmaps";
  const configMap = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } });

  it("passes on and counts requests and connections", async () => {
    for (let i = 0; i < 5; i += 1) assert.equal((await call("GET", configMaps)).status, 200);
    assert.equal((await call("POST", configMaps, configMap("counted"))).status, 201);
    assert.deepEqual(faults.counts(), { "list configmaps": 5, "create configmaps": 1 });
    assert.equal(faults.count({ verb: WRITES }), 1);
    assert.ok(faults.connections <= 1, `${faults.connections} connections for requests one after the other`);
  });

  it("answers in the API server's place, as often as told", async () => {
    faults.add({
      match: { verb: "create", resource: "configmaps" },
      effect: { kind: "status", status: 429, retryAfterSeconds: 7 },
      times: 1,
    });
    const refused = await call("POST", configMaps, configMap("limited"));
    assert.equal(refused.status, 429);
    assert.equal(refused.headers["retry-after"], "7");
    assert.equal(refused.body.reason, "TooManyRequests");
    assert.equal(await kube.get("ConfigMap", "default", "limited"), undefined);
    assert.equal((await call("POST", configMaps, configMap("limited"))).status, 201);
  });

  it("breaks the connection before the API server hears, or after it has acted", async () => {
    faults.add({ match: { verb: "create" }, effect: { kind: "reset" }, times: 1 });
    await assert.rejects(call("POST", configMaps, configMap("before")), { code: "ECONNRESET" });
    assert.equal(await kube.get("ConfigMap", "default", "before"), undefined);
    faults.add({ match: { verb: "create" }, effect: { kind: "answerLost" }, times: 1 });
    await assert.rejects(call("POST", configMaps, configMap("after")), { code: "ECONNRESET" });
    assert.ok(await kube.get("ConfigMap", "default", "after"));
  });

  it("silences, expires and cuts watches", async () => {
    const response = await open("GET", `${configMaps}?watch=true&resourceVersion=0`);
    const events: { type: string; object: { code?: number; metadata: { name?: string } } }[] = [];
    const arrived: (() => void)[] = [];
    createInterface(response).on("line", (line) => {
      events.push(JSON.parse(line));
      for (const tell of arrived.splice(0)) tell();
    });
    response.on("error", () => {});
    const seen = async (what: (event: (typeof events)[number]) => boolean) => {
      while (!events.some(what)) await new Promise<void>((resolve) => arrived.push(resolve));
    };
    await seen((event) => event.object.metadata.name === "kube-root-ca.crt");
    assert.equal(faults.watches({ resource: "configmaps" }), 1);

    const goOn = faults.silenceWatches({ resource: "configmaps" });
    await kube.apply({ ...configMap("quiet"), metadata: { name: "quiet", namespace: "default" } });
    await sleep(300);
    assert.equal(
      events.some((event) => event.object.metadata.name === "quiet"),
      false,
    );
    goOn();
    await seen((event) => event.object.metadata.name === "quiet");

    assert.equal(faults.expireWatches({ resource: "configmaps" }), 1);
    await seen((event) => event.type === "ERROR" && event.object.code === 410);

    const second = await open("GET", `${configMaps}?watch=true&resourceVersion=0`);
    const broken = new Promise((resolve) => second.once("error", resolve));
    second.resume();
    assert.equal(faults.cutWatches(), 1);
    assert.equal(((await broken) as NodeJS.ErrnoException).code, "ECONNRESET");
    assert.equal(faults.watches(), 0);
  });

  it("looks like an API server that is down when that is down", async () => {
    await cluster.component("kube-apiserver", "kill");
    await assert.rejects(call("GET", configMaps), { code: "ECONNRESET" });
    await cluster.component("kube-apiserver", "start");
  });
});
