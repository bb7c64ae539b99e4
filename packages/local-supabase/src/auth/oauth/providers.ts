// The providers of [auth.external.*], and those that the admin API adds.

import type { AuthSettings, ProviderName } from "../../config/auth-settings.ts";
import { type ProviderProfile, profileOfClaims } from "./profile.ts";
import {
  type OAuthProvider,
  oauth2Provider,
  oidcProvider,
  type ProviderClient,
  profileOf,
} from "./provider.ts";

/** Why a provider cannot be used, in supabase/auth's words. */
export class UnsupportedProvider extends Error {
  override name = "UnsupportedProvider";
}

/** A row of auth.custom_oauth_providers, as far as a sign-in needs it. */
export interface CustomProvider {
  identifier: string;
  provider_type: "oidc" | "oauth2";
  client_id: string;
  client_secret: string;
  acceptable_client_ids: string[];
  scopes: string[];
  pkce_enabled: boolean;
  authorization_params: Record<string, string>;
  issuer: string | null;
  discovery_url: string | null;
  authorization_url: string | null;
  token_url: string | null;
  userinfo_url: string | null;
  /** Claims by the names they get: `{ "name": "display_name" }`; a value that is not a text is set as it is. */
  attribute_mapping: Record<string, unknown>;
  /** Further claims that an identity keeps, in `custom_claims`. */
  custom_claims_allowlist: string[];
}

type Make = (client: ProviderClient, url: string) => OAuthProvider;

const text = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : "";
const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};

const oidc =
  (
    issuerOf: (url: string) => string,
    usualScopes: readonly string[],
    parameters?: Record<string, string>,
  ): Make =>
  (client, url) =>
    oidcProvider(client, { issuer: issuerOf(url), usualScopes, ...(parameters ? { parameters } : {}) });

const PROVIDERS: Partial<Record<ProviderName, Make>> = {
  apple: oidc(() => "https://appleid.apple.com", ["email", "name"], { response_mode: "form_post" }),
  google: oidc(() => "https://accounts.google.com", ["openid", "email", "profile"]),
  gitlab: oidc((url) => url, ["openid", "read_user", "email"]),
  linkedin_oidc: oidc(() => "https://www.linkedin.com/oauth", ["openid", "email", "profile"]),
  slack_oidc: oidc(() => "https://slack.com", ["openid", "email", "profile"]),
  twitch: oidc(() => "https://id.twitch.tv/oauth2", ["openid", "user:read:email"]),
  kakao: oidc(
    () => "https://kauth.kakao.com",
    ["openid", "account_email", "profile_nickname", "profile_image"],
  ),
  azure: (client, url) => {
    const host = url || "https://login.microsoftonline.com/common";
    return oidcProvider(client, { issuer: `${host}/v2.0`, usualScopes: ["openid"] });
  },
  keycloak: (client, url) =>
    oidcProvider(client, {
      issuer: url,
      usualScopes: ["openid", "profile", "email"],
      profile(claims) {
        const profile = profileOfClaims(claims);
        const { sub, name } = claims;
        return {
          ...profile,
          metadata: { ...profile.metadata, sub: text(sub), provider_id: sub, full_name: name },
        };
      },
    }),
  github(client, url) {
    const host = url || "https://github.com";
    const api = url ? `${url}/api/v3` : "https://api.github.com";
    return oauth2Provider(client, {
      authorizationUrl: `${host}/login/oauth/authorize`,
      tokenUrl: `${host}/login/oauth/access_token`,
      usualScopes: ["user:email"],
      async profile(get) {
        const user = record(await get(`${api}/user`));
        const emails = [await get(`${api}/user/emails`)].flat().map(record);
        return profileOf(
          emails
            .filter(({ email }) => text(email) !== "")
            .map(({ email, verified, primary }) => ({
              email: text(email),
              verified: verified === true,
              primary: primary === true,
            })),
          {
            iss: api,
            sub: text(user.id),
            name: user.name,
            preferred_username: user.login,
            avatar_url: user.avatar_url,
            full_name: user.name,
            provider_id: text(user.id),
            user_name: user.login,
          },
        );
      },
    });
  },
  discord(client, url) {
    const api = `${url || "https://discord.com"}/api`;
    return oauth2Provider(client, {
      authorizationUrl: `${api}/oauth2/authorize`,
      tokenUrl: `${api}/oauth2/token`,
      usualScopes: ["email", "identify"],
      async profile(get) {
        const user = record(await get(`${api}/users/@me`));
        const picture = discordPicture(user);
        return profileOf(
          text(user.email) === ""
            ? []
            : [{ email: text(user.email), verified: user.verified === true, primary: true }],
          {
            iss: api,
            sub: text(user.id),
            name: `${text(user.username)}#${text(user.discriminator)}`,
            picture,
            custom_claims: { global_name: text(user.global_name) },
            avatar_url: picture,
            full_name: user.username,
            provider_id: text(user.id),
          },
        );
      },
    });
  },
};

function discordPicture(user: Record<string, unknown>): string {
  const avatar = text(user.avatar);
  if (avatar === "")
    return `https://cdn.discordapp.com/embed/avatars/${(Number(text(user.discriminator)) || 0) % 5}.png`;
  return `https://cdn.discordapp.com/avatars/${text(user.id)}/${avatar}.${avatar.startsWith("a_") ? "gif" : "png"}`;
}

/** What a sign-in needs to know of a provider. */
export interface KnownProvider {
  provider: OAuthProvider;
  emailOptional: boolean;
}

/**
 * A provider of config.toml.
 * @param name as apps name it
 * @param scopes what the app asks for, separated by commas or spaces
 * @param callback the stack's own address for browsers that come back
 * Throws UnsupportedProvider.
 */
export function configuredProvider(
  name: string,
  scopes: string,
  callback: string,
  external: AuthSettings["external"],
): KnownProvider {
  const make = Object.hasOwn(PROVIDERS, name) ? PROVIDERS[name as ProviderName] : undefined;
  if (!Object.hasOwn(external, name)) throw new UnsupportedProvider(`Provider ${name} could not be found`);
  const settings = external[name as ProviderName];
  if (!settings.enabled) throw new UnsupportedProvider("provider is not enabled");
  if (!make) throw new UnsupportedProvider(`Provider ${name} could not be found`);
  if (settings.secret === "") throw new UnsupportedProvider("missing OAuth secret");
  const [clientId = "", ...audiences] = settings.client_id.split(",").map((id) => id.trim());
  const client = {
    clientId,
    audiences,
    secret: settings.secret,
    redirectUri: settings.redirect_uri || callback,
    scopes: scopes.split(/[\s,]+/).filter((scope) => scope !== ""),
  };
  return { provider: make(client, settings.url.replace(/\/$/, "")), emailOptional: settings.email_optional };
}

/** The names of config.toml that this stack cannot sign in with. */
export const unsupportedNames = (external: AuthSettings["external"]): string[] =>
  Object.entries(external)
    .filter(([name, { enabled }]) => enabled && !Object.hasOwn(PROVIDERS, name))
    .map(([name]) => name);

/** A provider that the admin API added. */
export function customProvider(row: CustomProvider, scopes: string, callback: string): OAuthProvider {
  const asked = scopes.split(/\s+/).filter((scope) => scope !== "");
  const client = {
    clientId: row.client_id,
    secret: row.client_secret,
    redirectUri: callback,
    scopes: asked.length > 0 ? asked : row.scopes,
    pkce: row.pkce_enabled,
    audiences: row.acceptable_client_ids,
  };
  const parameters = row.authorization_params;
  const profile = (claims: Readonly<Record<string, unknown>>) => mapped(row, claims);
  if (row.provider_type === "oidc")
    return oidcProvider(client, {
      issuer: row.issuer ?? "",
      discoveryUrl: row.discovery_url ?? undefined,
      usualScopes: ["openid"],
      parameters,
      profile,
    });
  const userinfo = row.userinfo_url ?? "";
  return oauth2Provider(client, {
    authorizationUrl: row.authorization_url ?? "",
    tokenUrl: row.token_url ?? "",
    usualScopes: [],
    parameters,
    profile: async (get) => profile(record(await get(userinfo))),
  });
}

/** A person's claims by the names that the provider's row gives them. */
function mapped(row: CustomProvider, claims: Readonly<Record<string, unknown>>): ProviderProfile {
  const named: Record<string, unknown> = { ...claims };
  for (const [target, source] of Object.entries(row.attribute_mapping)) {
    if (typeof source !== "string") named[target] = source;
    else if (claims[source] !== undefined) named[target] = claims[source];
  }
  const kept = row.custom_claims_allowlist.filter((name) => claims[name] !== undefined);
  if (kept.length > 0)
    named.custom_claims = {
      ...record(named.custom_claims),
      ...Object.fromEntries(kept.map((name) => [name, claims[name]])),
    };
  return profileOfClaims(named);
}
