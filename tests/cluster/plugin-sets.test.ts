// Plugins on Kubernetes: from a registry that only the controller reaches, over an init step, to agents that run as processes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { api, lastSeq, reached } from "../helpers/agents.ts";
import { whyNoCluster } from "../helpers/cluster.ts";
import type { KubeObject } from "../helpers/kube.ts";
import { type KubeStack, startKubeStack } from "../helpers/kube-stack.ts";
import { eventually } from "../helpers/processes.ts";
import { startRegistry } from "../helpers/registry.ts";
import type { TestUser } from "../helpers/stack.ts";

const ROOT = join(import.meta.dirname, "../..");
const why = await whyNoCluster();

interface PodView {
  spec: { initContainers?: { name: string; env: { name: string; value?: string }[] }[] };
  status: {
    initContainerStatuses?: { restartCount: number; state: { terminated?: { exitCode: number } } }[];
  };
}

describe("plugins in pods", { skip: why !== undefined }, () => {
  let folder: string;
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let system: KubeStack;
  let user: TestUser;
  let agentId: string;
  let url: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "plugin-pods-"));
    const sources = await Promise.all(
      ["my-tool", "other-tool"].map(async (name) => {
        const source = join(folder, name);
        await mkdir(source);
        const manifest = { name, version: "1.4.0", type: "module", main: "index.js", license: "MIT" };
        await writeFile(join(source, "package.json"), JSON.stringify(manifest));
        await writeFile(join(source, "index.js"), `export default { name: "${name}", tools: {} };\n`);
        return source;
      }),
    );
    registry = await startRegistry(join(folder, "archives"), sources);
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    system = await startKubeStack({
      cluster: {
        images: {
          "example/agent-runtime": {
            command: [process.execPath, "packages/agent-runtime/src/main.ts"],
            cwd: ROOT,
            paths: { "/usr/local/bin/node": process.execPath, "/app": ROOT },
          },
        },
      },
      env: {
        npm_config_registry: registry.url,
        npm_config_userconfig: join(folder, "no-npmrc"),
        LAUNCHPAD_PLUGIN_STORE: join(folder, "store"),
        LAUNCHPAD_PLUGIN_URL: url,
        LAUNCHPAD_PLUGIN_PORT: String(port),
        LAUNCHPAD_READY_SECONDS: "60",
      },
    });
    await system.stack.sql("insert into private.plugin_rules (pattern) values ('my-tool'), ('other-tool')");
    user = await system.stack.createUser();
  });
  afterAll(async () => {
    await system?.stop();
    await registry?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const podOf = async (id: string): Promise<KubeObject & PodView> => {
    const pods = await system.podsOf(id);
    assert.equal(pods.length, 1);
    return pods[0] as KubeObject & PodView;
  };
  const isReady = (pod: KubeObject) =>
    (pod as { status?: { conditions?: { type: string; status: string }[] } }).status?.conditions?.some(
      ({ status, type }) => type === "Ready" && status === "True",
    ) === true;
  /** Deletes the agent's pod, and waits for the next one. */
  const replacePod = async (id: string) => {
    const before = await podOf(id);
    const { namespace = "", name } = before.metadata;
    await system.kube.delete("Pod", namespace, name);
    await eventually(
      "another pod is ready",
      async () => {
        const pods = await system.podsOf(id);
        return pods.some((pod) => pod.metadata.name !== name && isReady(pod));
      },
      60_000,
    );
  };
  const create = async (agentName: string, plugins: string[]) => {
    const { body } = await api(system.stack, user, "POST", "/agents", {
      agentName,
      plugins,
      resources: { memory: "256Mi", cpu: "100m" },
    });
    await reached(system.stack, body.agentId, "DEPLOYED");
    return body.agentId as string;
  };

  it("an agent runs the plugin that its init step fetched; no pod knows the registry", async () => {
    agentId = await create("ada", ["my-tool@^1"]);
    const { body } = await system.stack.agentFetch(agentId, "/health", { token: user.token });
    assert.deepEqual(JSON.parse(body).plugins, ["my-tool"]);
    const pod = await podOf(agentId);
    assert.equal(pod.status.initContainerStatuses?.[0]?.state.terminated?.exitCode, 0);
    assert.ok(!JSON.stringify(pod).includes(registry.url.replace(/\/$/, "")));
  });

  it("a pod that comes later needs no registry", async () => {
    registry.fault = "away";
    try {
      await replacePod(agentId);
    } finally {
      registry.fault = "none";
    }
  });

  it("a pod that comes after the controller lost its store gets the same set", async () => {
    await rm(join(folder, "store"), { recursive: true, force: true });
    await system.killController();
    await replacePod(agentId);
    const { body } = await system.stack.agentFetch(agentId, "/health", { token: user.token });
    assert.deepEqual(JSON.parse(body).plugins, ["my-tool"]);
  });

  it("an agent without plugins has no init step and no way to the port", async () => {
    const plain = await create("bob", []);
    const pod = await podOf(plain);
    assert.equal(pod.spec.initContainers, undefined);
    assert.equal(pod.metadata.labels?.["agent-launchpad.dev/plugins"], undefined);
  });

  it("another plugin replaces the pods; the older set's key opens nothing of the newer", async () => {
    const keyOf = async () => {
      const secrets = await system.objectsOf("Secret", agentId);
      return new Set(
        secrets.map((secret) =>
          Buffer.from(
            (secret as { data?: Record<string, string> }).data?.AGENT_PLUGIN_KEY ?? "",
            "base64",
          ).toString(),
        ),
      );
    };
    const setOf = async () =>
      (await podOf(agentId)).spec.initContainers?.[0]?.env.find(({ name }) => name === "AGENT_PLUGIN_SET")
        ?.value;
    const [[before = ""], first] = [[...(await keyOf())], await setOf()];
    const seq = await lastSeq(system.stack, agentId);
    const changed = await api(system.stack, user, "PUT", `/agents/${agentId}`, { plugins: ["other-tool"] });
    assert.ok(changed.status < 300, JSON.stringify(changed.body));
    await reached(system.stack, agentId, "DEPLOYED", seq);
    await eventually("only new pods are left", async () => (await system.podsOf(agentId)).length === 1);
    const second = await setOf();
    assert.notEqual(second, first);
    const get = (key: string) =>
      fetch(`${url}/agents/${agentId}/sets/${second}`, { headers: { authorization: `Bearer ${key}` } });
    assert.equal((await get(before)).status, 401);
    assert.equal((await get(user.token)).status, 401);
    const statuses = await Promise.all([...(await keyOf())].map(async (key) => (await get(key)).status));
    assert.ok(statuses.includes(200), statuses.join());
  });

  it("a plugin that the registry does not have is refused before anything of the agent is touched", async () => {
    const before = (await podOf(agentId)).metadata.uid;
    await system.stack.sql("insert into private.plugin_rules (pattern) values ('not-there')");
    const seq = await lastSeq(system.stack, agentId);
    await api(system.stack, user, "PUT", `/agents/${agentId}`, { plugins: ["not-there"] });
    await reached(system.stack, agentId, "FAILED", seq);
    const { body } = await api(system.stack, user, "GET", `/agents/${agentId}/status`);
    assert.equal(body.reason, "PLUGIN_NOT_FOUND");
    assert.equal((await podOf(agentId)).metadata.uid, before);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
