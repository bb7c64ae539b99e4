// The routes of providers, identities, second factors and passkeys.

import { removeIdentity } from "../identities/routes.ts";
import * as factors from "../mfa/routes.ts";
import * as custom from "../oauth/custom-providers.ts";
import { authorize, callback, linkIdentity } from "../oauth/routes.ts";
import * as passkeys from "../passkeys/routes.ts";
import type { Route } from "../routes.ts";

export const WAYS_IN: readonly Route[] = [
  { method: "GET", path: "/authorize", handler: authorize },
  { method: "GET", path: "/callback", handler: callback },
  { method: "POST", path: "/callback", handler: callback },
  { method: "GET", path: "/user/identities/authorize", requires: "user", handler: linkIdentity },
  { method: "DELETE", path: "/user/identities/*", requires: "user", handler: removeIdentity },
  { method: "POST", path: "/factors", requires: "user", handler: factors.enroll },
  { method: "DELETE", path: "/factors/*", requires: "user", handler: factors.unenroll },
  { method: "POST", path: "/factors/*/challenge", requires: "user", handler: factors.challenge },
  { method: "POST", path: "/factors/*/verify", requires: "user", handler: factors.verify },
  { method: "GET", path: "/passkeys", requires: "user", handler: passkeys.list },
  {
    method: "POST",
    path: "/passkeys/registration/options",
    requires: "user",
    handler: passkeys.registrationOptions,
  },
  {
    method: "POST",
    path: "/passkeys/registration/verify",
    requires: "user",
    handler: passkeys.registrationVerify,
  },
  { method: "POST", path: "/passkeys/authentication/options", handler: passkeys.authenticationOptions },
  { method: "POST", path: "/passkeys/authentication/verify", handler: passkeys.authenticationVerify },
  { method: "PATCH", path: "/passkeys/*", requires: "user", handler: passkeys.rename },
  { method: "DELETE", path: "/passkeys/*", requires: "user", handler: passkeys.remove },
  { method: "GET", path: "/admin/users/*/factors", requires: "admin", handler: factors.adminFactors },
  { method: "PUT", path: "/admin/users/*/factors/*", requires: "admin", handler: factors.adminUpdateFactor },
  {
    method: "DELETE",
    path: "/admin/users/*/factors/*",
    requires: "admin",
    handler: factors.adminRemoveFactor,
  },
  { method: "GET", path: "/admin/users/*/passkeys", requires: "admin", handler: passkeys.adminList },
  { method: "DELETE", path: "/admin/users/*/passkeys/*", requires: "admin", handler: passkeys.adminRemove },
  { method: "GET", path: "/admin/custom-providers", requires: "admin", handler: custom.adminListProviders },
  { method: "POST", path: "/admin/custom-providers", requires: "admin", handler: custom.adminCreateProvider },
  { method: "GET", path: "/admin/custom-providers/*", requires: "admin", handler: custom.adminGetProvider },
  {
    method: "PUT",
    path: "/admin/custom-providers/*",
    requires: "admin",
    handler: custom.adminUpdateProvider,
  },
  {
    method: "DELETE",
    path: "/admin/custom-providers/*",
    requires: "admin",
    handler: custom.adminDeleteProvider,
  },
];
