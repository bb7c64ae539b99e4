// What Auth says of itself: /settings, /health and the well-known documents.

import { publicPart } from "../../jwt-keys.ts";
import type { AuthContext } from "../context.ts";
import type { Answer } from "../request.ts";

const OTHERS = ["snapchat", "fly", "linkedin", "slack"];

/** The version of supabase/auth whose answers these are. */
export const VERSION = "v2.196.0";

/** GET /settings */
export async function settings({ settings: set }: AuthContext): Promise<Answer> {
  const external: Record<string, boolean> = Object.fromEntries(OTHERS.map((name) => [name, false]));
  for (const [name, provider] of Object.entries(set.external)) external[name] = provider.enabled;
  return {
    body: {
      external: {
        ...external,
        anonymous_users: set.enable_anonymous_sign_ins,
        email: set.email.enabled !== false,
        phone: false,
      },
      disable_signup: !set.enable_signup,
      mailer_autoconfirm: !set.email.enable_confirmations,
      phone_autoconfirm: !set.sms.enable_confirmations,
      sms_provider: "",
      saml_enabled: false,
      saml_private_key_next_configured: false,
      passkeys_enabled: set.passkey.enabled,
    },
  };
}

/** GET /health */
export async function health(): Promise<Answer> {
  return {
    body: {
      version: VERSION,
      name: "GoTrue",
      description: "GoTrue is a user registration and authentication API",
    },
  };
}

/** GET /.well-known/jwks.json */
export async function jwks({ keys }: AuthContext): Promise<Answer> {
  return {
    body: { keys: keys.signingKeys.map(publicPart) },
    headers: { "cache-control": "public, max-age=600" },
  };
}

/** GET /.well-known/openid-configuration */
export async function openidConfiguration({
  externalUrl,
  settings: set,
  keys,
}: AuthContext): Promise<Answer> {
  const issuer = set.jwt_issuer ?? externalUrl;
  return {
    body: {
      issuer,
      authorization_endpoint: `${issuer}/oauth/authorize`,
      token_endpoint: `${issuer}/oauth/token`,
      ...(set.oauth_server.enabled && set.oauth_server.allow_dynamic_registration
        ? { registration_endpoint: `${issuer}/oauth/clients/register` }
        : {}),
      userinfo_endpoint: `${issuer}/oauth/userinfo`,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      scopes_supported: ["openid", "profile", "email", "phone", "offline_access"],
      response_types_supported: ["code"],
      response_modes_supported: ["query"],
      grant_types_supported: ["authorization_code", "refresh_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [
        ...new Set(["RS256", "HS256", "ES256", ...keys.signingKeys.map(({ alg }) => alg)]),
      ],
      token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
      claims_supported: [
        "sub",
        "aud",
        "iss",
        "exp",
        "iat",
        "auth_time",
        "nonce",
        "email",
        "email_verified",
        "phone_number",
        "phone_number_verified",
        "name",
        "picture",
        "preferred_username",
        "updated_at",
      ],
      code_challenge_methods_supported: ["S256", "plain"],
    },
    headers: { "cache-control": "public, max-age=600" },
  };
}
