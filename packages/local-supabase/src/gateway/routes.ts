// The gateway's routing table. Pure.

import type { ErrorForm, ExtensionRoute, GatewayExtension, PlatformFunction } from "./extension.ts";
import { type Fault, ODD_NAME, readTarget, type Target } from "./target.ts";

/** Where a request goes; `path` is what the upstream sees: the canonical spelling of what was sent. */
export type Route =
  | { kind: "rest"; path: string }
  | { kind: "graphql"; path: string }
  | { kind: "auth"; path: string; needsKey: boolean }
  | { kind: "storage"; path: string }
  | { kind: "function"; name: string; path: string; platform?: PlatformFunction }
  | { kind: "realtime"; path: string }
  | { kind: "mailbox" | "mailbox.json" | "health" | "home" | "none"; path: string }
  | ExtensionRoute
  /** A target that cannot be read in one way only. */
  | { kind: "unreadable"; fault: Fault; errors?: ErrorForm };

/** What an extension says of routes. */
export type Routing = Pick<GatewayExtension, "routeOf" | "platformFunction" | "unreadableForm">;

/**
 * The routing table. Pure: takes the Host header, the method and the request target as received, which is parsed here and
 * nowhere else. The routes of an extension come first.
 */
export function routeOf(
  host: string | undefined,
  method: string,
  raw: string,
  extension: Routing = {},
): Route {
  const target = readTarget(raw);
  if ("cure" in target) return unreadable(raw, target, extension);
  const route = extension.routeOf?.(host, target) ?? routeOfTarget(method, target);
  // Nothing here judges by the names in these paths; they are what the service calls its things.
  const takesAnyName =
    route.kind === "extension"
      ? route.takesAnyName
      : ["function", "realtime", "storage"].includes(route.kind);
  if (target.odd && !takesAnyName) return unreadable(raw, ODD_NAME, extension);
  if (route.kind !== "function") return route;
  const platform = extension.platformFunction?.(route.name);
  return platform ? { ...route, platform } : route;
}

function unreadable(raw: string, fault: Fault, { unreadableForm }: Routing): Route {
  const errors = unreadableForm?.(raw);
  return { kind: "unreadable", fault, ...(errors ? { errors } : {}) };
}

function routeOfTarget(method: string, target: Target): Route {
  const { path, search } = target;
  const whole = path + search;
  if (under(path, "/rest/v1")) {
    return { kind: "rest", path: (path.slice("/rest/v1".length) || "/") + withoutApiKey(search) };
  }
  if (path === "/graphql/v1" || path === "/graphql/v1/") return { kind: "graphql", path: whole };
  if (under(path, "/auth/v1")) {
    return { kind: "auth", path: whole, needsKey: !isOpenAuth(method, path) };
  }
  if (under(path, "/storage/v1")) {
    return { kind: "storage", path: whole };
  }
  if (path.startsWith("/functions/v1/")) {
    const rest = whole.slice("/functions/v1".length);
    const name = /^\/([^/?]+)/.exec(rest)?.[1];
    return name ? { kind: "function", name, path: rest } : { kind: "none", path };
  }
  if (under(path, "/realtime/v1")) {
    return { kind: "realtime", path: (path.slice("/realtime/v1".length) || "/") + search };
  }
  if (path === "/mailbox") return { kind: "mailbox", path: whole };
  if (path === "/mailbox.json") return { kind: "mailbox.json", path: whole };
  if (path === "/healthz") return { kind: "health", path };
  if (path === "/") return { kind: "home", path };
  return { kind: "none", path };
}

/** Whether a path is `prefix` or below it. */
export function under(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

// Links that a person opens from an e-mail or that a provider redirects to cannot carry a key.
function isOpenAuth(method: string, path: string): boolean {
  if (path.startsWith("/auth/v1/.well-known/")) return true;
  if (path === "/auth/v1/callback") return true;
  return method === "GET" && (path === "/auth/v1/verify" || path === "/auth/v1/authorize");
}

/** PostgREST would read `?apikey=` as a filter on a column. */
function withoutApiKey(search: string): string {
  if (!search.includes("apikey=")) return search;
  const kept = search
    .slice(1)
    .split("&")
    .filter((pair) => !pair.startsWith("apikey="));
  return kept.length > 0 ? `?${kept.join("&")}` : "";
}

/** Whether a Host header names this machine itself: 127.0.0.1, [::1] or localhost, with or without a port. */
export function isLocalName(host: string | undefined): boolean {
  return /^(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?$/i.test(host ?? "");
}
