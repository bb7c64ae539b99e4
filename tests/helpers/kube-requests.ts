// What a request to the Kubernetes API asks for, read from its method and path.
import type { IncomingHttpHeaders } from "node:http";

export type KubeVerb =
  | "get"
  | "list"
  | "watch"
  | "create"
  | "update"
  | "apply"
  | "patch"
  | "delete"
  | "deletecollection";

export interface KubeRequest {
  verb: KubeVerb;
  /** Plural with the subresource (`pods/log`); paths that are no resource stand here as they are (`/version`). */
  resource: string;
  group: string;
  namespace: string | undefined;
  name: string | undefined;
  /** A log that is followed. */
  follow: boolean;
  path: string;
  at: number;
}

/** What a request must be like; what is absent matches all. */
export interface RequestMatch {
  verb?: KubeVerb | readonly KubeVerb[];
  resource?: string | readonly string[];
  namespace?: string;
  name?: string | RegExp;
}

/** The verbs that change something. */
export const WRITES: readonly KubeVerb[] = [
  "create",
  "update",
  "apply",
  "patch",
  "delete",
  "deletecollection",
];

/** Reads a request as the API server would. */
export function parseRequest(method: string, path: string, headers: IncomingHttpHeaders = {}): KubeRequest {
  const url = new URL(path, "https://api");
  const at = performance.now();
  const parts = url.pathname.split("/").filter((part) => part !== "");
  const base = { path, at, follow: url.searchParams.get("follow") === "true" };
  let rest: string[];
  let group = "";
  if (parts[0] === "api" && parts.length > 2) rest = parts.slice(2);
  else if (parts[0] === "apis" && parts.length > 3) {
    group = parts[1] ?? "";
    rest = parts.slice(3);
  } else {
    return { ...base, verb: "get", resource: url.pathname, group, namespace: undefined, name: undefined };
  }
  let namespace: string | undefined;
  if (rest[0] === "namespaces" && rest.length > 2) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const [plural = "", name, subresource] = rest;
  const resource = subresource === undefined ? plural : `${plural}/${subresource}`;
  return { ...base, verb: verbOf(method, url, name, headers), resource, group, namespace, name };
}

function verbOf(method: string, url: URL, name: string | undefined, headers: IncomingHttpHeaders): KubeVerb {
  const watch = url.searchParams.get("watch");
  switch (method) {
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return headers["content-type"]?.startsWith("application/apply-patch") ? "apply" : "patch";
    case "DELETE":
      return name === undefined ? "deletecollection" : "delete";
    default:
      if (watch === "true" || watch === "1") return "watch";
      return name === undefined ? "list" : "get";
  }
}

/** Whether a request is one of those meant. */
export function matches(request: KubeRequest, match: RequestMatch): boolean {
  const among = <T extends string>(value: T, wanted: T | readonly T[] | undefined) =>
    wanted === undefined || (typeof wanted === "string" ? wanted === value : wanted.includes(value));
  return (
    among(request.verb, match.verb) &&
    among<string>(request.resource, match.resource) &&
    (match.namespace === undefined || match.namespace === request.namespace) &&
    (match.name === undefined ||
      (typeof match.name === "string"
        ? match.name === request.name
        : request.name !== undefined && match.name.test(request.name)))
  );
}
