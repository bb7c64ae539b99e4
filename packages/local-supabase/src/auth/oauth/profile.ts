// What a provider says of a person, in the fields that an identity keeps.

/** An address of the person; the primary one becomes the account's. */
export interface ProviderEmail {
  email: string;
  verified: boolean;
  primary: boolean;
}

/** A person as a provider describes them. */
export interface ProviderProfile {
  emails: ProviderEmail[];
  /** What becomes `identity_data`; `sub` is the person's id at the provider. */
  metadata: { sub: string } & Record<string, unknown>;
}

type Claims = Readonly<Record<string, unknown>>;

/** The claims that an identity keeps of an id token, by their kinds; others are left out. */
const TEXTS = [
  "iss",
  "sub",
  "name",
  "family_name",
  "given_name",
  "middle_name",
  "nickname",
  "preferred_username",
  "profile",
  "picture",
  "website",
  "gender",
  "birthdate",
  "zoneinfo",
  "locale",
  "email",
  "phone",
  "full_name",
  "avatar_url",
  "slug",
  "provider_id",
  "user_name",
] as const;
const NUMBERS = ["iat", "exp"] as const;

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const isTrue = (value: unknown): boolean =>
  value === true || value === "true" || value === "1" || value === 1;

/** Leaves out empty fields; the two flags always stand. */
export function metadataOf(fields: Claims): ProviderProfile["metadata"] {
  const kept = Object.entries(fields).filter(
    ([, value]) => value !== undefined && value !== null && value !== "" && value !== 0 && !isEmpty(value),
  );
  return {
    sub: "",
    ...Object.fromEntries(kept),
    email_verified: isTrue(fields.email_verified),
    phone_verified: isTrue(fields.phone_verified),
  };
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** The profile of an id token's or of a userinfo endpoint's claims; some issuers word things their own way. */
export function profileOfClaims(claims: Claims): ProviderProfile {
  const issuer = textOf(claims.iss);
  const email = textOf(claims.email);
  const sub = textOf(claims.sub);
  const person = (verified: boolean, fields: Claims): ProviderProfile => ({
    emails: email === "" ? [] : [{ email, verified, primary: true }],
    metadata: metadataOf({ iss: issuer, sub, ...fields }),
  });
  if (issuer === "https://accounts.google.com")
    return person(isTrue(claims.email_verified), {
      name: claims.name,
      picture: claims.picture,
      avatar_url: claims.picture,
      full_name: claims.name,
      provider_id: sub,
      custom_claims: textOf(claims.hd) === "" ? undefined : { hd: claims.hd },
    });
  if (issuer === "https://appleid.apple.com" || issuer === "https://account.apple.com")
    return person(true, {
      provider_id: sub,
      custom_claims: pick(claims, ["is_private_email", "auth_time", "transfer_sub"]),
    });
  if (/^https:\/\/login\.microsoftonline\.com\/[^/]+\/v2\.0\/?$/.test(issuer))
    return person(claims.xms_edov === undefined || isTrue(claims.xms_edov), {
      provider_id: sub,
      preferred_username: claims.preferred_username,
      full_name: claims.name,
      custom_claims: without(claims, AZURE_OWN),
    });
  if (issuer === "https://www.linkedin.com/oauth")
    return person(isTrue(claims.email_verified), {
      name: `${textOf(claims.given_name)} ${textOf(claims.family_name)}`.trim(),
      ...pick(claims, ["given_name", "family_name", "locale", "picture"]),
      provider_id: sub,
    });
  const kept: Record<string, unknown> = {};
  for (const name of TEXTS) if (typeof claims[name] === "string") kept[name] = claims[name];
  for (const name of NUMBERS) if (typeof claims[name] === "number") kept[name] = claims[name];
  if (claims.aud !== undefined) kept.aud = [claims.aud].flat();
  return person(isTrue(claims.email_verified), {
    ...kept,
    email_verified: claims.email_verified,
    phone_verified: claims.phone_verified,
    custom_claims: claims.custom_claims,
  });
}

/** Claims of Azure that say nothing of the person. */
const AZURE_OWN = new Set(
  "aud iss iat nbf exp c_hash at_hash aio nonce rh uti jti ver sub name preferred_username".split(" "),
);

function pick(claims: Claims, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    names.filter((name) => claims[name] !== undefined).map((name) => [name, claims[name]]),
  );
}

function without(claims: Claims, names: ReadonlySet<string>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !names.has(name)));
}

/** The same profile with the address that an account would have, as an identity keeps it. */
export function withPrimaryEmail({ emails, metadata }: ProviderProfile): ProviderProfile {
  const primary = emails.find((each) => each.primary) ?? emails.at(-1);
  return {
    emails,
    metadata: {
      ...metadata,
      ...(primary ? { email: primary.email } : {}),
      email_verified: primary?.verified ?? false,
    },
  };
}
