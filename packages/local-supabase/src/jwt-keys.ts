// The keys that sign and verify JWTs: one secret, or a JWK set.

import {
  createHmac,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  timingSafeEqual,
  verify,
} from "node:crypto";
import { z } from "zod";

/** What every verifier of the stack is given, as PostgREST takes it: one secret (HS256), or a JWK set as JSON. */
export type JwtKeys = string;

/** The part of a JWT's header that chooses the key. */
export interface SignedBy {
  alg?: unknown;
  kid?: unknown;
}

interface Candidate {
  alg: string;
  kid: string | undefined;
  key: KeyObject;
}

const ALGORITHMS: Readonly<Record<string, string>> = { oct: "HS256", EC: "ES256", RSA: "RS256" };

/** What was parsed, by its text. A process knows one or two. */
const parsed = new Map<JwtKeys, readonly Candidate[]>();

/**
 * Whether one of `keys` made this signature. A token that names its key (`kid`) is checked by that one alone; HS256 tokens by
 * every secret, because old ones name none. Throws when `keys` begins like a JWK set and cannot be read.
 */
export function isSignedBy(
  keys: JwtKeys,
  header: SignedBy,
  { text, signature }: { text: string; signature: string },
): boolean {
  const given = Buffer.from(signature, "base64url");
  return candidatesOf(keys).some(
    ({ alg, kid, key }) =>
      alg === header.alg &&
      (alg === "HS256" || header.kid === undefined || kid === header.kid) &&
      isMadeBy(alg, key, text, given),
  );
}

/** Whether `keys` has a key for this header at all: what has none is refused in other words than a wrong signature. */
export function hasKeyFor(keys: JwtKeys, { alg, kid }: SignedBy): boolean {
  return candidatesOf(keys).some(
    (key) => key.alg === alg && (alg === "HS256" || kid === undefined || key.kid === kid),
  );
}

/** Compares an HMAC's bytes, as other programs do: the last character of a signature has several spellings. */
function isMadeBy(alg: string, key: KeyObject, text: string, given: Buffer): boolean {
  if (alg === "HS256") {
    const expected = createHmac("sha256", key).update(text).digest();
    return given.length === expected.length && timingSafeEqual(given, expected);
  }
  return verify("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }, given);
}

function candidatesOf(keys: JwtKeys): readonly Candidate[] {
  let candidates = parsed.get(keys);
  if (!candidates) {
    candidates = keys.startsWith("{")
      ? (JSON.parse(keys) as { keys: JsonWebKeyOfSet[] }).keys.flatMap(candidateOf)
      : [{ alg: "HS256", kid: undefined, key: createSecretKey(keys, "utf8") }];
    parsed.set(keys, candidates);
    if (parsed.size > 100) parsed.delete(parsed.keys().next().value!);
  }
  return candidates;
}

interface JsonWebKeyOfSet extends JsonWebKey {
  kid?: string;
}

function candidateOf(jwk: JsonWebKeyOfSet): Candidate[] {
  const alg = ALGORITHMS[jwk.kty ?? ""];
  if (alg === undefined || (jwk.alg !== undefined && jwk.alg !== alg)) return [];
  const key =
    jwk.kty === "oct"
      ? createSecretKey(Buffer.from(jwk.k ?? "", "base64url"))
      : createPublicKey({ key: { ...jwk }, format: "jwk" });
  return [{ alg, kid: jwk.kid, key }];
}

/** A private key as `supabase gen signing-key` writes it: EC on P-256 (ES256) or RSA (RS256). */
export const SigningKey = z.discriminatedUnion("kty", [
  z.looseObject({
    kty: z.literal("EC"),
    crv: z.literal("P-256"),
    alg: z.literal("ES256"),
    kid: z.string().min(1),
    x: z.string(),
    y: z.string(),
    d: z.string(),
  }),
  z.looseObject({
    kty: z.literal("RSA"),
    alg: z.literal("RS256"),
    kid: z.string().min(1),
    n: z.string(),
    e: z.string(),
    d: z.string(),
  }),
]);
export type SigningKey = z.infer<typeof SigningKey>;

/** A new ES256 key. */
export function generateSigningKey(): SigningKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return SigningKey.parse({ ...privateKey.export({ format: "jwk" }), alg: "ES256", kid: randomUUID() });
}

/** What everybody may see of a signing key, in the form of hosted's `/.well-known/jwks.json`. */
export function publicPart(key: SigningKey) {
  const common = { alg: key.alg, key_ops: ["verify"], use: "sig", ext: true, kid: key.kid };
  return key.kty === "EC"
    ? { ...common, kty: key.kty, crv: key.crv, x: key.x, y: key.y }
    : { ...common, kty: key.kty, n: key.n, e: key.e };
}
