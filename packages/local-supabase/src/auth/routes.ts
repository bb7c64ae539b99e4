// Auth's operations by method and path.

import type { AuthContext } from "./context.ts";
import { idTokenGrant } from "./oauth/routes.ts";
import { OAUTH_SERVER } from "./oauth-server/routes.ts";
import type { Answer, AuthRequest } from "./request.ts";
import * as links from "./routes/admin-links.ts";
import * as adminUsers from "./routes/admin-users.ts";
import { magicLink, otp, reauthenticate, recover, resend } from "./routes/mails.ts";
import { NOT_SET_UP, web3Grant } from "./routes/not-set-up.ts";
import { health, jwks, openidConfiguration, settings } from "./routes/public.ts";
import { signUp } from "./routes/signup.ts";
import { type Grant, token } from "./routes/token.ts";
import { getUser, logOut, putUser } from "./routes/user.ts";
import { verifyByGet, verifyByPost } from "./routes/verify.ts";
import { WAYS_IN } from "./routes/ways-in.ts";

export type Handler = (context: AuthContext, request: AuthRequest, parts: string[]) => Promise<Answer>;

export interface Route {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below /auth/v1; `*` stands for one part of the path, which the handler is given. */
  path: string;
  /** Whose token it needs: a user's, or one with the role service_role. */
  requires?: "user" | "admin";
  handler: Handler;
}

/** Ways to a session of other modules, by grant_type. */
const GRANTS: Record<string, Grant> = { id_token: idTokenGrant, web3: web3Grant };

export const ROUTES: readonly Route[] = [
  { method: "GET", path: "/health", handler: health },
  { method: "GET", path: "/settings", handler: settings },
  { method: "GET", path: "/.well-known/jwks.json", handler: jwks },
  { method: "GET", path: "/.well-known/openid-configuration", handler: openidConfiguration },
  { method: "POST", path: "/signup", handler: signUp },
  { method: "POST", path: "/token", handler: token(GRANTS) },
  { method: "POST", path: "/otp", handler: otp },
  { method: "POST", path: "/magiclink", handler: magicLink },
  { method: "POST", path: "/recover", handler: recover },
  { method: "POST", path: "/resend", handler: resend },
  { method: "GET", path: "/verify", handler: verifyByGet },
  { method: "POST", path: "/verify", handler: verifyByPost },
  { method: "GET", path: "/reauthenticate", requires: "user", handler: reauthenticate },
  { method: "GET", path: "/user", requires: "user", handler: getUser },
  { method: "PUT", path: "/user", requires: "user", handler: putUser },
  { method: "POST", path: "/logout", requires: "user", handler: logOut },
  { method: "POST", path: "/invite", requires: "admin", handler: links.invite },
  { method: "POST", path: "/admin/generate_link", requires: "admin", handler: links.generateLink },
  { method: "GET", path: "/admin/audit", requires: "admin", handler: adminUsers.audit },
  { method: "GET", path: "/admin/users", requires: "admin", handler: adminUsers.list },
  { method: "POST", path: "/admin/users", requires: "admin", handler: adminUsers.create },
  { method: "GET", path: "/admin/users/*", requires: "admin", handler: adminUsers.get },
  { method: "PUT", path: "/admin/users/*", requires: "admin", handler: adminUsers.update },
  { method: "DELETE", path: "/admin/users/*", requires: "admin", handler: adminUsers.remove },
  ...WAYS_IN,
  ...OAUTH_SERVER,
  ...NOT_SET_UP,
];

/** The route of a request, and the parts of its path that `*` stands for; the methods that a path has otherwise. */
export function routeOf(
  method: string,
  path: string,
): { route: Route; parts: string[] } | { allowed: string[] } {
  const matching = ROUTES.flatMap((route) => {
    const parts = partsOf(route.path, path);
    return parts === undefined ? [] : [{ route, parts }];
  });
  return (
    matching.find(({ route }) => route.method === method) ?? {
      allowed: matching.map(({ route }) => route.method),
    }
  );
}

function partsOf(pattern: string, path: string): string[] | undefined {
  const [wanted, given] = [pattern.split("/"), path.split("/")];
  if (wanted.length !== given.length) return undefined;
  const parts: string[] = [];
  for (const [index, part] of wanted.entries()) {
    const here = given[index] ?? "";
    if (part === "*") parts.push(decodeURIComponent(here));
    else if (part !== here) return undefined;
  }
  return parts;
}
