import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { codeOf, StackError } from "../errors.ts";
import type { StackKeys } from "../keys.ts";
import type { Mailbox } from "../mailbox/mailbox.ts";
import type { RealtimeProcess } from "../services/realtime.ts";
import { createRoleTokens } from "../tokens.ts";
import { authorizeByPost } from "./authorize.ts";
import { isPreflight, preflightHeaders } from "./cors.ts";
import {
  checkApiKey,
  type KeyCheck,
  MISSING_KEY,
  UNKNOWN_KEY,
  upstreamAuthorization,
} from "./credentials.ts";
import { type FetchHandler, serveInProcess } from "./in-process.ts";
import { type AuthCounted, withAuthLimit } from "./limits/auth-limit.ts";
import { refuseRest } from "./limits/rest-guard.ts";
import { type Counted, createRestLimit } from "./limits/rest-limit.ts";
import { homePage, mailboxPage } from "./pages.ts";
import { type Address, createUpstream, proxy, type Upstream } from "./proxy.ts";
import { serveReference } from "./reference.ts";
import { refusalOf } from "./refusals.ts";
import { headerOf, refuse, refuseUnparsed, sendHtml, sendJson, sendOwnJson } from "./replies.ts";
import { isLocalName, type Route, routeOf } from "./routes.ts";
import { createSecurityWatch } from "./security.ts";
import { createServiceRpc } from "./service-rpc.ts";
import { createSignInGuard, isPasswordSignIn } from "./sign-in.ts";
import { passUpgrade, refuseUpgrade } from "./upgrade.ts";

const MiB = 1024 * 1024;
/** A broadcast of the largest payload over HTTP, and what is around it. */
const REALTIME_BYTES = 5 * MiB;
const FOREIGN_NAME = { message: "The mailbox answers to localhost alone" };

/** What the gateway needs to know of the rest; every address may be undefined while that part is down. */
export interface GatewayParts {
  keys: StackKeys;
  mailbox: Mailbox;
  rest: () => Address | undefined;
  graphql?: () => FetchHandler | undefined;
  /** Auth and storage. */
  platform: () => FetchHandler | undefined;
  realtime?: () => Pick<RealtimeProcess, "address" | "upgrade"> | undefined;
  /** `"unknown"` when no function has that name. */
  functions: (name: string) => Address | undefined | "unknown";
  agents: () => Address | undefined;
  /** The state of each service by name, for /healthz. */
  health: () => Record<string, string>;
}

export interface Gateway {
  port: number;
  url: string;
  close(): Promise<void>;
}

/**
 * Starts the gateway on 127.0.0.1 (and ::1 where that works). Takes the port, 0 for any free one.
 * Throws StackError when the port is taken.
 */
export async function startGateway(port: number, parts: GatewayParts): Promise<Gateway> {
  const tokenFor = createRoleTokens(parts.keys.jwtSecret);
  const rest = createUpstream(parts.rest);
  const agents = createUpstream(parts.agents);
  const realtime = createUpstream(() => parts.realtime?.()?.address);
  const functions = new Map<string, Upstream>();
  const service = createServiceRpc(parts.rest, tokenFor);
  const watch = createSecurityWatch({ jwtSecret: parts.keys.jwtSecret, service });
  const signIn = createSignInGuard(watch);
  const { jwtSecret } = parts.keys;
  const limit = createRestLimit({
    count: (reads) => service.call<Record<string, Counted>>("count_reads", { reads }),
  });
  const authLimit = {
    count: (email: string) => service.call<AuthCounted>("count_auth_request", { email }),
    jwtSecret,
  };
  const origin = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const server = createServer({ keepAliveTimeout: 30_000, requestTimeout: 0, noDelay: true }, handle);
  server.on("upgrade", upgrade);
  server.on("clientError", refuseUnparsed);
  await listen(server, port, "127.0.0.1");
  const bound = (server.address() as AddressInfo).port;
  const second = await alsoOnIpv6(bound);

  return {
    port: bound,
    url: `http://127.0.0.1:${bound}`,
    async close() {
      for (const each of [server, second]) {
        each?.close();
        each?.closeAllConnections();
      }
      for (const { agent } of [rest, agents, realtime, ...functions.values()]) agent.destroy();
      watch.close();
      limit.close();
      service.close();
    },
  };

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const route = routeOf(request.headers.host, request.method ?? "GET", request.url ?? "/");
    serve(request, response, route).catch(() => refuse(request, response, route, "internal"));
  }

  async function serve(request: IncomingMessage, response: ServerResponse, route: Route): Promise<void> {
    if (route.kind !== "agent" && isPreflight(request)) {
      response.writeHead(204, preflightHeaders(headerOf(request, "access-control-request-headers"))).end();
      return;
    }
    switch (route.kind) {
      case "agent":
        if (!parts.agents()) {
          sendJson(response, 503, {
            error: {
              code: "AGENT_UNAVAILABLE",
              message: "The agents of this stack are starting; try again shortly",
            },
          });
          return;
        }
        return pass(request, response, route, agents, request.url ?? "/", "leave", 64 * MiB);
      case "rest": {
        const authorization = authorize(request, response, route, true);
        if (authorization === false) return;
        if (refuseRest(request, response, route.path, authorization, { limit, jwtSecret })) return;
        return pass(request, response, route, rest, route.path, "replace", 64 * MiB, authorization);
      }
      case "graphql":
        return await serveGraphql(request, response, route);
      case "auth":
      case "storage":
        return await servePlatform(request, response, route);
      case "function": {
        if (authorize(request, response, route, false) === false) return;
        const address = parts.functions(route.name);
        if (address === "unknown") return refuse(request, response, route, "no_function");
        return pass(request, response, route, functionUpstream(route.name), route.path, "fill", 32 * MiB);
      }
      case "realtime":
        if (authorize(request, response, route, true) === false) return;
        return pass(request, response, route, realtime, route.path, "replace", REALTIME_BYTES);
      // Mails hold sign-in links: for this machine's user, not for a site that gave its name this machine's address.
      case "mailbox":
        if (!isLocalName(request.headers.host)) return sendJson(response, 403, FOREIGN_NAME);
        return sendHtml(response, mailboxPage(parts.mailbox.list()));
      case "mailbox.json":
        if (!isLocalName(request.headers.host)) return sendJson(response, 403, FOREIGN_NAME);
        return sendOwnJson(
          response,
          parts.mailbox.list(new URL(request.url ?? "/", origin()).searchParams.get("to") ?? undefined),
        );
      case "docs":
        return await serveReference(response, route.path);
      case "health": {
        const services = parts.health();
        const ok = Object.values(services).every((state) => state === "running");
        return sendJson(response, ok ? 200 : 503, { status: ok ? "ok" : "degraded", services });
      }
      case "home":
        return home(request, response);
      case "none":
        return sendJson(response, 404, { code: "NOT_FOUND", message: "no Route matched with those values" });
    }
  }

  function pass(
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    upstream: Upstream,
    path: string,
    cors: "replace" | "fill" | "leave",
    maxBodyBytes: number,
    authorization?: string,
  ): void {
    proxy(request, response, {
      upstream,
      path,
      cors,
      maxBodyBytes,
      ...(authorization === undefined ? {} : { authorization }),
      onDown: () => refuse(request, response, route, "unavailable"),
      onTooLarge: () => refuse(request, response, route, "too_large"),
      ...(route.kind === "rest" ? { onAnswer: (answer) => watch.answered(request, route, answer) } : {}),
    });
  }

  async function serveGraphql(
    request: IncomingMessage,
    response: ServerResponse,
    route: Extract<Route, { kind: "graphql" }>,
  ): Promise<void> {
    const authorization = authorize(request, response, route, true);
    if (authorization === false) return;
    const handler = parts.graphql?.();
    if (!handler) return refuse(request, response, route, "unavailable");
    const target = { origin: origin(), path: route.path };
    await serveInProcess(request, response, watched(request, route, handler), {
      ...target,
      ...(authorization === undefined ? {} : { authorization }),
    });
  }

  /** Has the watch told of what a service in this process refuses. */
  function watched(request: IncomingMessage, route: Route, handler: FetchHandler): FetchHandler {
    return async (asked) => {
      const answer = await handler(asked);
      const refusal = refusalOf(answer);
      if (refusal) watch.refused(request, route, refusal);
      return answer;
    };
  }

  async function servePlatform(
    request: IncomingMessage,
    response: ServerResponse,
    route: Extract<Route, { kind: "auth" | "storage" }>,
  ): Promise<void> {
    const authorization = authorize(request, response, route, route.needsKey);
    if (authorization === false) return;
    const platform = parts.platform();
    if (!platform) return refuse(request, response, route, "unavailable");
    const handler =
      route.kind === "auth" ? withAuthLimit(platform, authLimit) : watched(request, route, platform);
    if (Number(request.headers["content-length"] ?? 0) > 512 * MiB)
      return refuse(request, response, route, "too_large");
    const target = {
      origin: origin(),
      path: route.path,
      ...(authorization === undefined ? {} : { authorization }),
    };
    if (request.method === "POST" && route.path.split("?")[0] === "/auth/v1/authorize") {
      return await authorizeByPost(request, response, handler, target);
    }
    if (isPasswordSignIn(request.method, route.path)) {
      const unavailable = () => refuse(request, response, route, "unavailable");
      return await signIn(request, response, handler, target, unavailable);
    }
    await serveInProcess(request, response, handler, target);
  }

  /** The Authorization for the upstream (undefined: the caller's own), or false when the request has been refused. */
  function authorize(
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    needsKey: boolean,
  ): string | undefined | false {
    watch.look(request, route);
    const check = checkApiKey(request.headers, request.url ?? "/", parts.keys, Date.now());
    if (check.status === "unknown") {
      refuse(request, response, route, "unknown_key", { hint: UNKNOWN_KEY.hint });
      return false;
    }
    if (check.status === "missing") {
      if (!needsKey) return undefined;
      refuse(request, response, route, "missing_key", { hint: MISSING_KEY.hint });
      return false;
    }
    if (route.kind === "function") return undefined;
    return upstreamAuthorization(request.headers.authorization, check.role, tokenFor);
  }

  function functionUpstream(name: string): Upstream {
    let upstream = functions.get(name);
    if (!upstream) {
      upstream = createUpstream(() => {
        const address = parts.functions(name);
        return address === "unknown" ? undefined : address;
      });
      functions.set(name, upstream);
    }
    return upstream;
  }

  function home(request: IncomingMessage, response: ServerResponse): void {
    const links = [
      { name: "API", href: "/api", about: "launch and watch agents" },
      { name: "API reference", href: "/docs", about: "every request and response, to read and to try" },
      { name: "OpenAPI document", href: "/api/openapi.json", about: "every request and response" },
      { name: "Mailbox", href: "/mailbox", about: "the e-mails that auth sends" },
      { name: "Health", href: "/healthz", about: "the state of every service" },
    ];
    if (request.headers.accept?.includes("text/html")) sendHtml(response, homePage(links));
    else
      sendJson(response, 200, {
        name: "Agent Launchpad",
        links: links.map(({ name, href }) => ({ name, href })),
      });
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const route = routeOf(request.headers.host, "GET", request.url ?? "/");
    const key = checkApiKey(request.headers, request.url ?? "/", parts.keys, Date.now());
    if (route.kind === "agent") {
      passUpgrade(request, socket, head, { address: parts.agents(), path: request.url ?? "/" });
    } else if (key.status === "unknown") {
      refuseUpgrade(socket, 401, "UNAUTHORIZED", UNKNOWN_KEY.message);
    } else if (route.kind === "function") {
      const address = parts.functions(route.name);
      if (address === "unknown") refuseUpgrade(socket, 404, "NOT_FOUND", "Requested function was not found");
      else passUpgrade(request, socket, head, { address, path: route.path });
    } else if (route.kind === "realtime") {
      upgradeRealtime(request, socket, head, route, key);
    } else {
      refuseUpgrade(socket, 404, "NOT_FOUND", "no WebSocket is served here");
    }
  }

  function upgradeRealtime(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    route: Extract<Route, { kind: "realtime" }>,
    key: KeyCheck,
  ): void {
    const realtime = parts.realtime?.();
    if (key.status !== "known") refuseUpgrade(socket, 401, "UNAUTHORIZED", MISSING_KEY.message);
    else if (route.path.split("?")[0] !== "/websocket")
      refuseUpgrade(socket, 404, "NOT_FOUND", "no WebSocket is served here");
    else if (!realtime)
      refuseUpgrade(socket, 503, "SERVICE_UNAVAILABLE", "Realtime is not reachable at the moment");
    else realtime.upgrade(request, socket, head, key.role);
  }

  /** Browsers and Node may take `localhost` for ::1; a machine without IPv6 does without. */
  async function alsoOnIpv6(port: number): Promise<Server | undefined> {
    const other = createServer({ keepAliveTimeout: 30_000, requestTimeout: 0, noDelay: true }, handle);
    other.on("upgrade", upgrade);
    other.on("clientError", refuseUnparsed);
    try {
      await listen(other, port, "::1");
      return other;
    } catch {
      return undefined;
    }
  }
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, resolve);
  try {
    await promise;
  } catch (error) {
    if (codeOf(error) === "EADDRINUSE") {
      throw new StackError(
        `Port ${port} is taken by another program; stop it, or choose another one with --port.`,
      );
    }
    if (codeOf(error) === "EACCES") {
      throw new StackError(`Port ${port} may not be used by this user; choose another one with --port.`);
    }
    throw error;
  }
}
