// Tests of the model cluster's rollouts: what of a Deployment's pods may end, and when.
import assert from "node:assert/strict";
import { test } from "vitest";
import type { Kind, KubeObject } from "../cluster/kubernetes/api.ts";
import { type Behaviour, isReady, KubernetesControllers } from "./kubernetes-controllers.ts";
import { KubernetesModel } from "./kubernetes-model.ts";
import { SimulatedClock, seededRandom } from "./simulated-clock.ts";

const PLACE = { namespace: "agents", name: "it" };

/** A Deployment of two pods in a model cluster; its image says what they do. */
function start(image: Behaviour) {
  const clock = new SimulatedClock();
  const model = new KubernetesModel(clock);
  new KubernetesControllers(model, clock, seededRandom(1), (config) => config.image as Behaviour);
  const make = (kind: Kind, name: string, rest: Partial<KubeObject>) =>
    model.create(kind, "somebody", {
      metadata: {
        name,
        labels: { made: "by-a-test" },
        ...(kind === "Namespace" ? {} : { namespace: PLACE.namespace }),
      },
      ...rest,
    });
  make("Namespace", PLACE.namespace, {});
  make("Secret", "secret", {});
  make("ConfigMap", "config", { data: { "agent.json": "{}" } });
  const containers = [{ image, envFrom: [{ secretRef: { name: "secret" } }] }];
  const volumes = [{ name: "config", configMap: { name: "config" } }];
  const template = { metadata: { labels: { agent: "it" } }, spec: { containers, volumes } };
  make("Deployment", PLACE.name, { spec: { replicas: 2, template } });
  const ready = () => model.all("Pod").filter(isReady).length;
  const update = (change: (spec: { replicas: number; template: typeof template }) => void) =>
    model.edit("Deployment", PLACE.namespace, PLACE.name, "somebody", ({ spec }) =>
      change(spec as { replicas: number; template: typeof template }),
    );
  const setImage = (to: Behaviour) =>
    update((spec) => {
      const [container] = spec.template.spec.containers;
      assert.ok(container);
      container.image = to;
    });
  /** The fewest ready pods, from now on, at any change. */
  const least = { ready: Number.POSITIVE_INFINITY };
  const { changed } = model;
  model.changed = () => {
    least.ready = Math.min(least.ready, ready());
    changed();
  };
  return { clock, model, ready, least, update, setImage };
}

test("a new template before the set says that its pods are ready → both stay until others are", async () => {
  const { clock, model, ready, least, update } = start("ready");
  while (ready() < 2) await clock.advance(1);
  const status = model.all("ReplicaSet")[0]?.status as { readyReplicas?: number };
  assert.equal(status.readyReplicas, 0, "the set has not seen them yet");
  const first = model.all("Pod").map(({ metadata }) => metadata.name);
  least.ready = 2;
  update((spec) => Object.assign(spec.template.metadata.labels, { version: "2" }));
  await clock.advance(10_000);
  assert.equal(least.ready, 2, "never fewer than are wanted");
  const pods = model.all("Pod");
  assert.deepEqual([pods.length, ready()], [2, 2]);
  assert.ok(pods.every(({ metadata }) => !first.includes(metadata.name)));
});

test("pods that crash → a template that works replaces them all", async () => {
  const { clock, model, ready, setImage } = start("crash");
  await clock.advance(10_000);
  assert.equal(ready(), 0);
  setImage("ready");
  await clock.advance(10_000);
  assert.deepEqual([model.all("Pod").length, ready()], [2, 2]);
});

test("a template that crashes → both ready pods stay, beside one that is not", async () => {
  const { clock, model, ready, least, setImage } = start("ready");
  await clock.advance(10_000);
  least.ready = 2;
  setImage("crash");
  await clock.advance(100_000);
  assert.deepEqual([least.ready, model.all("Pod").length, ready()], [2, 3, 2]);
});

test("replicas 0 in the middle of a rollout → no pod is left", async () => {
  const { clock, model, setImage, update } = start("ready");
  await clock.advance(10_000);
  setImage("crash");
  await clock.advance(1000);
  update((spec) => Object.assign(spec, { replicas: 0 }));
  await clock.advance(10_000);
  assert.equal(model.all("Pod").length, 0);
});
