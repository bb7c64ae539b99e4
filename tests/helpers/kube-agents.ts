// Agents in a test cluster by their manifests alone: for tests of what is seen of them, without a controller.

import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import type { KubeApi } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { workloadManifests } from "../../packages/controller/src/cluster/kubernetes/manifests/agent-manifests.ts";
import type { ManifestOptions } from "../../packages/controller/src/cluster/kubernetes/options.ts";
import { manifestOptionsOf, workloadOf } from "../../packages/controller/src/cluster/kubernetes/testing.ts";

/** Makes every object of an agent. */
export async function launch(
  api: KubeApi,
  part: Partial<Workload>,
  options: Partial<ManifestOptions> = {},
): Promise<void> {
  const { after, anchor, before, beside, deployment, user } = workloadManifests(
    workloadOf({ quota: null, ...part }),
    manifestOptionsOf(options),
  );
  await api.apply(user.namespace, { force: true });
  for (const object of [...user.access, ...user.bounds, anchor, ...before, ...beside, deployment, ...after]) {
    await api.apply(object, { force: true });
  }
}
