/** Where a request goes; `path` is what the upstream sees. */
export type Route =
  | { kind: "agent"; agentId: string }
  | { kind: "rest"; path: string }
  | { kind: "graphql"; path: string }
  | { kind: "auth" | "storage"; path: string; needsKey: boolean }
  | { kind: "function"; name: string; path: string }
  | { kind: "realtime"; path: string }
  | { kind: "docs"; path: string }
  | { kind: "mailbox" | "mailbox.json" | "health" | "home" | "none" };

const AGENT_HOST = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.agents\.localhost(?::\d+)?$/i;

/**
 * The routing table. Pure: takes the Host header, the method and the request target as received.
 * Any path on an agent's host belongs to the agent.
 */
export function routeOf(host: string | undefined, method: string, target: string): Route {
  const agentId = AGENT_HOST.exec(host ?? "")?.[1];
  if (agentId) return { kind: "agent", agentId: agentId.toLowerCase() };

  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const search = query < 0 ? "" : target.slice(query);

  if (under(path, "/rest/v1")) {
    return { kind: "rest", path: (path.slice("/rest/v1".length) || "/") + withoutApiKey(search) };
  }
  if (path === "/graphql/v1" || path === "/graphql/v1/") return { kind: "graphql", path: target };
  if (under(path, "/auth/v1")) {
    return { kind: "auth", path: target, needsKey: !isOpenAuth(method, path) };
  }
  if (under(path, "/storage/v1")) {
    return { kind: "storage", path: target, needsKey: !isOpenStorage(path, search) };
  }
  if (under(path, "/api")) return { kind: "function", name: "api", path: target };
  if (path.startsWith("/functions/v1/")) {
    const rest = target.slice("/functions/v1".length);
    const name = /^\/([^/?]+)/.exec(rest)?.[1];
    return name ? { kind: "function", name, path: rest } : { kind: "none" };
  }
  if (under(path, "/realtime/v1")) {
    return { kind: "realtime", path: (path.slice("/realtime/v1".length) || "/") + search };
  }
  if (under(path, "/docs")) return { kind: "docs", path };
  if (path === "/mailbox") return { kind: "mailbox" };
  if (path === "/mailbox.json") return { kind: "mailbox.json" };
  if (path === "/healthz") return { kind: "health" };
  if (path === "/") return { kind: "home" };
  return { kind: "none" };
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

// Public objects and signed URLs are given to browsers as plain links.
function isOpenStorage(path: string, search: string): boolean {
  if (/^\/storage\/v1\/(object|render\/image)\/(info\/)?public\//.test(path)) return true;
  const signed = /^\/storage\/v1\/(object|object\/upload|render\/image)\/sign\//.test(path);
  return signed && /[?&]token=/.test(search);
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
