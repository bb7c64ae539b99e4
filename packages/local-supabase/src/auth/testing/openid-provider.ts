// A real OpenID Connect provider for tests (the library oidc-provider), which signs in at once whom `login_hint` names.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";

/** Somebody with an account at the provider. */
export interface Person {
  email?: string;
  email_verified?: boolean;
  name?: string;
  picture?: string;
  /** GitHub's and Discord's own fields of a user. */
  api?: Record<string, unknown>;
}

export interface OpenIdProvider {
  issuer: string;
  clientId: string;
  secret: string;
  /** Follows redirects of the provider, as a browser would, until one leads to another host; returns that address. */
  signIn(authorizationUrl: URL | string, person: string): Promise<URL>;
  close(): Promise<void>;
}

/** Keys as tests may use them as well: to sign tokens of their own in the provider's name. */
export const signingKey = {
  ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }),
  kid: "provider-key",
  alg: "RS256",
  use: "sig",
};

/**
 * Starts a provider.
 * @param people by their ids
 * @param redirectUris where browsers may be sent back to
 * @param routes other addresses of its endpoints, as GitHub and Discord have them
 */
export async function startOpenIdProvider(
  people: Readonly<Record<string, Person>>,
  redirectUris: readonly string[],
  routes: { authorization?: string; token?: string } = {},
): Promise<OpenIdProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [clientId, secret] = ["the-app", "the-apps-secret-at-the-provider"];
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: secret,
        redirect_uris: [...redirectUris],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    jwks: { keys: [signingKey] },
    cookies: { keys: ["a key of the test"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "picture"] },
    conformIdTokenClaims: false,
    // The usual names of scopes at GitHub and Discord as well.
    scopes: ["openid", "offline_access", "user:email", "identify", "read:org"],
    pkce: { required: () => false },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    routes: {
      ...(routes.authorization ? { authorization: routes.authorization } : {}),
      ...(routes.token ? { token: routes.token } : {}),
    },
    async findAccount(_, sub) {
      const person = people[sub];
      if (!person) return undefined;
      const { api: _api, ...claims } = person;
      return { accountId: sub, claims: async () => ({ sub, ...claims }) };
    },
  });
  provider.use(async (ctx, next) => {
    if (ctx.path.startsWith("/interaction/")) {
      const { params, prompt } = await provider.interactionDetails(ctx.req, ctx.res);
      const accountId = String(params.login_hint);
      if (!(accountId in people)) {
        const refused = { error: "access_denied", error_description: "The person said no" };
        return await provider.interactionFinished(ctx.req, ctx.res, refused, {
          mergeWithLastSubmission: false,
        });
      }
      const grant = new provider.Grant({ accountId, clientId });
      grant.addOIDCScope(String(params.scope));
      const grantId = await grant.save();
      const result =
        prompt.name === "login" ? { login: { accountId }, consent: { grantId } } : { consent: { grantId } };
      return await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
    }
    const bearer = /^Bearer (.+)$/.exec(ctx.get("authorization"))?.[1];
    if (bearer !== undefined && /^\/api\/(?:v3\/user(?:\/emails)?|users\/@me)$/.test(ctx.path)) {
      const token = await provider.AccessToken.find(bearer);
      const person = token ? people[token.accountId] : undefined;
      if (!person) {
        ctx.status = 401;
        return;
      }
      ctx.body = ctx.path.endsWith("/emails")
        ? [
            { email: `spare-${person.email}`, verified: true, primary: false },
            { email: person.email, verified: person.email_verified ?? false, primary: true },
          ]
        : { email: person.email, verified: person.email_verified, ...person.api };
      return;
    }
    return await next();
  });
  server.on("request", provider.callback());
  return {
    issuer,
    clientId,
    secret,
    async signIn(authorizationUrl, person) {
      let url = new URL(authorizationUrl);
      url.searchParams.set("login_hint", person);
      const cookies = new Map<string, string>();
      for (;;) {
        const answer = await fetch(url, {
          redirect: "manual",
          headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
        });
        for (const cookie of answer.headers.getSetCookie()) {
          const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
          if (name !== undefined) cookies.set(name, value ?? "");
        }
        const location = answer.headers.get("location");
        if (location === null)
          throw new Error(`${url.pathname} answered ${answer.status}: ${await answer.text()}`);
        await answer.body?.cancel();
        url = new URL(location, url);
        if (url.origin !== issuer) return url;
      }
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
