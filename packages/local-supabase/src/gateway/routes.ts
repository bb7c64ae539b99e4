// The gateway's routing table. Pure.

import { type Fault, ODD_NAME, readTarget, type Target } from "./target.ts";

/** Where a request goes; `path` is what the upstream sees: the canonical spelling of what was sent. */
export type Route =
  /** `below`: the agent is named by the path, on the gateway's own host, and not by a host of its own. */
  | { kind: "agent"; agentId: string; path: string; below: boolean }
  | { kind: "rest"; path: string }
  | { kind: "graphql"; path: string }
  | { kind: "auth"; path: string; needsKey: boolean }
  | { kind: "storage"; path: string }
  | { kind: "function"; name: string; path: string }
  | { kind: "realtime"; path: string }
  | { kind: "docs"; path: string }
  | { kind: "mailbox" | "mailbox.json" | "health" | "home" | "none"; path: string }
  /** A target that cannot be read in one way only. `api`: it was meant for `/api`, whose errors have a form of their own. */
  | { kind: "unreadable"; fault: Fault; api: boolean };

const AGENT_HOST = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.agents\.localhost(?::\d+)?$/i;

const AGENT_PATH = /^\/agents\/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(\/.*)?$/;

/**
 * The routing table. Pure: takes the Host header, the method and the request target as received, which is parsed here and
 * nowhere else. Any path on an agent's host belongs to the agent.
 */
export function routeOf(host: string | undefined, method: string, raw: string): Route {
  const target = readTarget(raw);
  if ("cure" in target) return unreadable(raw, target);
  const route = routeOfTarget(host, method, target);
  // Nothing here judges by the names in these paths; they are what the service calls its things.
  const takesAnyName = ["agent", "function", "realtime", "storage"].includes(route.kind);
  return target.odd && !takesAnyName ? unreadable(raw, ODD_NAME) : route;
}

function unreadable(raw: string, fault: Fault): Route {
  return { kind: "unreadable", fault, api: /^\/(functions\/v1\/)?api\b/.test(raw) };
}

function routeOfTarget(host: string | undefined, method: string, target: Target): Route {
  const { path, search } = target;
  const whole = path + search;
  const agentId = AGENT_HOST.exec(host ?? "")?.[1];
  if (agentId) return { kind: "agent", agentId: agentId.toLowerCase(), path: whole, below: false };
  const [, below, rest = ""] = AGENT_PATH.exec(path) ?? [];
  if (below) return { kind: "agent", agentId: below, path: (rest || "/") + search, below: true };

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
  if (under(path, "/api")) return { kind: "function", name: "api", path: whole };
  if (path.startsWith("/functions/v1/")) {
    const rest = whole.slice("/functions/v1".length);
    const name = /^\/([^/?]+)/.exec(rest)?.[1];
    return name ? { kind: "function", name, path: rest } : { kind: "none", path };
  }
  if (under(path, "/realtime/v1")) {
    return { kind: "realtime", path: (path.slice("/realtime/v1".length) || "/") + search };
  }
  if (under(path, "/docs")) return { kind: "docs", path };
  if (path === "/mailbox") return { kind: "mailbox", path: whole };
  if (path === "/mailbox.json") return { kind: "mailbox.json", path: whole };
  if (path === "/healthz") return { kind: "health", path };
  if (path === "/") return { kind: "home", path };
  return { kind: "none", path };
}

function under(path: string, prefix: string): boolean {
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
