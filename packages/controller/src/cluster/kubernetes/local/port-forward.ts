// Opens one port-forward connection to a pod through the API server.

import type { KubeConfig } from "@kubernetes/client-node";
import { PORT } from "../names.ts";
import type { Connect } from "./forward.ts";

/** An upgrade that nobody answers must not hold the caller: the API server, the kubelet or a proxy may be stuck. */
const OPEN_MS = 10_000;

async function within<T>(opening: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("the connection was not opened in time")), OPEN_MS);
  try {
    return await Promise.race([opening, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Connects through the API server and the kubelet, as `kubectl port-forward` does.
 * @param kubeconfig who asks: needs `create` on `pods/portforward`
 */
export async function portForwarding(kubeconfig: KubeConfig): Promise<Connect> {
  // Loaded here: a controller inside the cluster never forwards, and need not hold the library's generated clients.
  const { PortForward } = await import("@kubernetes/client-node");
  const forward = new PortForward(kubeconfig);
  return async ({ namespace, name }, socket) => {
    // What the caller sends meanwhile waits in the socket, not in a stream that nobody reads yet.
    socket.pause();
    const opened = await within(forward.portForward(namespace, name, [PORT], socket, null, socket));
    const connection = typeof opened === "function" ? opened() : opened;
    if (connection === null) throw new Error("the API server opened no connection");
    connection.onclose = () => socket.end();
    connection.onerror = () => socket.destroy();
    socket.once("close", () => connection.close());
    socket.resume();
  };
}
