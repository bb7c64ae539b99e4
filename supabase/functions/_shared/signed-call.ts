/** Judges the calls that the database makes: a POST of a few bytes, signed with the secret that Vault holds too. */
import { isGenuine } from "../../../packages/agent-runtime/src/signature.ts";
import { readBytes } from "./body.ts";

const MAX_BODY_BYTES = 64 * 1024;

/** A call's bytes, or the answer that refuses it. */
export type Judged = { readonly body: Uint8Array } | { readonly refused: Response };

/** An answer in the form of the API's errors. */
export const refuse = (status: number, code: string, message: string): Response =>
  Response.json({ error: { code, message } }, { status });

/**
 * Reads a call without judging whose it is.
 * @param request the call
 */
export async function readCall(request: Request): Promise<Judged> {
  if (request.method !== "POST") return { refused: refuse(405, "METHOD_NOT_ALLOWED", "Send a POST.") };
  const body = await readBytes(request, MAX_BODY_BYTES);
  if (body === undefined) return { refused: refuse(413, "PAYLOAD_TOO_LARGE", "The body is too large.") };
  return { body };
}

/**
 * Reads a call of the database.
 * @param request the call
 * @param secret LAUNCHPAD_RESPOND_SECRET; without one every call is refused
 */
export async function readSignedCall(request: Request, secret: string | undefined): Promise<Judged> {
  if (secret === undefined || secret === "") {
    return { refused: refuse(503, "INTERNAL_ERROR", "LAUNCHPAD_RESPOND_SECRET is not set.") };
  }
  const read = await readCall(request);
  if ("refused" in read || isGenuine(secret, request.headers, read.body, Date.now())) return read;
  return { refused: refuse(401, "INVALID_JWT_TOKEN", "The signature is missing or wrong.") };
}
