// A service account as a pod has it: the files that the kubelet puts there, and the variables that say where the server is.
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestCluster } from "./cluster.ts";
import type { KubeClient } from "./kube.ts";

/** Writes a fresh token and the certificate authority into `folder`; returns the token and a pod's environment. */
export async function mountServiceAccount(
  { info }: Pick<TestCluster, "info">,
  admin: Pick<KubeClient, "call">,
  account: { namespace: string; name: string },
  folder: string,
): Promise<{ token: string; env: Record<string, string> }> {
  const path = `/api/v1/namespaces/${account.namespace}/serviceaccounts/${account.name}/token`;
  const { token } = (await admin.call("POST", path, { spec: {} })).body.status as { token: string };
  writeFileSync(join(folder, "token"), `${token}\n`, { mode: 0o600 });
  copyFileSync(join(info.pki, "ca.crt"), join(folder, "ca.crt"));
  return { token, env: { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(info.port) } };
}
