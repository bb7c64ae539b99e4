// The chart on a test cluster, and its controller's identity there.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "./chart.ts";
import type { TestCluster } from "./cluster.ts";
import type { KubeClient } from "./kube.ts";

const PLURALS: Record<string, string> = {
  NetworkPolicy: "networkpolicies",
  Ingress: "ingresses",
  ValidatingAdmissionPolicy: "validatingadmissionpolicies",
  RuntimeClass: "runtimeclasses",
};

/**
 * Applies one object of a chart.
 * @throws {Error} in the API server's words
 */
export async function applyManifest(kube: KubeClient, manifest: Manifest, dryRun = false): Promise<void> {
  const { apiVersion, kind, metadata } = manifest;
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  const base = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const scope = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  const plural = PLURALS[kind] ?? `${kind.toLowerCase()}s`;
  const query = `fieldManager=test&fieldValidation=Strict${dryRun ? "&dryRun=All" : ""}`;
  const answer = await kube.call("PATCH", `${base}${scope}/${plural}/${metadata.name}?${query}`, manifest, {
    "content-type": "application/apply-patch+yaml",
  });
  if (answer.status >= 300) throw new Error(`${kind} ${metadata.name}: ${answer.status} ${answer.text}`);
}

/** A service account's token, and a kubeconfig with it in the folder. */
export async function identityOf(
  { info }: Pick<TestCluster, "info">,
  admin: KubeClient,
  account: { namespace: string; name: string },
  folder: string,
): Promise<{ token: string; kubeconfig: string }> {
  const path = `/api/v1/namespaces/${account.namespace}/serviceaccounts/${account.name}/token`;
  const { token } = (await admin.call("POST", path, { spec: {} })).body.status;
  const kubeconfig = join(folder, "kubeconfig");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    clusters: [
      { name: "c", cluster: { server: info.url, "certificate-authority": join(info.pki, "ca.crt") } },
    ],
    users: [{ name: "u", user: { token } }],
  };
  writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  return { token, kubeconfig };
}
