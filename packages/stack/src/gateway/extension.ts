// What Agent Launchpad adds to the gateway of a Supabase project.

import { isPasswordSignIn } from "@agent-launchpad/local-supabase/gateway/auth-request.ts";
import { BODY_LIMITS } from "@agent-launchpad/local-supabase/gateway/bodies/limits.ts";
import type { AuthGuard, GatewayExtension } from "@agent-launchpad/local-supabase/gateway/extension.ts";
import { reply } from "@agent-launchpad/local-supabase/gateway/in-process.ts";
import {
  type Address,
  createUpstream,
  type Upstream,
} from "@agent-launchpad/local-supabase/gateway/proxy.ts";
import type { Route } from "@agent-launchpad/local-supabase/gateway/routes.ts";
import { type StackKeys, verifyingKeys } from "@agent-launchpad/local-supabase/keys.ts";
import { createRoleTokens } from "@agent-launchpad/local-supabase/tokens.ts";
import { platformFunction, unreadableForm } from "./api-errors.ts";
import { HOME } from "./home.ts";
import { type AuthCounted, createAuthLimit } from "./limits/auth-limit.ts";
import { refuseRead } from "./limits/read-budget.ts";
import { type Counted, createRestLimit } from "./limits/rest-limit.ts";
import { serveReference } from "./reference.ts";
import { type StackRoute, stackRouteOf } from "./routes.ts";
import { runtimeCaller } from "./runtime-caller.ts";
import { createSecurityWatch } from "./security.ts";
import { agentRoute } from "./serve-agents.ts";
import { createServiceRpc } from "./service-rpc.ts";
import { createSignInGuard } from "./sign-in.ts";

export interface StackGatewayParts {
  keys: StackKeys;
  /** The PostgREST that the platform's own calls go to; undefined while it is down. */
  rest: () => Address | undefined;
  /** The agents' ingress; undefined while it is down. */
  agents: () => Address | undefined;
}

/** Makes the extension of one gateway, which closes it. */
export function createGatewayExtension({ keys, rest, agents }: StackGatewayParts): GatewayExtension {
  const jwtKeys = verifyingKeys(keys);
  const ingress = createUpstream(agents);
  const service = createServiceRpc(rest, createRoleTokens(keys.jwtSecret));
  const watch = createSecurityWatch({ jwtKeys, service });
  const limit = createRestLimit({
    count: (reads) => service.call<Record<string, Counted>>("count_reads", { reads }),
  });
  const count = (email: string) => service.call<AuthCounted>("count_auth_request", { email });
  return {
    routeOf(host, target) {
      const route = stackRouteOf(host, target);
      return route && routeFor(route, ingress);
    },
    platformFunction,
    unreadableForm,
    guardAuth: createAuthGuard(createAuthLimit({ count, jwtKeys }), createSignInGuard(watch)),
    refuseRest: (request, response, authorization) =>
      refuseRead(request, response, authorization, { limit, jwtKeys }),
    anonymousCaller: (request) => runtimeCaller(request, keys),
    watch,
    home: HOME,
    close() {
      ingress.agent.destroy();
      watch.close();
      limit.close();
      service.close();
    },
  };
}

function routeFor(route: StackRoute, ingress: Upstream): Route {
  const { kind, path } = route;
  switch (kind) {
    case "agent":
      return agentRoute(route, ingress);
    case "api":
      return { kind: "function", name: "api", path };
    case "docs":
      return {
        kind: "extension",
        path,
        limit: BODY_LIMITS.other,
        serve: (_request, response) => serveReference(response, path),
      };
  }
}

/** Counts requests to Auth by address, and puts the lockout before those that check a password. */
export function createAuthGuard(
  limit: ReturnType<typeof createAuthLimit>,
  signIn: ReturnType<typeof createSignInGuard>,
): AuthGuard {
  return async (request, response, { call, serve, unavailable }) => {
    const check = () => limit(call, serve);
    const { email } = call.asked;
    if (email === undefined || !isPasswordSignIn(call.method, call.asked))
      return await reply(response, await check());
    await signIn(request, response, { email, check, unavailable });
  };
}
