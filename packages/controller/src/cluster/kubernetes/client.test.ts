import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type TestContext, test } from "vitest";
import type { KubeApi, KubeError, WatchEvent } from "./api.ts";
import { createClient } from "./client.ts";
import { connectInCluster } from "./in-cluster.ts";
import { loadKubeConfig } from "./kubeconfig.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

interface Server {
  api: KubeApi;
  kubeconfig: string;
  requests: string[];
  connections(): number;
  calls: [string, string, number][];
}

/** An API server that says what the handler says, and a client of it. */
async function serve(t: TestContext, handle: Handler, timeoutMs = 15_000): Promise<Server> {
  const requests: string[] = [];
  const calls: [string, string, number][] = [];
  let connections = 0;
  const server = createServer(async (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    let body = "";
    for await (const part of request.setEncoding("utf8")) body += part;
    handle(request, response, body);
  });
  server.on("connection", () => {
    connections += 1;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const folder = mkdtempSync(join(tmpdir(), "client-"));
  const kubeconfig = join(folder, "config");
  const { port } = server.address() as AddressInfo;
  // With TLS settings, of which the library makes an agent for each call.
  const cluster = { server: `http://127.0.0.1:${port}`, "insecure-skip-tls-verify": true };
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster }],
      users: [{ name: "u", user: { token: "the-token" } }],
      contexts: [
        { name: "here", context: { cluster: "c", user: "u" } },
        { name: "nowhere", context: { cluster: "missing", user: "u" } },
      ],
      "current-context": "here",
    }),
  );
  const api = await createClient({
    kubeconfig,
    random: () => 0,
    timeoutMs,
    observe: { apiCall: (verb, resource, code) => calls.push([verb, resource, code]), watch() {} },
  });
  t.onTestFinished(async () => {
    await api.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { api, kubeconfig, requests, calls, connections: () => connections };
}

const json = (response: ServerResponse, status: number, value: unknown, headers = {}) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
const status = (code: number, more: Record<string, unknown>) => ({ kind: "Status", code, ...more });
const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "n" } };

test("a thousand calls share a few connections, and each says who asks", async (t) => {
  const tokens = new Set<string | undefined>();
  const server = await serve(t, (request, response) => {
    tokens.add(request.headers.authorization);
    json(response, 200, configMap);
  });
  await Promise.all(Array.from({ length: 1000 }, () => server.api.apply(configMap)));
  assert.equal(server.requests.length, 1000);
  assert.ok(server.connections() <= 20, `${server.connections()} connections`);
  assert.deepEqual([...tokens], ["Bearer the-token"]);
  assert.equal(server.calls.length, 1000);
});

test("watches and logs that stay open leave the calls their connections", async (t) => {
  const server = await serve(t, (request, response) => {
    if (request.url?.includes("watch=true")) response.writeHead(200).flushHeaders();
    else json(response, 200, configMap);
  });
  const end = new AbortController();
  const query = { resourceVersion: "1", timeoutSeconds: 60, signal: end.signal };
  const watches = Array.from({ length: 40 }, () => server.api.watch("Pod", query, () => {}));
  await Promise.all(Array.from({ length: 100 }, () => server.api.get("ConfigMap", "n", "a")));
  end.abort();
  await Promise.all(watches);
});

test("a list is read page by page; its items say what they are", async (t) => {
  const server = await serve(t, (request, response) => {
    const second = request.url?.includes("continue=more");
    const items = [{ metadata: { name: second ? "b" : "a" } }];
    json(response, 200, {
      metadata: { resourceVersion: "7", ...(second ? {} : { continue: "more" }) },
      items,
    });
  });
  const list = await server.api.list("Deployment", { namespace: "n", labelSelector: "a=b" });
  assert.equal(list.resourceVersion, "7");
  assert.deepEqual(
    list.items.map(({ kind, apiVersion, metadata }) => [kind, apiVersion, metadata.name]),
    [
      ["Deployment", "apps/v1", "a"],
      ["Deployment", "apps/v1", "b"],
    ],
  );
  assert.match(
    server.requests[0] ?? "",
    /^GET \/apis\/apps\/v1\/namespaces\/n\/deployments\?labelSelector=a%3Db/,
  );
});

test("busy servers and broken connections are tried again where that is safe", async (t) => {
  let failures = 2;
  let how: Handler = (_, response) =>
    json(response, 503, status(503, { message: "soon" }), { "retry-after": "0" });
  const server = await serve(t, (request, response, body) => {
    failures -= 1;
    if (failures >= 0) how(request, response, body);
    else json(response, 200, configMap);
  });
  await server.api.apply(configMap);
  assert.equal(server.requests.length, 3, "an apply may be said again");

  failures = 1;
  how = (request) => request.socket.destroy();
  await server.api.delete("ConfigMap", "n", "a");

  failures = 1;
  how = (_, response) => json(response, 500, status(500, { message: "oh" }));
  await assert.rejects(
    server.api.patch("ConfigMap", "n", "a", [{ op: "remove", path: "/data" }]),
    (error: KubeError) => error.code === "SERVER" && error.status === 500,
    "a patch that may have taken effect is not said again",
  );

  failures = 1;
  how = (_, response) => json(response, 429, status(429, { message: "too many" }));
  await server.api.patch("ConfigMap", "n", "a", [{ op: "remove", path: "/data" }]);

  failures = 100;
  const before = server.requests.length;
  await assert.rejects(server.api.get("ConfigMap", "n", "a"), (error: KubeError) => error.code === "BUSY");
  assert.equal(server.requests.length - before, 3, "and not for ever");
});

test("a server that does not answer is given up", async (t) => {
  const server = await serve(t, () => {}, 200);
  await assert.rejects(
    server.api.patch("ConfigMap", "n", "a", []),
    (error: KubeError) => error.code === "UNREACHABLE" && /did not answer in time/.test(error.message),
  );
  const query = { resourceVersion: "1", timeoutSeconds: 60 };
  await assert.rejects(
    server.api.watch("Pod", query, () => {}),
    (error: KubeError) => error.code === "UNREACHABLE",
  );
});

const REFUSALS: [number, Record<string, unknown>, string, RegExp][] = [
  [401, { message: "Unauthorized" }, "UNAUTHORIZED", /does not know who the controller is/],
  [
    403,
    { message: 'configmaps is forbidden: User "x" cannot patch resource "configmaps"' },
    "FORBIDDEN",
    /may not apply configmaps "a" in namespace n: .*cannot patch/,
  ],
  [403, { message: "exceeded quota: agents" }, "QUOTA", /quota of namespace n/],
  [
    403,
    { message: "no", details: { causes: [{ reason: "NamespaceTerminating" }] } },
    "TERMINATING",
    /namespace n is being deleted/,
  ],
  [409, { message: "the object has been modified" }, "CONFLICT", /modified/],
  [422, { message: "ConfigMap is invalid" }, "INVALID", /would not apply .* ConfigMap is invalid/],
  [
    403,
    { message: 'admission webhook "policies.example" denied the request: no agents on Fridays' },
    "FORBIDDEN",
    /no agents on Fridays/,
  ],
  // A name with such words in it is no outage.
  [
    403,
    { message: 'configmaps "timeout" is forbidden: User "x" cannot patch resource "configmaps" in group ""' },
    "FORBIDDEN",
    /cannot patch/,
  ],
  // Nobody judged the object: not yet, or not just now.
  ...[
    'pods "a" is forbidden: not yet ready to handle request',
    'pods "a" is forbidden: status unknown for quota: agents, resources: pods',
    "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed to configure binding: no params found",
    "ValidatingAdmissionPolicy 'p' denied request: expression 'x' resulted in error: no such key: labels",
    'admission webhook "validate.example" denied the request: failed to load context: context deadline exceeded',
    'admission webhook "check.example" denied the request: Get "https://10.0.0.1": dial tcp: connection refused',
  ].flatMap((message) =>
    [400, 403, 422].map((code): (typeof REFUSALS)[number] => [code, { message }, "BUSY", /is busy/]),
  ),
];
for (const [code, more, expected, words] of REFUSALS) {
  test(`a refusal in words: ${code} ${expected} ${String(more.message).slice(0, 60)}`, async (t) => {
    const server = await serve(t, (_, response) => json(response, code, status(code, more)));
    await assert.rejects(server.api.apply(configMap), (error: KubeError) => {
      assert.equal(error.code, expected);
      assert.match(error.message, words);
      assert.ok(!error.message.includes("the-token"));
      return true;
    });
  });
}

test("a conflict names the fields and who owns them; what is missing is undefined, not an error", async (t) => {
  const causes = [
    {
      reason: "FieldManagerConflict",
      message: 'conflict with "kubectl-edit" using apps/v1',
      field: ".spec.replicas",
    },
  ];
  const server = await serve(t, (request, response) => {
    if (request.method === "PATCH")
      json(response, 409, status(409, { message: "1 conflict", details: { causes } }));
    else json(response, 404, status(404, { message: "not found" }));
  });
  await assert.rejects(server.api.apply(configMap), (error: KubeError) => {
    assert.deepEqual(error.conflicts, [{ field: ".spec.replicas", manager: "kubectl-edit" }]);
    return true;
  });
  assert.equal(await server.api.get("ConfigMap", "n", "a"), undefined);
  await server.api.delete("ConfigMap", "n", "a");
});

test("a watch tells events as they come, and says when its version is too old", async (t) => {
  const event = (type: string, resourceVersion: string) =>
    JSON.stringify({ type, object: { kind: "Pod", metadata: { name: "é", resourceVersion } } });
  const server = await serve(t, (_, response) => {
    const bytes = Buffer.from(`${event("ADDED", "2")}\n${event("BOOKMARK", "3")}\n`);
    // In the middle of a letter.
    const middle = bytes.indexOf("é") + 1;
    response.writeHead(200).write(bytes.subarray(0, middle), () => {
      response.write(bytes.subarray(middle), () => {
        response.end(`${JSON.stringify({ type: "ERROR", object: status(410, { message: "too old" }) })}\n`);
      });
    });
  });
  const events: WatchEvent[] = [];
  await assert.rejects(
    server.api.watch("Pod", { resourceVersion: "1", timeoutSeconds: 60 }, (one) => events.push(one)),
    (error: KubeError) => error.code === "GONE",
  );
  assert.deepEqual(
    events.map(({ type, object }) => [type, object.metadata.name, object.metadata.resourceVersion]),
    [
      ["ADDED", "é", "2"],
      ["BOOKMARK", "é", "3"],
    ],
  );
  assert.match(server.requests[0] ?? "", /allowWatchBookmarks=true&resourceVersion=1/);
});

test("a log that is followed may be silent from its beginning; one that is read, and a watch, may not", async (t) => {
  const silent: ServerResponse[] = [];
  const server = await serve(t, (_, response) => silent.push(response), 100);
  await assert.rejects(server.api.podLog("n", "p", { container: "agent" }), /did not answer in time/);
  await assert.rejects(
    server.api.watch("Pod", { resourceVersion: "1", timeoutSeconds: 60 }, () => {}),
    /did not answer in time/,
  );
  const following = server.api.podLog("n", "p", { container: "agent", follow: true });
  await sleep(300);
  silent.at(-1)?.end("a line");
  assert.equal(Buffer.concat(await Array.fromAsync(await following)).toString(), "a line");
});

test("what is wrong with a kubeconfig is said in a sentence", async (t) => {
  const { kubeconfig } = await serve(t, () => {});
  for (const [options, problem] of [
    [{ kubeconfig: "/nowhere/config" }, /There is no kubeconfig at \/nowhere\/config/],
    [{ kubeconfig, context: "gone" }, /no context "gone"; it has here, nowhere/],
    [{ kubeconfig, context: "nowhere" }, /names no cluster/],
    [{ kubeconfig: undefined }, /no Kubernetes cluster to use/],
  ] as const) {
    await assert.rejects(createClient(options), problem);
  }
  await (await createClient({ kubeconfig, context: "here" })).close();
});

test("C7: several kubeconfigs are merged as kubectl does: the first that names a thing counts", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "kubeconfigs-"));
  t.onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = (name: string, server: string, contexts: string[], current?: string) => {
    const path = join(folder, name);
    writeFileSync(
      path,
      JSON.stringify({
        clusters: [
          { name: "shared", cluster: { server } },
          { name: `of-${name}`, cluster: { server } },
        ],
        users: [{ name: "u", user: { token: name } }],
        contexts: contexts.map((context) => ({ name: context, context: { cluster: "shared", user: "u" } })),
        ...(current && { "current-context": current }),
      }),
    );
    return path;
  };
  const files = [
    file("one", "http://one", ["a"]),
    join(folder, "missing"),
    file("two", "http://two", ["a", "b"], "b"),
    file("three", "http://three", ["c"], "c"),
  ].join(delimiter);
  const config = loadKubeConfig(files, undefined);
  assert.equal(config.getCurrentContext(), "b");
  assert.equal(config.getCurrentCluster()?.server, "http://one");
  assert.equal(config.getCurrentUser()?.token, "one");
  assert.deepEqual(
    config.getContexts().map(({ name }) => name),
    ["a", "b", "c"],
  );
  assert.deepEqual(
    config.getClusters().map(({ name }) => name),
    ["shared", "of-one", "of-two", "of-three"],
  );
  assert.equal(loadKubeConfig(files, "c").getCurrentContext(), "c");
});

test("in a pod that has no service account, a sentence says so", () => {
  assert.throws(
    () => connectInCluster({ KUBERNETES_SERVICE_HOST: "10.96.0.1" }, "/nowhere"),
    /no service account: \/nowhere cannot be read/,
  );
});

test("a server that is not there", async (t) => {
  const server = await serve(t, () => {});
  await server.api.close();
  const folder = mkdtempSync(join(tmpdir(), "client-"));
  t.onTestFinished(() => rmSync(folder, { recursive: true }));
  const kubeconfig = join(folder, "config");
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      clusters: [{ name: "c", cluster: { server: "http://127.0.0.1:1", "insecure-skip-tls-verify": true } }],
      users: [{ name: "u", user: {} }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    }),
  );
  const api = await createClient({ kubeconfig, random: () => 0 });
  await assert.rejects(api.version(), /http:\/\/127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\)/);
  await api.close();
});
