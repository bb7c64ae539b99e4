// Watches that say nothing any more: what the server itself tells of an agent takes their place.
import assert from "node:assert/strict";
import { type TestContext, test } from "vitest";
import { silentLog } from "../../log.ts";
import { KubernetesControllers } from "../../testing/kubernetes-controllers.ts";
import { KubernetesModel } from "../../testing/kubernetes-model.ts";
import { SimulatedClock, seededRandom } from "../../testing/simulated-clock.ts";
import { Workloads } from "./agent-workloads.ts";
import type { KubeApi } from "./api.ts";
import { ClusterView, OBSERVED_KINDS } from "./observe/view.ts";
import { guardOf, manifestOptionsOf, workloadOf } from "./testing.ts";

async function rig(context: TestContext) {
  const clock = new SimulatedClock();
  const model = new KubernetesModel(clock);
  const random = seededRandom(1);
  new KubernetesControllers(model, clock, random, () => "ready");
  const api = {
    get: async (...asked: Parameters<KubeApi["get"]>) => model.get(...asked),
    list: async (...asked: Parameters<KubeApi["list"]>) => model.list(...asked),
    apply: async (...asked: Parameters<KubeApi["apply"]>) => model.apply(...asked),
    patch: async (...asked: Parameters<KubeApi["patch"]>) => model.patch(...asked),
    delete: async (...asked: Parameters<KubeApi["delete"]>) => model.delete(...asked),
    watch: (_, query) =>
      new Promise<void>((resolve) => query.signal?.addEventListener("abort", () => resolve())),
  } as Partial<KubeApi> as KubeApi;
  const manifests = manifestOptionsOf();
  const common = { clock, random, log: silentLog, resyncSeconds: 60 };
  const { installation, namespacePrefix } = manifests;
  const kinds = OBSERVED_KINDS.filter((kind) => kind !== "HTTPRoute");
  const view = new ClusterView({ ...common, api, kinds, installation, namespacePrefix });
  const workloads = new Workloads(api, view, {
    ...common,
    ...manifests,
    responsible: () => true,
    owner: () => undefined,
    guard: guardOf(),
    gone: async () => {
      throw new Error("nobody sweeps here");
    },
  });
  await view.start();
  context.onTestFinished(() => view.stop());
  const seen = () =>
    workloads.get("agent-1")?.replicas.map(({ state, template }) => `${template} ${state}`) ?? [];
  return { clock, model, seen, workloads };
}

test("pods that came and pods that went are seen, though no watch told of them", async (context) => {
  const { clock, model, seen, workloads } = await rig(context);
  await workloads.apply(workloadOf({ template: "1111", replicas: 2 }));
  await clock.advance(3000);
  assert.deepEqual(seen(), [], "no watch tells anything");
  await workloads.refresh("agent-1");
  assert.deepEqual(seen(), ["1111 ready", "1111 ready"]);

  await workloads.apply(workloadOf({ template: "2222", replicas: 2, generation: 2, revision: 2 }));
  await clock.advance(3000);
  assert.deepEqual(seen(), ["1111 ready", "1111 ready"]);
  await workloads.refresh("agent-1");
  assert.deepEqual(seen(), ["2222 ready", "2222 ready"]);
  assert.equal(model.all("Pod").length, 2);
});

test("of an agent that is not there nothing is asked", async (context) => {
  const { workloads } = await rig(context);
  await workloads.refresh("agent-1");
  assert.equal(workloads.get("agent-1"), undefined);
});
