// Every route that exists in the sources of the parts: what the table of tests/hostile must have a row for.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROUTES as AUTH_ROUTES } from "../../packages/local-supabase/src/auth/routes.ts";

const ROOT = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

/** `<part> <method> <path>`, the path as its source writes it. */
export function sourceRoutes(): string[] {
  return [
    ...apiRoutes(),
    ...authRoutes(),
    ...storageRoutes(),
    ...runtimeRoutes(),
    ...controllerRoutes(),
    ...realtimeRoutes(),
    ...functionRoutes(),
  ];
}

/** The paths that the routing tables of the gateway name: the project's and the stack's. */
export function gatewayPaths(): string[] {
  const source = ["packages/local-supabase", "packages/stack"]
    .map((part) => read(`${part}/src/gateway/routes.ts`))
    .join("");
  return [...new Set([...source.matchAll(/"(\/[\w./-]*)"/g)].map(([, path]) => path!))];
}

function apiRoutes(): string[] {
  const { paths } = JSON.parse(read("docs/openapi.json")) as { paths: Record<string, object> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => /^(get|post|put|patch|delete)$/.test(method))
      .map((method) => `api ${method.toUpperCase()} ${path}`),
  );
}

function storageRoutes(): string[] {
  const source = read("packages/local-supabase/src/storage/routes.ts");
  return [...source.matchAll(/row\("(GET|POST|PUT|PATCH|DELETE)", "(\/[^"]*)"/g)].map(
    ([, method, path]) => `storage ${method} ${path}`,
  );
}

function authRoutes(): string[] {
  return AUTH_ROUTES.map(({ method, path }) => `auth ${method} ${path}`);
}

function runtimeRoutes(): string[] {
  const source = read("packages/agent-runtime/src/http/server.ts");
  const table = /ROUTES[^=]*= \{([^}]*)\}/.exec(source)?.[1] ?? "";
  return [...table.matchAll(/"(\/[^"]*)": \[([^\]]*)\]/g)].flatMap(([, path, methods]) =>
    [...methods!.matchAll(/"(\w+)"/g)]
      .filter(([, method]) => method !== "HEAD")
      .map(([, method]) => `runtime ${method} ${path}`),
  );
}

function controllerRoutes(): string[] {
  const source = read("packages/controller/src/server.ts");
  return [...source.matchAll(/case "(\/[^"]+)":\s*\{?\s*if \((?:request\.method !== "(\w+)"|!isRead)/g)].map(
    ([, path, method]) => `controller ${method ?? "GET"} ${path}`,
  );
}

function realtimeRoutes(): string[] {
  const http = read("packages/local-supabase/src/realtime/http.ts");
  const of = (name: string, method: string) => {
    const pattern = new RegExp(`const ${name} = /\\^\\((.*)\\)\\$/;`).exec(http)?.[1];
    if (pattern === undefined) throw new Error(`Realtime's ${name} is written otherwise now`);
    return pattern
      .split("|")
      .map((path) => `realtime ${method} ${path.replaceAll("\\/", "/").replaceAll("[^/]+", "*")}`);
  };
  return [
    ...of("READABLE", "GET"),
    ...of("WRITABLE", "POST"),
    "realtime WS /websocket",
    "realtime GET /api/connections",
  ];
}

/** Functions beside `api` serve one address each. */
function functionRoutes(): string[] {
  const folder = join(ROOT, "supabase/functions");
  return readdirSync(folder)
    .filter((name) => /^[a-z]/.test(name) && name !== "api" && existsSync(join(folder, name, "index.ts")))
    .flatMap((name) => {
      // What a function answers below its name, it tells apart by the end of the path.
      const source = readFileSync(join(folder, name, "index.ts"), "utf8");
      const below = [...source.matchAll(/pathname\.endsWith\("(\/\w+)"\)/g)].map(([, path]) => path);
      return ["", ...below].map((path) => `function POST /${name}${path}`);
    });
}
