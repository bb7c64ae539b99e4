/**
 * The one reading of a request to Auth: what it does, for which address, and the body that Auth gets. The lockout and the
 * limit of auth requests judge by it, and Auth reads the same: the body is passed on as it was understood here.
 */
import { readJson } from "./bodies/read.ts";
import { type Fault, paramsOf } from "./target.ts";

export interface AuthRequest {
  /** What follows `/auth/v1/`. */
  action: string;
  /** `?grant_type=` of `token`. */
  grant?: string;
  /** As Auth stores it: lower case, without spaces around it. */
  email?: string;
  /** The parsed body of a JSON request. */
  fields?: Record<string, unknown>;
  /** What Auth gets as its body. */
  body?: string | Buffer;
}

/** A refusal in Auth's own form; `code` is its error_code. */
export type AuthFault = Fault & { code: string };

/** Requests that act on an e-mail address: each guesses a password or a code, or sends a mail. */
const COUNTED = new Set(["signup", "token", "otp", "magiclink", "recover", "resend", "verify"]);
const TEXTS = [
  "email",
  "phone",
  "password",
  "current_password",
  "token",
  "token_hash",
  "type",
  "channel",
  "nonce",
  "provider",
  "refresh_token",
  "access_token",
  "id_token",
  "auth_code",
  "code_verifier",
  "code_challenge",
  "code_challenge_method",
  "redirect_to",
] as const;
const OBJECTS = ["data", "app_metadata", "user_metadata", "gotrue_meta_security", "options"] as const;
const KNOWN = new Set<string>([...TEXTS, ...OBJECTS]);
const LONGEST_EMAIL = 320;

/** Whether a request guesses a password or a code, or sends a mail. */
export const isCounted = (method: string, { action }: Pick<AuthRequest, "action">): boolean =>
  method === "POST" && COUNTED.has(action);

/** Whether a request checks a password. */
export const isPasswordSignIn = (method: string, { action, grant }: AuthRequest): boolean =>
  method === "POST" && action === "token" && grant === "password";

/**
 * Reads a request to Auth.
 * @param target the canonical path and query
 * @param bytes the whole body
 */
export function readAuthRequest(
  method: string,
  target: string,
  contentType: string | undefined,
  bytes: Buffer,
): AuthRequest | AuthFault {
  const [path = "", search = ""] = target.split("?", 2);
  const action = path.replace(/^\/auth\/v1\/?/, "").replace(/\/$/, "");
  const params = paramsOf({ search: `?${search}` });
  const names = [...params.keys()];
  if (new Set(names).size < names.length)
    return invalid("query", "A parameter comes more than once", "Send each parameter once.");
  const grant = params.get("grant_type") ?? undefined;
  const asked: AuthRequest = { action, ...(grant === undefined ? {} : { grant }) };
  // A provider's form, posted by a browser: no address and no password is in it.
  if (action === "callback") return bytes.length === 0 ? asked : { ...asked, body: bytes };
  if (bytes.length === 0) return isCounted(method, asked) ? requirements(asked, {}) : asked;
  if (/^\s*(multipart\/|application\/x-www-form-urlencoded)/i.test(contentType ?? ""))
    return { ...badJson("The body is a form"), cure: "Send JSON with Content-Type: application/json." };
  const read = readJson(bytes);
  if ("cure" in read)
    return { ...read, code: "bad_json", message: `Could not parse request body as JSON: ${read.message}` };
  if (typeof read.value !== "object" || read.value === null || Array.isArray(read.value))
    return badJson("The body must be a JSON object");
  const fields = withoutNulls(read.value as Record<string, unknown>);
  const wrong = problemOf(fields);
  if (wrong) return wrong;
  if (typeof fields.email === "string") {
    const email = fields.email.trim().toLowerCase();
    if (email.length > LONGEST_EMAIL)
      return invalid("email", `email is longer than ${LONGEST_EMAIL} characters`, "Send a shorter address.");
    if (email === "") delete fields.email;
    else fields.email = asked.email = email;
  }
  const known = { ...asked, fields, body: JSON.stringify(fields) };
  return isCounted(method, asked) ? requirements(known, fields) : known;
}

/** A guess without an address that can be counted is no sign-in. */
function requirements(asked: AuthRequest, fields: Record<string, unknown>): AuthRequest | AuthFault {
  const { action, grant, email } = asked;
  if (email !== undefined) return asked;
  if (typeof fields.phone === "string" && fields.phone !== "" && (action !== "token" || grant === "password"))
    return {
      code: "phone_provider_disabled",
      field: "phone",
      message: "Phone logins are disabled",
      cure: "Use an e-mail address.",
    };
  const needsEmail =
    (action === "token" && grant === "password") ||
    ["otp", "magiclink", "recover", "resend"].includes(action) ||
    (action === "verify" && (typeof fields.token_hash !== "string" || typeof fields.token === "string"));
  if (!needsEmail) return asked;
  if (action === "token") return invalid("email", "missing email or phone", "Send email and password.");
  return invalid("email", "An email address is required", 'Send {"email": "…"} as a string.');
}

function problemOf(fields: Record<string, unknown>): AuthFault | undefined {
  for (const name of Object.keys(fields)) {
    const folded = name.toUpperCase().toLowerCase();
    // Auth in other languages reads names without regard to case.
    if (!KNOWN.has(name) && KNOWN.has(folded))
      return invalid(name, `Unknown field ${name}`, `Write it as ${folded}.`);
  }
  for (const name of TEXTS) {
    const value = fields[name];
    if (value !== undefined && typeof value !== "string")
      return invalid(name, `${name} must be a string`, "Send text.");
  }
  for (const name of OBJECTS) {
    const value = fields[name];
    if (value !== undefined && (typeof value !== "object" || Array.isArray(value)))
      return invalid(name, `${name} must be an object`, "Send a JSON object.");
  }
  return undefined;
}

function withoutNulls(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

const invalid = (field: string, message: string, cure: string): AuthFault => ({
  code: "validation_failed",
  field,
  message,
  cure,
});

const badJson = (message: string): AuthFault => ({
  code: "bad_json",
  field: "body",
  message: `Could not parse request body as JSON: ${message}`,
  cure: "Send a JSON object.",
});
