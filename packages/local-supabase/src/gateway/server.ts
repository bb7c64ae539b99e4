// The gateway: one HTTP server in front of every service.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { codeOf, StackError } from "../errors.ts";
import { type StackKeys, verifyingKeys } from "../keys.ts";
import type { Mailbox } from "../mailbox/mailbox.ts";
import { BESIDE, HOST } from "../ports.ts";
import { verifyToken } from "../realtime/claims.ts";
import type { RealtimeProcess } from "../services/realtime.ts";
import type { StorageService } from "../storage/service.ts";
import { createRoleTokens, plainToken } from "../tokens.ts";
import { ARRIVAL, createArrivals, hasBody, lengthOf } from "./bodies/arrival.ts";
import { BODY_LIMITS, limitOf } from "./bodies/limits.ts";
import { withJson } from "./bodies/serve.ts";
import { isPreflight, preflightHeaders } from "./cors.ts";
import {
  checkApiKey,
  type KeyCheck,
  MISSING_KEY,
  UNKNOWN_KEY,
  upstreamAuthorization,
} from "./credentials.ts";
import type { GatewayExtension } from "./extension.ts";
import { BodyTooLarge, type FetchHandler, serveInProcess } from "./in-process.ts";
import { refuseEveryRow } from "./limits/every-row.ts";
import { shapeFault } from "./limits/query-shape.ts";
import { callerOf, createShares } from "./limits/under-way.ts";
import { homePage, PAGE_POLICY, PROJECT_HOME } from "./pages.ts";
import { type Address, createUpstream, proxy, type Upstream } from "./proxy.ts";
import { refusalOf } from "./refusals.ts";
import { headerOf, refuse, refuseUnparsed, sendHtml, sendJson } from "./replies.ts";
import { type Route, routeOf } from "./routes.ts";
import { createAuthDoor } from "./serve-auth.ts";
import { serveMailbox } from "./serve-mailbox.ts";
import { createStorageDoor, isS3Signature } from "./serve-storage.ts";
import type { Fault } from "./target.ts";
import { passUpgrade, refuseUpgrade } from "./upgrade.ts";
import { bearerOf, faultOf } from "./well-formed.ts";

const NOT_BEARER: Fault = {
  status: 401,
  code: "bad_jwt",
  field: "authorization",
  message: "Authorization must be a bearer token",
  cure: "Send Authorization: Bearer <token>.",
};
/**
 * Of one caller at the database: PostgREST has ten connections for all users. A burst waits; what waits longer would only
 * find its client gone.
 */
const SHARE = { most: 4, mostWaiting: 200, patienceMs: 10_000 };

/** What the gateway needs to know of the rest; every address may be undefined while that part is down. */
export interface GatewayParts {
  keys: StackKeys;
  mailbox: Mailbox;
  rest: () => Address | undefined;
  /** A second PostgREST for the secret key's calls, so that users' reads hold up none of the platform's own. Absent: `rest`. */
  serviceRest?: () => Address | undefined;
  graphql?: () => FetchHandler | undefined;
  /** Auth. */
  platform: () => FetchHandler | undefined;
  storage?: () => StorageService | undefined;
  realtime?: () => Pick<RealtimeProcess, "address" | "upgrade"> | undefined;
  /** `"unknown"` when no function has that name. */
  functions: (name: string) => Address | undefined | "unknown" | "boot error";
  /** Whether a request needs a valid token before this function sees it. */
  verifiesTokens?: (name: string) => boolean;
  /** The state of each service by name, for /healthz. */
  health: () => Record<string, string>;
  /** What a program adds that builds on a project. */
  extension?: GatewayExtension;
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
  const serviceRest = createUpstream(parts.serviceRest ?? parts.rest);
  const realtime = createUpstream(() => parts.realtime?.()?.address);
  const functions = new Map<string, Upstream>();
  const extension = parts.extension ?? {};
  const { watch } = extension;
  const jwtKeys = verifyingKeys(parts.keys);
  const { publishableKey, secretKey, jwtSecret } = parts.keys;
  const apiKeys = { publishableKey, secretKey, jwtKeys };
  const plain = (token: string) => plainToken(token, jwtKeys, jwtSecret);
  const shares = createShares(SHARE);
  const arrivals = createArrivals();
  const auth = createAuthDoor({ arrivals, guard: extension.guardAuth });
  const storage = createStorageDoor({
    roleOf: (key) => {
      const check = checkApiKey({ apikey: key }, "", apiKeys, Date.now());
      return check.status === "known" ? check.role : undefined;
    },
    tokenFor,
    plain,
  });
  const origin = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const server = newServer();
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
      for (const { agent } of [rest, serviceRest, realtime, ...functions.values()]) agent.destroy();
      arrivals.close();
      extension.close?.();
    },
  };

  function newServer(): Server {
    const made = createServer(
      {
        keepAliveTimeout: 30_000,
        headersTimeout: ARRIVAL.headersMs,
        requestTimeout: ARRIVAL.requestMs,
        connectionsCheckingInterval: 5000,
        noDelay: true,
        // Clients that offer HTTP/2 (`h2c`) send a request of its own right, which is answered as HTTP/1.1 (RFC 9110, 7.8).
        shouldUpgradeCallback: ({ method, headers }) =>
          method === "GET" && /\bwebsocket\b/i.test(headers.upgrade ?? ""),
      },
      handle,
    );
    made.on("upgrade", upgrade);
    made.on("connect", (_request, socket: Duplex) =>
      refuseUpgrade(socket, 405, "METHOD_NOT_ALLOWED", "The method CONNECT is not supported"),
    );
    made.on("clientError", refuseUnparsed);
    return made;
  }

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const route = routeOf(request.headers.host, request.method ?? "GET", request.url ?? "/", extension);
    serve(request, response, route).catch((error: unknown) =>
      refuse(request, response, route, error instanceof BodyTooLarge ? "too_large" : "internal"),
    );
  }

  async function serve(request: IncomingMessage, response: ServerResponse, route: Route): Promise<void> {
    const fault = faultOf(request) ?? (route.kind === "unreadable" ? route.fault : undefined);
    if (fault) return refuse(request, response, route, fault);
    if (isPreflight(request) && !(route.kind === "extension" && route.ownPreflights)) {
      response.writeHead(204, preflightHeaders(headerOf(request, "access-control-request-headers"))).end();
      return;
    }
    if (lengthOf(request.headers) > limitOf(route)) return refuse(request, response, route, "too_large");
    const stalled = () => {
      refuse(request, response, route, "stalled");
      request.destroy();
    };
    if (!arrivals.watch(request, stalled)) return refuse(request, response, route, "busy");
    switch (route.kind) {
      case "extension":
        return await route.serve(request, response, (refusal) => refuse(request, response, route, refusal));
      case "rest": {
        const authorization = authorize(request, response, route, true);
        if (authorization === false) return;
        const costly = shapeFault(route.path);
        if (costly) return refuse(request, response, route, costly);
        if (refuseEveryRow(request, response, route.path)) return;
        if (extension.refuseRest?.(request, response, authorization)) return;
        const place = await enter(request, response, route, authorization);
        if (!place) return;
        // PostgREST holds a whole body in memory.
        const release = arrivals.rest(hasBody(request) ? lengthOf(request.headers) || BODY_LIMITS.rest : 0);
        if (!release) {
          place.leave?.();
          return refuse(request, response, route, "busy");
        }
        response.once("close", release);
        const upstream = place.shared ? rest : serviceRest;
        return pass(request, response, route, upstream, route.path, "replace", authorization, place.leave);
      }
      case "graphql":
        return await serveGraphql(request, response, route);
      case "auth":
        return await servePlatform(request, response, route);
      case "storage":
        return await serveStorage(request, response, route);
      case "function": {
        const authorization = authorize(request, response, route, false);
        if (authorization === false) return;
        const address = parts.functions(route.name);
        if (address === "unknown") return refuse(request, response, route, "no_function");
        const bad = tokenFault(request, route.name);
        if (bad) return refuse(request, response, route, bad);
        if (address === "boot error") return refuse(request, response, route, "boot_error");
        const place = await enter(request, response, route, authorization ?? request.headers.authorization);
        if (!place) return;
        const upstream = functionUpstream(route.name);
        return pass(request, response, route, upstream, route.path, "fill", authorization, place.leave);
      }
      case "realtime":
        if (authorize(request, response, route, true) === false) return;
        return pass(request, response, route, realtime, route.path, "replace");
      // Mails hold sign-in links: for who started the stack, not for a site that gave its name this machine's address.
      case "mailbox":
      case "mailbox.json":
        return serveMailbox(request, response, { route, mailbox: parts.mailbox, keys: parts.keys });
      case "health": {
        const services = parts.health();
        const ok = Object.values(services).every((state) => state === "running");
        return sendJson(response, ok ? 200 : 503, { status: ok ? "ok" : "degraded", services });
      }
      case "home":
        return home(request, response);
      case "unreadable": // refused above
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
    cors: "replace" | "fill",
    authorization?: string,
    onDone?: () => void,
  ): void {
    proxy(request, response, {
      upstream,
      path,
      cors,
      maxBodyBytes: limitOf(route),
      ...(authorization === undefined ? {} : { authorization }),
      ...(onDone ? { onDone } : {}),
      onDown: () => refuse(request, response, route, "unavailable"),
      onTooLarge: () => refuse(request, response, route, "too_large"),
      ...(route.kind === "rest" && watch
        ? { onAnswer: (answer) => watch.answered(request, route, answer) }
        : {}),
    });
  }

  /**
   * Waits for the caller's share of the database; undefined when the request has been answered. A function of the platform
   * asks the database for each request, so it takes the same places; another one may itself call the gateway, and has its own.
   */
  async function enter(
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    authorization: string | undefined,
  ): Promise<{ shared: boolean; leave?: () => void } | undefined> {
    const caller = callerOf(request, authorization, parts.keys, extension.anonymousCaller);
    if (caller === undefined) return { shared: false };
    const apart = route.kind === "function" && !route.platform ? ` ${route.name}` : "";
    const leave = await shares.enter(caller + apart, response);
    if (leave) return { shared: true, leave };
    refuse(request, response, route, "crowded");
    return undefined;
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
    const handed = { origin: origin(), path: route.path, authorization };
    const answer = async (body?: string | null) => {
      const place = await enter(request, response, route, authorization);
      if (!place) return;
      try {
        await serveInProcess(request, response, watched(request, route, handler), {
          ...handed,
          ...(body === undefined ? {} : { body }),
        });
      } finally {
        place.leave?.();
      }
    };
    if (request.method !== "POST") return await answer();
    await withJson(request, response, { route, limit: BODY_LIMITS.graphql, arrivals }, answer);
  }

  /** Has the watch told of what a service in this process refuses. */
  function watched(request: IncomingMessage, route: Route, handler: FetchHandler): FetchHandler {
    return async (asked) => {
      const answer = await handler(asked);
      const refusal = refusalOf(answer);
      if (refusal) watch?.refused(request, route, refusal);
      return answer;
    };
  }

  async function servePlatform(
    request: IncomingMessage,
    response: ServerResponse,
    route: Extract<Route, { needsKey: boolean }>,
  ): Promise<void> {
    const authorization = authorize(request, response, route, route.needsKey);
    if (authorization === false) return;
    const platform = parts.platform();
    if (!platform) return refuse(request, response, route, "unavailable");
    const handed = { origin: origin(), path: route.path, authorization };
    await auth(request, response, { route, handler: platform, handed });
  }

  async function serveStorage(
    request: IncomingMessage,
    response: ServerResponse,
    route: Extract<Route, { kind: "storage" }>,
  ): Promise<void> {
    watch?.look(request, route);
    const check = checkApiKey(request.headers, request.url ?? "/", apiKeys, Date.now());
    if (check.status === "unknown")
      return refuse(request, response, route, "unknown_key", { hint: UNKNOWN_KEY.hint });
    const { authorization } = request.headers;
    const token = isS3Signature(authorization) ? undefined : bearerOf(authorization);
    if (token === "unreadable") return refuse(request, response, route, NOT_BEARER);
    const service = parts.storage?.();
    if (!service) return refuse(request, response, route, "unavailable");
    await storage(request, response, service, {
      path: route.path,
      token,
      keyRole: check.status === "known" ? check.role : undefined,
      onRefusal: (refusal) => watch?.refused(request, route, refusal),
    });
  }

  /** The Authorization for the upstream (undefined: there is none), or false when the request has been refused. */
  function authorize(
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    needsKey: boolean,
  ): string | undefined | false {
    watch?.look(request, route);
    const check = checkApiKey(request.headers, request.url ?? "/", apiKeys, Date.now());
    if (check.status === "unknown" && (route.kind !== "function" || route.platform)) {
      refuse(request, response, route, "unknown_key", { hint: UNKNOWN_KEY.hint });
      return false;
    }
    if (check.status === "missing" && needsKey) {
      refuse(request, response, route, "missing_key", { hint: MISSING_KEY.hint });
      return false;
    }
    const token = bearerOf(request.headers.authorization);
    // Other functions may have schemes of their own; they read the header themselves.
    if (route.kind === "function" && (!route.platform || token === undefined)) return undefined;
    if (token === "unreadable") {
      refuse(request, response, route, NOT_BEARER);
      return false;
    }
    if (check.status !== "known" || route.kind === "function")
      return token === undefined ? undefined : `Bearer ${plain(token)}`;
    // Auth itself gets a token as its caller sent it.
    const shown = token === undefined || route.kind === "auth" ? token : plain(token);
    return upstreamAuthorization(shown, check.role, tokenFor);
  }

  /** What is wrong with the token that a function's `verify_jwt` asks for. */
  function tokenFault(request: IncomingMessage, name: string): "no_token" | "bad_token" | undefined {
    if (request.method === "OPTIONS" || !parts.verifiesTokens?.(name)) return undefined;
    if (!request.headers.authorization) return "no_token";
    const token = bearerOf(request.headers.authorization);
    if (token === undefined || token === "unreadable") return "bad_token";
    return "problem" in verifyToken(plain(token), apiKeys.jwtKeys, Date.now()) ? "bad_token" : undefined;
  }

  function functionUpstream(name: string): Upstream {
    let upstream = functions.get(name);
    if (!upstream) {
      upstream = createUpstream(() => {
        const address = parts.functions(name);
        return typeof address === "string" ? undefined : address;
      });
      functions.set(name, upstream);
    }
    return upstream;
  }

  function home(request: IncomingMessage, response: ServerResponse): void {
    const shown = extension.home ?? PROJECT_HOME;
    if (request.headers.accept?.includes("text/html")) sendHtml(response, homePage(shown), PAGE_POLICY);
    else
      sendJson(response, 200, {
        name: shown.name,
        links: shown.links.map(({ name, href }) => ({ name, href })),
      });
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const route = routeOf(request.headers.host, "GET", request.url ?? "/", extension);
    const fault = faultOf(request) ?? (route.kind === "unreadable" ? route.fault : undefined);
    const key = checkApiKey(request.headers, request.url ?? "/", apiKeys, Date.now());
    if (fault) {
      refuseUpgrade(socket, fault.status ?? 400, "VALIDATION_ERROR", fault.message);
    } else if (route.kind === "extension" && route.upgrade) {
      route.upgrade(request, socket, head);
    } else if (key.status === "unknown" && route.kind !== "function") {
      refuseUpgrade(socket, 401, "UNAUTHORIZED", UNKNOWN_KEY.message);
    } else if (route.kind === "function") {
      const address = parts.functions(route.name);
      const bad = tokenFault(request, route.name);
      if (address === "unknown") refuseUpgrade(socket, 404, "NOT_FOUND", "Requested function was not found");
      else if (bad) refuseUpgrade(socket, 401, "UNAUTHORIZED", "Invalid JWT");
      else if (address === "boot error")
        refuseUpgrade(socket, 503, "BOOT_ERROR", "Function failed to start (please check logs)");
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
    const other = newServer();
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
        `Port ${port} on ${HOST} is already in use; choose another with --port (0 = any). ${BESIDE}`,
      );
    }
    if (codeOf(error) === "EACCES") {
      throw new StackError(
        `Port ${port} cannot be opened by this user; choose another with --port (0 = any).`,
      );
    }
    throw error;
  }
}
