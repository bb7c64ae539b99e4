/** Signature 4 of AWS: what a client signed, and whether this project's key made it. */
import { createHmac, hash, timingSafeEqual } from "node:crypto";
import type { Call } from "../call.ts";
import { headerOf } from "../call.ts";
import { failures } from "../errors.ts";

/** A signature as a request carries it. */
export interface Signed {
  accessKey: string;
  /** `<date>/<region>/<service>/aws4_request`. */
  scope: string;
  /** `20261201T101500Z`. */
  date: string;
  headers: string[];
  signature: string;
  sessionToken?: string;
  /** What the signature says of the body: its hash, or how it comes. */
  payload: string;
}

export const UNSIGNED = "UNSIGNED-PAYLOAD";
const EMPTY_HASH = hash("sha256", "", "hex");

/** The signature of a request, from its header or its address. Throws where there is none, or it has ended. */
export function signedOf(call: Call): Signed {
  const authorization = headerOf(call, "authorization");
  const signed = authorization?.startsWith("AWS4-HMAC-SHA256 ")
    ? ofHeader(call, authorization)
    : ofQuery(call);
  mustCover(call, signed);
  return signed;
}

/** Headers that need no place in the list: the signature holds them anyway, or they say nothing of the operation. */
const COVERED = new Set(["x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-user-agent"]);

/** A header that changes what a request does must be signed: else a link for an upload is one for a copy of anything. */
function mustCover({ request }: Call, { headers }: Signed): void {
  const names = new Set(headers.map((name) => name.toLowerCase()));
  const open = Object.keys(request.headers).find(
    (name) => name.startsWith("x-amz-") && !COVERED.has(name) && !names.has(name),
  );
  if (open !== undefined)
    throw failures.accessDenied(`There were headers present in the request which were not signed: ${open}`);
}

/** When a request was signed, in milliseconds; NaN for another text. */
const timeOf = (date: string): number =>
  Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));

/** By how much the clocks of client and server may differ. */
const MOST_SKEW_MS = 15 * 60_000;
/** How long a link may work. */
const LONGEST_LINK_SECONDS = 7 * 24 * 60 * 60;

function ofHeader(call: Call, authorization: string): Signed {
  const fields = new Map(
    authorization
      .slice("AWS4-HMAC-SHA256 ".length)
      .split(",")
      .map((part) => {
        const at = part.indexOf("=");
        return [part.slice(0, at).trim(), part.slice(at + 1).trim()];
      }),
  );
  const sessionToken = headerOf(call, "x-amz-security-token");
  const date = needed(headerOf(call, "x-amz-date"));
  if (!(Math.abs(Date.now() - timeOf(date)) <= MOST_SKEW_MS))
    throw failures.accessDenied(
      "The difference between the request time and the server's time is too large.",
    );
  return {
    ...credentialOf(fields.get("Credential")),
    date,
    headers: needed(fields.get("SignedHeaders")).split(";"),
    signature: needed(fields.get("Signature")),
    payload: headerOf(call, "x-amz-content-sha256") ?? UNSIGNED,
    ...(sessionToken === undefined ? {} : { sessionToken }),
  };
}

function ofQuery({ query }: Call): Signed {
  if (!query.has("X-Amz-Credential")) throw failures.accessDenied("Missing signature");
  const sessionToken = query.get("X-Amz-Security-Token");
  const date = needed(query.get("X-Amz-Date"));
  const seconds = query.get("X-Amz-Expires");
  const began = timeOf(date);
  if (!/^\d+$/.test(seconds ?? "") || Number(seconds) > LONGEST_LINK_SECONDS || Number.isNaN(began))
    throw failures.invalidSignature("Invalid expiration");
  if (began > Date.now() + MOST_SKEW_MS) throw failures.accessDenied("Request is not valid yet");
  if (began + Number(seconds) * 1000 < Date.now()) throw failures.expiredToken();
  return {
    ...credentialOf(query.get("X-Amz-Credential")),
    date,
    headers: needed(query.get("X-Amz-SignedHeaders")).split(";"),
    signature: needed(query.get("X-Amz-Signature")),
    payload: query.get("X-Amz-Content-Sha256") ?? UNSIGNED,
    ...(sessionToken === null ? {} : { sessionToken }),
  };
}

function credentialOf(text: string | null | undefined): Pick<Signed, "accessKey" | "scope"> {
  const [accessKey = "", ...scope] = needed(text).split("/");
  if (scope.length !== 4) throw failures.invalidSignature("Invalid credentials");
  if (scope[2] !== "s3") throw failures.accessDenied("Invalid Service");
  return { accessKey, scope: scope.join("/") };
}

function needed(text: string | null | undefined): string {
  if (!text) throw failures.invalidSignature("Invalid signature format");
  return text;
}

/** Whether `secret` signed this request. The address is taken as it was sent, with its own spelling. */
export function isGenuine(call: Call, signed: Signed, secret: string): boolean {
  const [path = "", search = ""] = (call.request.url ?? "").split("?", 2);
  const query = [...new URLSearchParams(search)]
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => [encoded(name), encoded(value)] as const)
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
  const names = [...signed.headers].sort();
  const headers = names.map((name) => {
    const value = headerOf(call, name) ?? (name === "content-length" ? "0" : "");
    return `${name}:${value.trim().replace(/ +/g, " ")}\n`;
  });
  const canonical = [call.method, path, query, headers.join(""), names.join(";"), signed.payload].join("\n");
  const text = ["AWS4-HMAC-SHA256", signed.date, signed.scope, hash("sha256", canonical, "hex")].join("\n");
  return isHmac(keyOf(secret, signed.scope), text, signed.signature);
}

/** Whether a chunk of a streamed body, or what follows its last one, was signed after `previous`. */
export function isChunkGenuine(
  signed: Signed,
  secret: string,
  chunk: { kind: "PAYLOAD" | "TRAILER"; previous: string; hash: string; signature: string },
): boolean {
  const head = [`AWS4-HMAC-SHA256-${chunk.kind}`, signed.date, signed.scope, chunk.previous];
  const text = [...head, ...(chunk.kind === "PAYLOAD" ? [EMPTY_HASH] : []), chunk.hash].join("\n");
  return isHmac(keyOf(secret, signed.scope), text, chunk.signature);
}

function keyOf(secret: string, scope: string): Buffer {
  return scope
    .split("/")
    .reduce<Buffer>(
      (key, part) => createHmac("sha256", key).update(part).digest(),
      Buffer.from(`AWS4${secret}`),
    );
}

function isHmac(key: Buffer, text: string, given: string): boolean {
  const expected = createHmac("sha256", key).update(text).digest();
  const bytes = Buffer.from(given, "hex");
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}

/** As AWS encodes: all but letters, digits and `-._~`. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
