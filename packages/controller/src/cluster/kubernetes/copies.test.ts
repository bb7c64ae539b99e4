// Copies of named objects in users' namespaces: current everywhere, whatever is under way and whichever namespace is sick.
import assert from "node:assert/strict";
import { type TestContext, test } from "vitest";
import { silentLog } from "../../log.ts";
import { KubernetesModel } from "../../testing/kubernetes-model.ts";
import { SimulatedClock } from "../../testing/simulated-clock.ts";
import { Workloads } from "./agent-workloads.ts";
import { type KubeApi, KubeError, type KubeObject } from "./api.ts";
import { ClusterView, OBSERVED_KINDS } from "./observe/view.ts";
import { FLEET, guardOf, manifestOptionsOf, workloadOf } from "./testing.ts";

const RESYNC_SECONDS = 60;
const ORIGINALS = "agent-launchpad";
const spaceOf = (user: string) => `agents-${user}`;

/** A controller with one pull secret to copy, over a model of the API server whose calls a test can hold up or refuse. */
async function rig(context: TestContext) {
  const clock = new SimulatedClock();
  const model = new KubernetesModel(clock);
  /** What happens to an apply before it reaches the server. */
  const before = { apply: async (_object: KubeObject): Promise<void> => {} };
  const api = {
    get: async (...asked: Parameters<KubeApi["get"]>) => model.get(...asked),
    list: async (...asked: Parameters<KubeApi["list"]>) => model.list(...asked),
    apply: async (...asked: Parameters<KubeApi["apply"]>) => {
      await before.apply(asked[0]);
      return model.apply(...asked);
    },
    patch: async (...asked: Parameters<KubeApi["patch"]>) => model.patch(...asked),
    delete: async (...asked: Parameters<KubeApi["delete"]>) => model.delete(...asked),
    watch: (_, query) =>
      new Promise<void>((resolve) => query.signal?.addEventListener("abort", () => resolve())),
  } as Partial<KubeApi> as KubeApi;
  const manifests = manifestOptionsOf({ copyNamed: true, imagePullSecrets: ["registry"] });
  const common = { clock, random: () => 0.5, log: silentLog, resyncSeconds: RESYNC_SECONDS };
  const { installation, namespacePrefix } = manifests;
  const kinds = OBSERVED_KINDS.filter((kind) => kind !== "HTTPRoute");
  const view = new ClusterView({ ...common, api, kinds, installation, namespacePrefix });
  const workloads = new Workloads(api, view, {
    ...common,
    ...manifests,
    responsible: () => true,
    owner: () => undefined,
    guard: guardOf(),
    gone: async ({ agents, users }) => ({
      agents: [],
      users: [],
      known: { agents: [...agents], users: [...users] },
      fleet: FLEET,
    }),
  });
  const original = (login: string, type = "kubernetes.io/dockerconfigjson") =>
    model.apply({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "registry", namespace: ORIGINALS, labels: { of: "operators" } },
      type,
      data: { login },
    });
  const labels = { purpose: "controllers" };
  model.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: ORIGINALS, labels } });
  original("first");
  await view.start();
  workloads.start();
  context.onTestFinished(async () => {
    await workloads.stop();
    await view.stop();
  });
  const copyOf = (user: string) => model.get("Secret", spaceOf(user), "registry");
  return {
    before,
    clock,
    copyOf,
    loginOf: (user: string) => (copyOf(user)?.data as { login: string } | undefined)?.login,
    make: (user: string) => workloads.apply(workloadOf({ agentId: `agent-${user}`, userId: user })),
    original,
  };
}

const isCopy = ({ kind, metadata }: KubeObject, user: string) =>
  kind === "Secret" && metadata.name === "registry" && metadata.namespace === spaceOf(user);

test("a sweep while a user's first agent is being made: the copy follows its original all the same", async (context) => {
  const { before, clock, loginOf, make, original } = await rig(context);
  const { promise: held, resolve: goOn } = Promise.withResolvers<void>();
  context.onTestFinished(() => goOn());
  before.apply = async (object) => {
    if (isCopy(object, "a")) await held;
  };
  const made = make("a");
  await clock.advance(RESYNC_SECONDS * 1200);
  goOn();
  await made;
  assert.equal(loginOf("a"), "first");
  original("second");
  await clock.advance(RESYNC_SECONDS * 1200);
  assert.equal(loginOf("a"), "second");
});

test("a namespace that does not answer, and one that refuses, hold up no other", async (context) => {
  const { before, clock, loginOf, make, original } = await rig(context);
  for (const user of ["a", "b", "c"]) await make(user);
  const { promise: silent, resolve: goOn } = Promise.withResolvers<void>();
  context.onTestFinished(() => goOn());
  before.apply = async (object) => {
    if (isCopy(object, "a")) await silent;
    if (isCopy(object, "b")) throw new Error("no KubeError");
  };
  original("second");
  await clock.advance(RESYNC_SECONDS * 1200);
  assert.deepEqual(["a", "b", "c"].map(loginOf), ["first", "first", "second"]);
  before.apply = async () => {};
  goOn();
  await clock.advance(RESYNC_SECONDS * 1200);
  assert.deepEqual(["a", "b", "c"].map(loginOf), ["second", "second", "second"]);
});

test("an older content that is slow on its way never stands over a newer one", async (context) => {
  const { before, clock, loginOf, make, original } = await rig(context);
  await make("a");
  original("second");
  // The look of this minute is held up with what it has read; the agent is applied meanwhile, and one more after it.
  const { promise: slow, resolve: goOn } = Promise.withResolvers<void>();
  context.onTestFinished(() => goOn());
  let reached = 0;
  before.apply = async (object) => {
    if (!isCopy(object, "a")) return;
    reached += 1;
    if (reached === 1) await slow;
  };
  await clock.advance(RESYNC_SECONDS * 1200);
  assert.equal(reached, 1);
  const again = make("a");
  await clock.advance(0);
  assert.equal(reached, 1, "one at a time");
  original("third");
  goOn();
  await again;
  await clock.advance(RESYNC_SECONDS * 1200);
  assert.equal(loginOf("a"), "third");
});

test("a copy that is refused in another type holds up no other namespace, and is tried again", async (context) => {
  const { before, clock, copyOf, loginOf, make, original } = await rig(context);
  for (const user of ["a", "b"]) await make(user);
  original("second", "Opaque");
  before.apply = async (object) => {
    if (isCopy(object, "a")) throw new KubeError("INVALID", "type: field is immutable");
  };
  await clock.advance(RESYNC_SECONDS * 1000);
  assert.deepEqual(["a", "b"].map(loginOf), [undefined, "second"]);
  before.apply = async () => {};
  await clock.advance(RESYNC_SECONDS * 1200);
  assert.equal(loginOf("a"), "second");
  assert.equal(copyOf("a")?.type, "Opaque");
});
