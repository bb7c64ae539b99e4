// Adapts supabase-js requests that @supabase/lite does not understand.

import type { FetchHandler } from "../gateway/in-process.ts";
import { type AuthAnswersOptions, withHostedAnswers } from "./auth-answers.ts";
import { listAsHosted } from "./listing.ts";
import { withOutcome } from "./outcome.ts";
import { isUpload } from "./paths.ts";
import type { Spool } from "./spool.ts";
import { withRfcTimes } from "./times.ts";
import { uploadWithinLimits } from "./uploads.ts";

/**
 * Makes up for what lite does not know of the requests that supabase-js makes of hosted Auth and Storage.
 * Forms, and bodies whose length is not known, wait in the spool.
 */
export function withHostedForms(
  handler: FetchHandler,
  spool: Spool,
  accounts: AuthAnswersOptions,
): FetchHandler {
  const answer = withHostedAnswers(handler, accounts);
  const auth: FetchHandler = async (request) => {
    if (request.method !== "POST" || new URL(request.url).pathname !== "/auth/v1/verify")
      return await withRfcTimes(await answer(request));
    const body = emailAsMagicLink(await request.text());
    return await withRfcTimes(await answer(new Request(request, { body })));
  };
  const storage = withOutcome(async (request) => {
    const { pathname } = new URL(request.url);
    if (isUpload(request.method, pathname)) return await uploadWithinLimits(handler, request, spool);
    if (request.method === "POST" && pathname.startsWith("/storage/v1/object/list/")) {
      return await listAsHosted(handler, request);
    }
    const signing = request.method === "POST" && /^\/storage\/v1\/object\/(upload\/)?sign\//.exec(pathname);
    if (signing) return await withSignedUrls(await handler(request), signing[1] ? "url" : "signedURL");
    return await handler(request);
  });
  return async (request) =>
    await (new URL(request.url).pathname.startsWith("/auth/v1/") ? auth : storage)(request);
}

/**
 * `POST /verify` with type `email` is the form that supabase-js documents for codes; lite looks in the same places for
 * type `magiclink`.
 */
function emailAsMagicLink(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    const isEmail = typeof body === "object" && body !== null && "type" in body && body.type === "email";
    return isEmail ? JSON.stringify({ ...body, type: "magiclink" }) : text;
  } catch {
    return text; // auth itself says what is wrong with it
  }
}

/** Hosted names signed links `signedURL`, those for uploads `url`, and begins them after `/storage/v1`. */
async function withSignedUrls(response: Response, name: "signedURL" | "url"): Promise<Response> {
  if (!response.ok) return response;
  const rename = ({ signedUrl, ...rest }: Record<string, unknown>) => ({
    ...rest,
    [name]: typeof signedUrl === "string" ? signedUrl.replace(/^\/storage\/v1/, "") || null : null,
  });
  const body = (await response.json()) as Record<string, unknown> | Record<string, unknown>[];
  return Response.json(Array.isArray(body) ? body.map(rename) : rename(body));
}
