// The routes of Auth as an OAuth 2.1 server, which [auth.oauth_server] enabled switches on.

import { requireUser } from "../caller.ts";
import { notFound } from "../errors.ts";
import { openidConfiguration } from "../routes/public.ts";
import type { Handler, Route } from "../routes.ts";
import * as authorizations from "./authorizations.ts";
import * as clients from "./client-routes.ts";
import * as grants from "./grants.ts";
import { token } from "./token.ts";

const WHERE_ON: readonly Route[] = [
  { method: "GET", path: "/.well-known/oauth-authorization-server", handler: openidConfiguration },
  { method: "POST", path: "/oauth/clients/register", handler: clients.register },
  { method: "POST", path: "/oauth/token", handler: token },
  { method: "GET", path: "/oauth/userinfo", requires: "user", handler: grants.userInfo },
  { method: "GET", path: "/oauth/authorize", handler: authorizations.authorize },
  { method: "GET", path: "/oauth/authorizations/*", requires: "user", handler: authorizations.details },
  {
    method: "POST",
    path: "/oauth/authorizations/*/consent",
    requires: "user",
    handler: authorizations.consent,
  },
  { method: "GET", path: "/user/oauth/grants", requires: "user", handler: grants.list },
  { method: "DELETE", path: "/user/oauth/grants", requires: "user", handler: grants.revoke },
  { method: "GET", path: "/admin/oauth/clients", requires: "admin", handler: clients.list },
  { method: "POST", path: "/admin/oauth/clients", requires: "admin", handler: clients.create },
  { method: "GET", path: "/admin/oauth/clients/*", requires: "admin", handler: clients.get },
  { method: "PUT", path: "/admin/oauth/clients/*", requires: "admin", handler: clients.update },
  { method: "DELETE", path: "/admin/oauth/clients/*", requires: "admin", handler: clients.remove },
  {
    method: "POST",
    path: "/admin/oauth/clients/*/regenerate_secret",
    requires: "admin",
    handler: clients.regenerateSecret,
  },
];

/** Refuses where the server is off; below /oauth that comes before the question of who asks, as on hosted. */
function whereOn(route: Route): Route {
  const handler: Handler = async (context, request, parts) => {
    if (!context.settings.oauth_server.enabled)
      throw notFound("feature_disabled", "OAuth server is disabled");
    if (route.path.startsWith("/oauth/") && route.requires === "user") await requireUser(context, request);
    return await route.handler(context, request, parts);
  };
  if (!route.path.startsWith("/oauth/")) return { ...route, handler };
  return { method: route.method, path: route.path, handler };
}

export const OAUTH_SERVER: readonly Route[] = WHERE_ON.map(whereOn);
