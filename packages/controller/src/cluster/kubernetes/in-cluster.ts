// Connects to the API server as the service account of the controller's own pod.

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { KubeError } from "./api.ts";
import { type Connection, closePools, createPools } from "./connection.ts";

/** Where Kubernetes puts a pod's token and the cluster's certificate authority. */
const FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
/** The kubelet renews the token long before its end. */
const TOKEN_MS = 60_000;

/**
 * As the service account of the pod that this runs in.
 * @throws {Error} one sentence when this is no pod
 */
export function connectInCluster(env: NodeJS.ProcessEnv = process.env, folder = FOLDER): Connection {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = env;
  if (host === undefined) {
    throw new Error(
      "There is no Kubernetes cluster to use: name a kubeconfig (LAUNCHPAD_KUBECONFIG), or run the controller in a pod.",
    );
  }
  let ca: Buffer;
  try {
    ca = readFileSync(join(folder, "ca.crt"));
  } catch (cause) {
    throw new Error(`This pod has no service account: ${folder} cannot be read.`, { cause });
  }
  const pools = createPools({ type: "agent", connect: { ca } });
  let token: { text: string; readAt: number } | undefined;
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    async credentials() {
      if (token === undefined || Date.now() - token.readAt > TOKEN_MS) {
        try {
          token = { text: (await readFile(join(folder, "token"), "utf8")).trim(), readAt: Date.now() };
        } catch (cause) {
          throw new KubeError("UNAUTHORIZED", "The service account's token cannot be read.", { cause });
        }
      }
      return { headers: { Authorization: `Bearer ${token.text}` }, pools };
    },
    close: () => closePools(pools),
  };
}
