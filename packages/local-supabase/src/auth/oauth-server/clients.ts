// Reads and writes auth.oauth_clients: the apps that may sign users in here, and how they show who they are.

import { createHash, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { badRequest } from "../errors.ts";
import type { Queryable } from "../queryable.ts";
import { type AuthRequest, textOf } from "../request.ts";
import type { Json } from "../users.ts";

/** A row of auth.oauth_clients. */
export interface ClientRow {
  id: string;
  client_secret_hash: string | null;
  registration_type: "dynamic" | "manual";
  client_type: "public" | "confidential";
  token_endpoint_auth_method: string;
  redirect_uris: string;
  grant_types: string;
  client_name: string | null;
  client_uri: string | null;
  logo_uri: string | null;
  created_at: Date;
  updated_at: Date;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const isUuid = (text: string): boolean => UUID.test(text);

/** The client of an id that is not deleted, or undefined. */
export async function findClient(on: Queryable, id: string): Promise<ClientRow | undefined> {
  const { rows } = await on.query<ClientRow>(
    "select * from auth.oauth_clients where id = $1 and deleted_at is null",
    [id],
  );
  return rows[0];
}

/** A client as administrators and registrars get it; its secret only when it was made now. */
export function clientJson(client: ClientRow, secret?: string): Json {
  return {
    client_id: client.id,
    ...(secret === undefined ? {} : { client_secret: secret }),
    client_type: client.client_type,
    redirect_uris: client.redirect_uris.split(","),
    token_endpoint_auth_method: client.token_endpoint_auth_method,
    grant_types: client.grant_types.split(","),
    response_types: ["code"],
    ...(client.client_name ? { client_name: client.client_name } : {}),
    ...(client.client_uri ? { client_uri: client.client_uri } : {}),
    ...(client.logo_uri ? { logo_uri: client.logo_uri } : {}),
    registration_type: client.registration_type,
    created_at: client.created_at,
    updated_at: client.updated_at,
  };
}

/** A client as users see it. */
export function clientForUsers(client: ClientRow): Json {
  return {
    id: client.id,
    ...(client.client_name ? { name: client.client_name } : {}),
    ...(client.client_uri ? { uri: client.client_uri } : {}),
    ...(client.logo_uri ? { logo_uri: client.logo_uri } : {}),
  };
}

/** A new secret and what is kept of it. */
export function newSecret(): { secret: string; hash: string } {
  const secret = randomBytes(32).toString("base64url");
  return { secret, hash: hashOf(secret).toString("base64url") };
}

const hashOf = (secret: string): Buffer => createHash("sha256").update(secret).digest();

/** Stores a client; returns it with its secret where it has one. */
export async function insertClient(
  on: Queryable,
  made: Pick<ClientRow, "registration_type" | "client_type" | "token_endpoint_auth_method"> & {
    redirectUris: readonly string[];
    grantTypes: readonly string[];
    name: string | undefined;
    uri: string | undefined;
    logo: string | undefined;
  },
): Promise<{ client: ClientRow; secret: string | undefined }> {
  const issued = made.client_type === "confidential" ? newSecret() : undefined;
  const { rows } = await on.query<ClientRow>(
    `insert into auth.oauth_clients (id, client_secret_hash, registration_type, client_type, token_endpoint_auth_method,
      redirect_uris, grant_types, client_name, client_uri, logo_uri)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning *`,
    [
      randomUUID(),
      issued?.hash ?? null,
      made.registration_type,
      made.client_type,
      made.token_endpoint_auth_method,
      made.redirectUris.join(","),
      made.grantTypes.join(","),
      made.name || null,
      made.uri || null,
      made.logo || null,
    ],
  );
  return { client: rows[0]!, secret: issued?.secret };
}

const refused = (why: string) => badRequest("invalid_credentials", why);

/**
 * The client that asks for tokens, by the header (basic), the body (post), or its id alone (none).
 * @throws AuthError `invalid_credentials`
 */
export async function authenticateClient(on: Queryable, request: AuthRequest): Promise<ClientRow> {
  const { id, secret, method } = credentialsOf(request);
  if (!id) throw refused("Invalid client credentials: client_id is required");
  if (!isUuid(id)) throw refused("Invalid client_id format");
  const client = await findClient(on, id);
  if (!client) throw refused("Invalid client credentials");
  if (method !== client.token_endpoint_auth_method)
    throw refused(
      `invalid authentication method: client is registered for '${client.token_endpoint_auth_method}' but '${method}' was used`,
    );
  if (client.client_type === "public") {
    if (secret) throw refused("public clients must not provide client_secret");
    return client;
  }
  if (!secret) throw refused("confidential clients must provide client_secret");
  const kept = Buffer.from(client.client_secret_hash ?? "", "base64url");
  const given = hashOf(secret);
  if (kept.length !== given.length || !timingSafeEqual(kept, given))
    throw refused("invalid client credentials");
  return client;
}

/** Reads a part of a Basic header: RFC 6749 encodes it as in forms, and openid-client does. */
const plain = (part: string): string =>
  new URLSearchParams(`v=${part.replaceAll("&", "%26")}`).get("v") ?? "";

function credentialsOf(request: AuthRequest): { id: string; secret: string; method: string } {
  const header = request.headers.get("authorization") ?? "";
  if (header.startsWith("Basic ")) {
    const text = Buffer.from(header.slice("Basic ".length), "base64").toString("utf8");
    const colon = text.indexOf(":");
    if (colon < 0) throw refused("Invalid client credentials: invalid basic auth format");
    return {
      id: plain(text.slice(0, colon)),
      secret: plain(text.slice(colon + 1)),
      method: "client_secret_basic",
    };
  }
  const body = request.body();
  const secret = textOf(body, "client_secret") ?? "";
  return {
    id: textOf(body, "client_id") ?? "",
    secret,
    method: secret ? "client_secret_post" : "none",
  };
}
