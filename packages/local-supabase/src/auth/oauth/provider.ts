// A provider of OAuth sign-ins: where the browser is sent, and what its code is worth.

import type * as OpenId from "openid-client";
import { metadataOf, type ProviderProfile, profileOfClaims } from "./profile.ts";

/** What a provider gives for a code. */
export interface ProviderAnswer {
  profile: ProviderProfile;
  accessToken: string;
  refreshToken: string;
}

/** One provider, ready to be asked. */
export interface OAuthProvider {
  /** Whether it needs PKCE: the verifier is then kept until the browser is back. */
  readonly pkce: boolean;
  /**
   * Where the browser signs in.
   * @param state comes back with the code
   * @param parameters what the app adds, such as `prompt`
   * @param verifier the PKCE verifier
   */
  authorizationUrl(
    state: string,
    parameters: Readonly<Record<string, string>>,
    verifier?: string,
  ): Promise<URL>;
  /** Trades the code in the address that the browser came back to. */
  exchange(callback: URL, state: string, verifier?: string): Promise<ProviderAnswer>;
}

/** What an app has registered at a provider. */
export interface ProviderClient {
  clientId: string;
  secret: string;
  /** Where the provider sends the browser back to. */
  redirectUri: string;
  /** Those that the app asks for, besides the usual ones. */
  scopes: readonly string[];
  pkce?: boolean;
  /** Further client ids whose id tokens are accepted. */
  audiences?: readonly string[];
}

export interface OidcOptions {
  issuer: string;
  /** Where the discovery document is, when not below the issuer. */
  discoveryUrl?: string | undefined;
  usualScopes: readonly string[];
  parameters?: Readonly<Record<string, string>>;
  /** Makes the profile of the claims. */
  profile?: (claims: Readonly<Record<string, unknown>>) => ProviderProfile;
}

export interface OAuth2Options {
  authorizationUrl: string;
  tokenUrl: string;
  usualScopes: readonly string[];
  parameters?: Readonly<Record<string, string>>;
  /** Asks who the person is; `get` fetches JSON with the person's token. */
  profile: (get: (url: string) => Promise<unknown>) => Promise<ProviderProfile>;
}

const TIMEOUT_SECONDS = 10;

/** A provider with OpenID Connect: its addresses and keys come from its discovery document. */
export function oidcProvider(client: ProviderClient, options: OidcOptions): OAuthProvider {
  return provider(client, options, {
    configure: (library) => discovered(library, client, options),
    async profile(library, config, tokens) {
      const claims = tokens.claims();
      const read = options.profile ?? profileOfClaims;
      if (!claims) {
        const info = await library.fetchUserInfo(config, tokens.access_token, library.skipSubjectCheck);
        return read({ iss: config.serverMetadata().issuer, ...info });
      }
      const known = read(claims);
      // A provider may keep an id token small and say the rest at its userinfo endpoint.
      if (known.emails.length > 0 || !config.serverMetadata().userinfo_endpoint) return known;
      const info = await library.fetchUserInfo(config, tokens.access_token, claims.sub);
      return read({ ...claims, ...info });
    },
  });
}

/** A provider with OAuth 2 alone: who the person is, is asked at its API. */
export function oauth2Provider(client: ProviderClient, options: OAuth2Options): OAuthProvider {
  return provider(client, options, {
    async configure(library) {
      const server = {
        issuer: new URL(options.authorizationUrl).origin,
        authorization_endpoint: options.authorizationUrl,
        token_endpoint: options.tokenUrl,
      };
      const config = new library.Configuration(
        server,
        client.clientId,
        undefined,
        library.ClientSecretPost(client.secret),
      );
      return prepared(library, config, options.tokenUrl);
    },
    async profile(_library, _config, tokens) {
      return await options.profile(async (url) => {
        const answer = await fetch(url, {
          headers: {
            authorization: `Bearer ${tokens.access_token}`,
            accept: "application/json",
            "user-agent": "auth",
          },
          signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000),
        });
        if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
        return await answer.json();
      });
    },
  });
}

type Library = typeof OpenId;
type Tokens = Awaited<ReturnType<Library["authorizationCodeGrant"]>>;

function provider(
  client: ProviderClient,
  {
    usualScopes,
    parameters: always = {},
  }: { usualScopes: readonly string[]; parameters?: Readonly<Record<string, string>> },
  part: {
    configure: (library: Library) => Promise<OpenId.Configuration>;
    profile: (library: Library, config: OpenId.Configuration, tokens: Tokens) => Promise<ProviderProfile>;
  },
): OAuthProvider {
  return {
    pkce: client.pkce ?? false,
    async authorizationUrl(state, parameters, verifier) {
      const library = await import("openid-client");
      return library.buildAuthorizationUrl(await part.configure(library), {
        ...always,
        ...parameters,
        redirect_uri: client.redirectUri,
        scope: [...new Set([...usualScopes, ...client.scopes])].join(" "),
        state,
        ...(verifier === undefined
          ? {}
          : {
              code_challenge: await library.calculatePKCECodeChallenge(verifier),
              code_challenge_method: "S256",
            }),
      });
    },
    async exchange(callback, state, verifier) {
      const library = await import("openid-client");
      const config = await part.configure(library);
      // The provider compares the address with the one that was registered, not with how the stack was reached.
      const url = new URL(client.redirectUri);
      url.search = callback.search;
      const nonce = callback.searchParams.get("nonce");
      const tokens = await library.authorizationCodeGrant(config, url, {
        expectedState: state,
        ...(verifier === undefined ? {} : { pkceCodeVerifier: verifier }),
        ...(nonce === null ? {} : { expectedNonce: nonce }),
      });
      const profile = await part.profile(library, config, tokens);
      return { profile, accessToken: tokens.access_token, refreshToken: tokens.refresh_token ?? "" };
    },
  };
}

/** Discovery documents, for an hour each. */
const documents = new Map<string, { metadata: OpenId.ServerMetadata; until: number }>();
const HOUR = 3_600_000;

async function discovered(
  library: Library,
  client: ProviderClient,
  { issuer, discoveryUrl }: OidcOptions,
): Promise<OpenId.Configuration> {
  const metadata = await discoveryOf(issuer, discoveryUrl);
  const methods = metadata.token_endpoint_auth_methods_supported;
  // RFC 8414: without the list it is Basic.
  const authentication =
    methods?.includes("client_secret_post") === true
      ? library.ClientSecretPost(client.secret)
      : library.ClientSecretBasic(client.secret);
  const config = new library.Configuration(metadata, client.clientId, undefined, authentication);
  return prepared(library, config, metadata.token_endpoint ?? issuer);
}

/** A provider's discovery document. Throws when it cannot be fetched or is of another issuer. */
export async function discoveryOf(issuer: string, discoveryUrl?: string): Promise<OpenId.ServerMetadata> {
  const url = discoveryUrl ?? `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const known = documents.get(url);
  if (known && Date.now() < known.until) return known.metadata;
  const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  const metadata = (await answer.json()) as OpenId.ServerMetadata;
  if (metadata.issuer.replace(/\/$/, "") !== issuer.replace(/\/$/, ""))
    throw new Error(
      `issuer did not match the issuer returned by provider, expected "${issuer}" got "${metadata.issuer}"`,
    );
  documents.set(url, { metadata, until: Date.now() + HOUR });
  return metadata;
}

/** A provider without TLS is the operator's own, as in a test or in a private network: config.toml names it. */
function prepared(library: Library, config: OpenId.Configuration, url: string): OpenId.Configuration {
  config.timeout = TIMEOUT_SECONDS;
  if (new URL(url).protocol === "http:") library.allowInsecureRequests(config);
  return config;
}

/** The profile that a provider's own fields make. */
export const profileOf = (
  emails: ProviderProfile["emails"],
  fields: Record<string, unknown>,
): ProviderProfile => ({
  emails,
  metadata: metadataOf(fields),
});
