// The part of the Gateway API's HTTPRoute that agents have. Its types are in no package that we use.
import type { KubeObject } from "../api.ts";

interface ParentRef {
  group: string;
  kind: string;
  name: string;
  namespace: string;
}

interface BackendRef {
  group: string;
  kind: string;
  name: string;
  port: number;
  weight: number;
}

/** gateway.networking.k8s.io/v1 HTTPRoute: one host, one path, one Service behind it. */
export interface HttpRoute {
  apiVersion: "gateway.networking.k8s.io/v1";
  kind: "HTTPRoute";
  metadata: KubeObject["metadata"];
  spec: {
    parentRefs: ParentRef[];
    hostnames: string[];
    rules: { matches: { path: { type: "PathPrefix"; value: string } }[]; backendRefs: BackendRef[] }[];
  };
}
