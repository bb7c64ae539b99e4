// Operations on OAuth clients: registration by apps, and the admin API.

import type { AuthContext } from "../context.ts";
import { badRequest, forbidden, notFound } from "../errors.ts";
import type { Answer, AuthRequest } from "../request.ts";
import { authMethodOf, descriptionOf, grantTypesOf, kindOf, redirectUrisOf } from "./client-rules.ts";
import { type ClientRow, clientJson, findClient, insertClient, isUuid, newSecret } from "./clients.ts";

async function registerAs(
  { database }: AuthContext,
  request: AuthRequest,
  registration: ClientRow["registration_type"],
): Promise<Answer> {
  const body = request.body();
  const redirectUris = redirectUrisOf(body);
  if (redirectUris === undefined) throw badRequest("validation_failed", "redirect_uris is required");
  const named = grantTypesOf(body) ?? [];
  const { type, method } = kindOf(body);
  const { client, secret } = await insertClient(database, {
    registration_type: registration,
    client_type: type,
    token_endpoint_auth_method: method,
    redirectUris,
    grantTypes: named.length > 0 ? named : ["authorization_code", "refresh_token"],
    ...descriptionOf(body),
  });
  return { status: 201, body: clientJson(client, secret) };
}

/** POST /oauth/clients/register */
export async function register(context: AuthContext, request: AuthRequest): Promise<Answer> {
  context.limits.request("client_registration", request.ip);
  if (!context.settings.oauth_server.allow_dynamic_registration)
    throw forbidden(
      "oauth_dynamic_client_registration_disabled",
      "Dynamic client registration is not enabled",
    );
  return await registerAs(context, request, "dynamic");
}

/** POST /admin/oauth/clients */
export async function create(context: AuthContext, request: AuthRequest): Promise<Answer> {
  return await registerAs(context, request, "manual");
}

/** GET /admin/oauth/clients: the newest first */
export async function list({ database }: AuthContext): Promise<Answer> {
  const { rows } = await database.query<ClientRow>(
    "select * from auth.oauth_clients where deleted_at is null order by created_at desc, id",
  );
  return { body: { clients: rows.map((client) => clientJson(client)) } };
}

async function clientOf({ database }: AuthContext, [id = ""]: string[]): Promise<ClientRow> {
  if (!isUuid(id)) throw badRequest("validation_failed", "invalid client_id format");
  const client = await findClient(database, id);
  if (!client) throw notFound("oauth_client_not_found", "OAuth client not found");
  return client;
}

/** GET /admin/oauth/clients/* */
export async function get(context: AuthContext, _request: AuthRequest, parts: string[]): Promise<Answer> {
  return { body: clientJson(await clientOf(context, parts)) };
}

/** PUT /admin/oauth/clients/*: changes what the body names */
export async function update(context: AuthContext, request: AuthRequest, parts: string[]): Promise<Answer> {
  const client = await clientOf(context, parts);
  const body = request.body();
  const { name, uri, logo } = descriptionOf(body);
  const method = authMethodOf(body);
  const grants = grantTypesOf(body);
  if (grants?.length === 0) throw badRequest("validation_failed", "grant_types cannot be empty");
  const values = [redirectUrisOf(body)?.join(","), grants?.join(","), name, uri, logo, method];
  if (values.every((value) => value === undefined))
    throw badRequest("validation_failed", "No fields provided for update");
  if (method !== undefined && (method === "none") !== (client.client_type === "public"))
    throw badRequest(
      "validation_failed",
      `token_endpoint_auth_method '${method}' is not valid for client_type '${client.client_type}'`,
    );
  const { rows } = await context.database.query<ClientRow>(
    `update auth.oauth_clients set redirect_uris = coalesce($2, redirect_uris), grant_types = coalesce($3, grant_types),
      client_name = coalesce($4, client_name), client_uri = coalesce($5, client_uri), logo_uri = coalesce($6, logo_uri),
      token_endpoint_auth_method = coalesce($7, token_endpoint_auth_method), updated_at = now() where id = $1 returning *`,
    [client.id, ...values.map((value) => value ?? null)],
  );
  return { body: clientJson(rows[0]!) };
}

/** DELETE /admin/oauth/clients/*: the row stays, marked */
export async function remove(context: AuthContext, _request: AuthRequest, parts: string[]): Promise<Answer> {
  const client = await clientOf(context, parts);
  await context.database.query(
    "update auth.oauth_clients set deleted_at = now(), updated_at = now() where id = $1",
    [client.id],
  );
  return { status: 204 };
}

/** POST /admin/oauth/clients/* /regenerate_secret */
export async function regenerateSecret(
  context: AuthContext,
  _request: AuthRequest,
  parts: string[],
): Promise<Answer> {
  const client = await clientOf(context, parts);
  if (client.client_type === "public")
    throw badRequest("validation_failed", "Cannot regenerate secret for public client");
  const { secret, hash } = newSecret();
  const { rows } = await context.database.query<ClientRow>(
    "update auth.oauth_clients set client_secret_hash = $2, updated_at = now() where id = $1 returning *",
    [client.id, hash],
  );
  return { body: clientJson(rows[0]!, secret) };
}
