// Takes secrets out of what a trace keeps, and cuts it. Pure.
import { secretSpellings } from "../spellings.ts";
import { withoutNamedSecrets, withoutSecretParts } from "./secrets/named-secrets.ts";

/** As many bytes as the database keeps of one text (private.step_limit). */
const MAX_BYTES = 4_000;
/** Longer texts are cut before they are looked through: what is kept is far shorter. */
const MOST_READ = 100_000;
/** Shorter ones are no secrets, and would blot out ordinary words. */
const SHORTEST = 4;
/** What is a key by its form: those of models, GitHub, Slack and AWS, tokens of JSON (JWT), private keys in PEM. */
const KEYS =
  /\b(?:AIza[\w-]{16,}|(?:sk|key|Bearer)[-_ ][\w*.-]{16,}|(?:gh[opsur]|github_pat)_\w{20,}|xox[abeprs]-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}\b|eyJ[\w-]{10,500}\.[\w-]{2,4000}\.[\w-]*)|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g;

/** A text without the secrets, in any spelling, and without what a database rejects; cut. */
export function redactText(text: string, secrets: readonly string[] = []): string {
  return cut(blanked(text, secrets), MAX_BYTES);
}

/** A text without the secrets, in any spelling. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret.length < SHORTEST) continue;
    for (const spelling of secretSpellings(secret)) clean = clean.replaceAll(spelling, "[secret]");
  }
  return clean;
}

/** Arguments without the secrets, and without the values of arguments that are named like one; cut. */
export function redactArguments(given: unknown, secrets: readonly string[] = []): Record<string, unknown> {
  const named =
    typeof given === "object" && given !== null && !Array.isArray(given) ? given : { input: given };
  let text = "";
  for (const longest of [1_000, 200, 40]) {
    const clean = clone(named, longest, secrets, 0, { left: MAX_BYTES }) as Record<string, unknown>;
    text = JSON.stringify(clean);
    if (Buffer.byteLength(text) <= MAX_BYTES) return clean;
  }
  return { cut: cut(text, MAX_BYTES / 4) };
}

/** `parts`: how many more are looked at; what is kept has no room for others. */
function clone(
  value: unknown,
  longest: number,
  secrets: readonly string[],
  depth: number,
  parts: { left: number },
): unknown {
  parts.left -= 1;
  if (parts.left < 0) return "…";
  if (typeof value === "string") return cut(blanked(value, secrets), longest);
  if (typeof value !== "object" || value === null) return value;
  if (depth > 8) return "…";
  return withoutSecretParts(
    value,
    (part) => clone(part, longest, secrets, depth + 1, parts),
    (name) => (parts.left < 0 ? "…" : cut(blanked(name, secrets), 100)),
  );
}

function blanked(text: string, secrets: readonly string[]): string {
  // Keys first: a name would blank the first line of a private key alone.
  return withoutNamedSecrets(withoutSecrets(text.slice(0, MOST_READ), secrets).replaceAll(KEYS, "[secret]"))
    .replaceAll("\0", "")
    .toWellFormed();
}

/** At most so many bytes of a text, at a character's end. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const part = Buffer.from(text)
    .subarray(0, bytes - 3)
    .toString("utf8");
  return `${part.replace(/\ufffd+$/, "")}…`;
}
