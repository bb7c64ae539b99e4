// Verifies the id tokens that apps hand over (signInWithIdToken).

import { createHash } from "node:crypto";
import { createRemoteJWKSet, decodeJwt, type JWTPayload, jwtVerify } from "jose";
import type { AuthSettings, ProviderName } from "../../config/auth-settings.ts";
import { badRequest, OAuthError } from "../errors.ts";
import { type ProviderProfile, profileOfClaims } from "./profile.ts";
import { discoveryOf } from "./provider.ts";
import type { CustomProvider } from "./providers.ts";

/** What the grant is given. */
export interface IdTokenParams {
  id_token: string;
  provider: string;
  access_token: string;
  nonce: string;
  client_id: string;
  issuer: string;
}

/** Who the token is about. */
export interface IdTokenPerson {
  profile: ProviderProfile;
  provider: string;
  emailOptional: boolean;
}

interface Expected {
  provider: string;
  issuer: string;
  audiences: readonly string[];
  skipNonce: boolean;
  emailOptional: boolean;
  discoveryUrl?: string | undefined;
}

/** Whose issuer is known without a setting. */
const ISSUERS: Partial<Record<ProviderName, string>> = {
  google: "https://accounts.google.com",
  kakao: "https://kauth.kakao.com",
};

/**
 * Verifies an id token: signature by the issuer's keys, issuer, audience, time, nonce and the access token's hash.
 * @param custom looks up a provider that the admin API added
 * Throws AuthError or OAuthError in supabase/auth's words.
 */
export async function verifyIdToken(
  params: IdTokenParams,
  external: AuthSettings["external"],
  custom: (
    identifier: string,
  ) => Promise<
    (CustomProvider & { enabled: boolean; skip_nonce_check: boolean; email_optional: boolean }) | undefined
  >,
): Promise<IdTokenPerson> {
  if (params.id_token === "") throw new OAuthError("invalid request", "id_token required");
  if (params.provider === "" && (params.client_id === "" || params.issuer === ""))
    throw new OAuthError("invalid request", "provider or client_id and issuer required");
  const expected = await expectedOf(params, external, custom);
  const claims = await verified(params, expected);
  if (!claims.sub) throw new OAuthError("invalid request", "Missing sub claim in id_token");
  const audience = [claims.aud ?? []].flat();
  if (!expected.audiences.some((id) => id !== "" && audience.includes(id)))
    throw new OAuthError("invalid request", `Unacceptable audience in id_token: [${audience.join(" ")}]`);
  if (!expected.skipNonce) checkNonce(claims.nonce, params.nonce);
  return {
    profile: profileOfClaims(claims),
    provider: expected.provider,
    emailOptional: expected.emailOptional,
  };
}

async function expectedOf(
  { provider, issuer, id_token }: IdTokenParams,
  external: AuthSettings["external"],
  custom: Parameters<typeof verifyIdToken>[2],
): Promise<Expected> {
  const configured = (name: ProviderName, itsIssuer: string): Expected => {
    const { enabled, client_id, skip_nonce_check, email_optional } = external[name];
    if (!enabled) throw badRequest("provider_disabled", `Provider (issuer "${itsIssuer}") is not enabled`);
    const audiences = client_id.split(",").map((id) => id.trim());
    return {
      provider: name,
      issuer: itsIssuer,
      audiences,
      skipNonce: skip_nonce_check,
      emailOptional: email_optional,
    };
  };
  const detected = (label: string, fits: RegExp): string => {
    const found = issuerOf(id_token);
    if (found === undefined)
      throw badRequest("validation_failed", `Unable to detect issuer in ID token for ${label} provider`);
    if (!fits.test(found))
      throw badRequest("validation_failed", `Detected ID token issuer is not an ${label} ID token issuer`);
    if (issuer !== "" && issuer !== found)
      throw badRequest("validation_failed", "Provided issuer does not match ID token issuer");
    return found;
  };
  const apple = /^https:\/\/(?:appleid|account)\.apple\.com$/;
  const azure = /^https:\/\/login\.microsoftonline\.com\/|^https:\/\/sts\.windows\.net\//;
  if (provider === "apple" || apple.test(issuer)) return configured("apple", detected("Apple", apple));
  if (provider === "azure" || azure.test(issuer)) return configured("azure", detected("Azure", azure));
  for (const [name, known] of Object.entries(ISSUERS) as [ProviderName, string][])
    if (provider === name || issuer === known) return configured(name, known);
  const realm = external.keycloak.url.replace(/\/$/, "");
  if (provider === "keycloak" || (external.keycloak.enabled && realm !== "" && issuer === realm))
    return configured("keycloak", realm);
  if (provider.startsWith("custom:")) return await customOf(provider, custom);
  throw badRequest("validation_failed", `Custom OIDC provider "${provider}" not allowed`);
}

async function customOf(provider: string, custom: Parameters<typeof verifyIdToken>[2]): Promise<Expected> {
  const row = await custom(provider);
  if (!row) throw badRequest("validation_failed", `Custom provider "${provider}" not found`);
  if (!row.enabled) throw badRequest("provider_disabled", `Custom provider "${provider}" is disabled`);
  if (row.provider_type !== "oidc")
    throw badRequest("validation_failed", `Provider "${provider}" is not an OIDC provider`);
  return {
    provider,
    issuer: row.issuer ?? "",
    discoveryUrl: row.discovery_url ?? undefined,
    audiences: [row.client_id, ...row.acceptable_client_ids],
    skipNonce: row.skip_nonce_check,
    emailOptional: row.email_optional,
  };
}

function issuerOf(idToken: string): string | undefined {
  try {
    return decodeJwt(idToken).iss;
  } catch {
    return undefined;
  }
}

/** Key sets of issuers; the library fetches them again when a key is unknown. */
const keySets = new Map<string, ReturnType<typeof createRemoteJWKSet>>();

async function verified(params: IdTokenParams, expected: Expected): Promise<JWTPayload> {
  try {
    const { jwks_uri, issuer } = await discoveryOf(expected.issuer, expected.discoveryUrl);
    if (!jwks_uri) throw new Error("the issuer has no jwks_uri");
    const keys = keySets.get(jwks_uri) ?? createRemoteJWKSet(new URL(jwks_uri));
    keySets.set(jwks_uri, keys);
    const { payload, protectedHeader } = await jwtVerify(params.id_token, keys, { issuer });
    if (params.access_token !== "" && payload.at_hash !== undefined)
      checkAccessToken(protectedHeader.alg, payload.at_hash, params.access_token);
    return payload;
  } catch (error) {
    throw new OAuthError("invalid request", "Bad ID token", { cause: error });
  }
}

/** OpenID Connect Core 3.1.3.6: the left half of the hash that the signature uses. */
function checkAccessToken(alg: string, hash: unknown, accessToken: string): void {
  const bits = alg === "EdDSA" ? "512" : alg.slice(-3);
  const digest = createHash(`sha${bits}`).update(accessToken).digest();
  if (digest.subarray(0, digest.length / 2).toString("base64url") !== hash)
    throw new Error("access token hash does not match value in ID token");
}

/** Apps send the nonce as it is; the provider was given its SHA-256 in hex. */
function checkNonce(inToken: unknown, given: string): void {
  const has = typeof inToken === "string" && inToken !== "";
  if (has !== (given !== ""))
    throw new OAuthError(
      "invalid request",
      "Passed nonce and nonce in id_token should either both exist or not.",
    );
  if (has && createHash("sha256").update(given).digest("hex") !== inToken)
    throw new OAuthError("invalid nonce", "Nonces mismatch");
}
