// What Auth answers for the parts that are off here: SAML and web3.

import type { AuthContext } from "../context.ts";
import { badRequest, notFound, unprocessable } from "../errors.ts";
import { type Answer, type AuthRequest, textOf } from "../request.ts";
import type { Handler, Route } from "../routes.ts";

const refuse =
  (code: string, message: string): Handler =>
  async () => {
    throw notFound(code, message);
  };

const saml = refuse("saml_provider_disabled", "SAML 2.0 is disabled");
const unknownProvider = refuse("sso_provider_not_found", "SSO Identity Provider not found");

/** GET /admin/sso/providers: none can be added here. */
async function listProviders(): Promise<Answer> {
  return { body: { items: [] } };
}

/** POST /admin/sso/providers */
async function createProvider(_context: AuthContext, request: AuthRequest): Promise<Answer> {
  if (textOf(request.body(), "type") !== "saml")
    throw badRequest("validation_failed", "Only 'saml' supported for SSO provider type");
  throw notFound("saml_provider_disabled", "SAML 2.0 is disabled");
}

/** POST /token?grant_type=web3 */
export async function web3Grant(): Promise<Answer> {
  throw unprocessable("web3_provider_disabled", "Web3 provider is disabled");
}

const off = (handler: Handler, routes: readonly [Route["method"], string][], admin = false): Route[] =>
  routes.map(([method, path]) => ({
    method,
    path,
    ...(admin ? { requires: "admin" as const } : {}),
    handler,
  }));

export const NOT_SET_UP: readonly Route[] = [
  ...off(saml, [
    ["POST", "/sso"],
    ["GET", "/sso/saml/metadata"],
    ["POST", "/sso/saml/acs"],
  ]),
  { method: "GET", path: "/admin/sso/providers", requires: "admin", handler: listProviders },
  { method: "POST", path: "/admin/sso/providers", requires: "admin", handler: createProvider },
  ...off(
    unknownProvider,
    [
      ["GET", "/admin/sso/providers/*"],
      ["PUT", "/admin/sso/providers/*"],
      ["DELETE", "/admin/sso/providers/*"],
    ],
    true,
  ),
];
