// Providers that the admin API adds: auth.custom_oauth_providers and /admin/custom-providers.

import type { AuthContext } from "../context.ts";
import { AuthError, badRequest, notFound } from "../errors.ts";
import type { Queryable } from "../queryable.ts";
import { type Answer, type AuthRequest, flagOf, objectOf, textOf } from "../request.ts";
import type { Json } from "../users.ts";
import { discoveryOf } from "./provider.ts";
import type { CustomProvider } from "./providers.ts";

/** A row with what decides whether it may be used. */
export type CustomProviderRow = CustomProvider & {
  id: string;
  enabled: boolean;
  skip_nonce_check: boolean;
  email_optional: boolean;
  cached_discovery: Json | null;
  discovery_cached_at: Date | null;
};

/** The provider of this identifier (`custom:…`), or undefined. */
export async function findCustomProvider(
  on: Queryable,
  identifier: string,
): Promise<CustomProviderRow | undefined> {
  const { rows } = await on.query<CustomProviderRow>(
    "select * from auth.custom_oauth_providers where identifier = $1",
    [identifier],
  );
  return rows[0];
}

/** A provider as the API shows it: never its secret. */
function customProviderJson(row: CustomProviderRow): Json {
  const { client_secret: _secret, discovery_cached_at: _at, cached_discovery, ...shown } = row;
  const fields = { ...shown, discovery_document: cached_discovery };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

const invalid = (message: string) => badRequest("validation_failed", message);

async function existing(on: Queryable, identifier: string): Promise<CustomProviderRow> {
  if (!identifier.startsWith("custom:"))
    throw invalid(`identifier must start with 'custom:' prefix, e.g. 'custom:${identifier}'`);
  const row = await findCustomProvider(on, identifier);
  if (!row) throw notFound("custom_provider_not_found", "Custom OAuth provider not found");
  return row;
}

/** GET /admin/custom-providers */
export async function adminListProviders({ database }: AuthContext, { query }: AuthRequest): Promise<Answer> {
  const type = query.get("type") ?? "";
  if (type !== "" && type !== "oauth2" && type !== "oidc")
    throw invalid("type must be either 'oauth2' or 'oidc'");
  const { rows } = await database.query<CustomProviderRow>(
    "select * from auth.custom_oauth_providers where $1 in ('', provider_type) order by created_at, identifier",
    [type],
  );
  return { body: { providers: rows.map(customProviderJson) } };
}

/** GET /admin/custom-providers/:identifier */
export async function adminGetProvider(
  { database }: AuthContext,
  _request: AuthRequest,
  [identifier = ""]: string[],
): Promise<Answer> {
  return { body: customProviderJson(await existing(database, identifier)) };
}

/** DELETE /admin/custom-providers/:identifier */
export async function adminDeleteProvider(
  { database }: AuthContext,
  _request: AuthRequest,
  [identifier = ""]: string[],
): Promise<Answer> {
  const { id } = await existing(database, identifier);
  await database.query("delete from auth.custom_oauth_providers where id = $1", [id]);
  return { status: 204 };
}

const TEXTS = ["name", "client_id", "client_secret"] as const;
const FLAGS = ["pkce_enabled", "enabled", "email_optional"] as const;
const LISTS = ["acceptable_client_ids", "scopes", "custom_claims_allowlist"] as const;
const OBJECTS = ["attribute_mapping", "authorization_params"] as const;
const OIDC = ["issuer", "discovery_url"] as const;
const OAUTH2 = ["authorization_url", "token_url", "userinfo_url", "jwks_uri"] as const;

/** POST /admin/custom-providers */
export async function adminCreateProvider({ database }: AuthContext, request: AuthRequest): Promise<Answer> {
  const body = request.body();
  const type = textOf(body, "provider_type");
  if (type !== "oauth2" && type !== "oidc") throw invalid("provider_type must be either 'oauth2' or 'oidc'");
  const identifier = textOf(body, "identifier") ?? "";
  if (identifier === "") throw invalid("identifier is required");
  if (!identifier.startsWith("custom:"))
    throw invalid(`identifier must start with 'custom:' prefix, e.g. 'custom:${identifier}'`);
  for (const name of TEXTS) if (!textOf(body, name)) throw invalid(`${name} is required`);
  if (type === "oidc" && !textOf(body, "issuer")) throw invalid("issuer is required for OIDC providers");
  if (type === "oauth2")
    for (const name of ["authorization_url", "token_url", "userinfo_url"])
      if (!textOf(body, name)) throw invalid(`${name} is required for OAuth2 providers`);
  const values: Json = { provider_type: type, identifier, ...valuesOf(body, type) };
  if (await findCustomProvider(database, identifier))
    throw badRequest("conflict", "A custom OAuth provider with this identifier already exists");
  if (type === "oidc") Object.assign(values, await discoveryFor(body, undefined));
  const names = Object.keys(values);
  const { rows } = await database.query<CustomProviderRow>(
    `insert into auth.custom_oauth_providers (${names.join(", ")})
     values (${names.map((_, index) => `$${index + 1}`).join(", ")}) returning *`,
    Object.values(values),
  );
  return { status: 201, body: customProviderJson(rows[0]!) };
}

/** PUT /admin/custom-providers/:identifier */
export async function adminUpdateProvider(
  { database }: AuthContext,
  request: AuthRequest,
  [identifier = ""]: string[],
): Promise<Answer> {
  const row = await existing(database, identifier);
  const body = request.body();
  const values: Json = valuesOf(body, row.provider_type);
  if (row.provider_type === "oidc" && ("issuer" in values || "discovery_url" in values))
    Object.assign(values, await discoveryFor(body, row));
  const names = Object.keys(values);
  const assignments = names.map((name, index) => `${name} = $${index + 2}, `).join("");
  const { rows } = await database.query<CustomProviderRow>(
    `update auth.custom_oauth_providers set ${assignments}updated_at = now() where id = $1 returning *`,
    [row.id, ...Object.values(values)],
  );
  return { body: customProviderJson(rows[0]!) };
}

/** The columns that a request sets. Names of columns are the lists above, never the request's. */
function valuesOf(body: Json, type: "oidc" | "oauth2"): Json {
  const values: Json = {};
  for (const name of [...TEXTS, ...(type === "oidc" ? OIDC : OAUTH2)]) {
    const given = textOf(body, name);
    if (!given) continue;
    if (!TEXTS.some((each) => each === name)) checkUrl(given);
    values[name] = given;
  }
  for (const name of [...FLAGS, ...(type === "oidc" ? (["skip_nonce_check"] as const) : [])]) {
    const given = flagOf(body, name);
    if (given !== undefined) values[name] = given;
  }
  for (const name of LISTS) {
    const given = body[name];
    if (given === undefined || given === null) continue;
    if (!Array.isArray(given) || !given.every((each) => typeof each === "string"))
      throw new AuthError(
        400,
        "bad_json",
        `Could not parse request body as JSON: ${name} must be a list of texts`,
      );
    if (name === "custom_claims_allowlist" && given.some((each) => each.trim() === ""))
      throw invalid("custom_claims_allowlist entries must be non-empty strings");
    values[name] = name === "scopes" && type === "oidc" ? [...new Set(["openid", ...given])] : given;
  }
  for (const name of OBJECTS) {
    const given = objectOf(body, name);
    if (!given) continue;
    if (name === "authorization_params") checkParameters(given);
    else checkMapping(given);
    values[name] = JSON.stringify(given);
  }
  return values;
}

/** The table itself takes nothing else. */
function checkUrl(text: string): void {
  if (!URL.canParse(text)) throw invalid(`Invalid URL: ${text}`);
  if (new URL(text).protocol !== "https:") throw invalid("URL must use HTTPS");
}

const RESERVED = new Set(
  "client_id client_secret redirect_uri response_type state code_challenge code_challenge_method code_verifier nonce".split(
    " ",
  ),
);

function checkParameters(parameters: Json): void {
  for (const [name, value] of Object.entries(parameters)) {
    if (RESERVED.has(name)) throw invalid(`Cannot override reserved OAuth parameter: ${name}`);
    if (typeof value !== "string")
      throw invalid(`Authorization parameter ${JSON.stringify(name)} must be a string`);
  }
}

/** What a provider may not say of a person: it would raise their rights. */
const PROTECTED = new Set(
  `id aud role app_metadata created_at updated_at confirmed_at email_confirmed_at phone_confirmed_at email_verified phone_verified
   banned_until is_super_admin`.split(/\s+/),
);

function checkMapping(mapping: Json): void {
  for (const name of Object.keys(mapping))
    if (PROTECTED.has(name)) throw invalid(`Cannot map to protected system field: ${name}`);
}

async function discoveryFor(body: Json, row: CustomProviderRow | undefined): Promise<Json> {
  const issuer = textOf(body, "issuer") || row?.issuer || "";
  const url = textOf(body, "discovery_url") || row?.discovery_url || undefined;
  const address = url ?? `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const document = await discoveryOf(issuer, url).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw invalid(`OIDC discovery from ${JSON.stringify(address)} failed: ${reason}`);
  });
  const needed = ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"];
  const missing = needed.filter((name) => !document[name]);
  if (missing.length > 0)
    throw invalid(`OIDC discovery document is missing required fields: ${missing.join(", ")}`);
  return { cached_discovery: JSON.stringify(document), discovery_cached_at: new Date() };
}
