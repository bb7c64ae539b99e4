// Reads what a registration or an update of a client may say. Pure.

import { badRequest } from "../errors.ts";
import { textOf } from "../request.ts";
import type { Json } from "../users.ts";

const refused = (why: string) => badRequest("validation_failed", why);
export const AUTH_METHODS = ["none", "client_secret_basic", "client_secret_post"];
const GRANTS = ["authorization_code", "refresh_token"];
/** Schemes that run or read something in a browser instead of leading to an app. */
const UNSAFE = ["javascript", "data", "file", "vbscript", "about", "blob"];
const LOCAL = ["localhost", "127.0.0.1", "[::1]"];

function textsOf(body: Json, field: string): string[] | undefined {
  const value = body[field];
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value) || value.some((each) => typeof each !== "string"))
    throw badRequest("bad_json", "Invalid JSON body");
  return value as string[];
}

/** redirect_uris: one to ten absolute addresses; undefined where none are named. */
export function redirectUrisOf(body: Json): string[] | undefined {
  const uris = textsOf(body, "redirect_uris");
  if (uris === undefined) return undefined;
  if (uris.length === 0) throw refused("redirect_uris cannot be empty");
  if (uris.length > 10) throw refused("redirect_uris cannot exceed 10 items");
  for (const uri of uris) {
    const why = whyNot(uri);
    if (why) throw refused(`invalid redirect_uri '${uri}': ${why}`);
  }
  return uris;
}

function whyNot(uri: string): string | undefined {
  if (uri === "") return "redirect URI cannot be empty";
  // The table keeps them in one text, separated by commas.
  if (uri.includes(",")) return "a comma must be written as %2C";
  if (!URL.canParse(uri)) return "must have scheme and host";
  const url = new URL(uri);
  const scheme = url.protocol.slice(0, -1);
  if (UNSAFE.includes(scheme)) return `scheme '${scheme}' is not allowed for security reasons`;
  if (url.host === "") return "must have scheme and host";
  if (scheme === "http" && !LOCAL.includes(url.hostname)) return "HTTP scheme only allowed for localhost";
  if (url.hash !== "" || uri.endsWith("#")) return "fragment not allowed in redirect URI";
  return undefined;
}

/** grant_types; undefined where none are named. */
export function grantTypesOf(body: Json): string[] | undefined {
  const types = textsOf(body, "grant_types");
  if (types?.some((type) => !GRANTS.includes(type)))
    throw refused("grant_types must only contain 'authorization_code' and/or 'refresh_token'");
  return types;
}

/** client_name, client_uri and logo_uri, each undefined where it is not named. */
export function descriptionOf(body: Json): {
  name: string | undefined;
  uri: string | undefined;
  logo: string | undefined;
} {
  const name = textOf(body, "client_name");
  if (name && name.length > 1024) throw refused("client_name cannot exceed 1024 characters");
  return { name, uri: addressOf(body, "client_uri"), logo: addressOf(body, "logo_uri") };
}

function addressOf(body: Json, field: string): string | undefined {
  const text = textOf(body, field);
  if (!text) return text;
  if (text.length > 2048) throw refused(`${field} cannot exceed 2048 characters`);
  if (!text.startsWith("/") && !URL.canParse(text)) throw refused(`${field} must be a valid URL`);
  return text;
}

/** token_endpoint_auth_method; undefined where it is not named. */
export function authMethodOf(body: Json): string | undefined {
  const method = textOf(body, "token_endpoint_auth_method") || undefined;
  if (method !== undefined && !AUTH_METHODS.includes(method))
    throw refused(`token_endpoint_auth_method must be one of: [${AUTH_METHODS.join(" ")}]`);
  return method;
}

/** The type of a new client and how it shows who it is, of which each follows from the other. */
export function kindOf(body: Json): { type: "public" | "confidential"; method: string } {
  const type = textOf(body, "client_type") || undefined;
  const method = authMethodOf(body);
  if (type !== undefined && type !== "public" && type !== "confidential")
    throw refused("client_type must be 'public' or 'confidential'");
  const implied = method === undefined ? undefined : method === "none" ? "public" : "confidential";
  if (type && implied && type !== implied)
    throw refused(
      `client_type '${type}' is inconsistent with token_endpoint_auth_method '${method}' (expected client_type '${implied}')`,
    );
  const decided = type ?? implied ?? "confidential";
  return { type: decided, method: method ?? (decided === "public" ? "none" : "client_secret_basic") };
}
