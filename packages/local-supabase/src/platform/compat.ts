// Adapts supabase-js requests that @supabase/lite does not understand.

import type { FetchHandler } from "../gateway/in-process.ts";
import { type AuthAnswersOptions, withHostedAnswers } from "./auth-answers.ts";
import { withRfcTimes } from "./times.ts";

/** Makes up for what lite does not know of the requests that supabase-js makes of hosted Auth. */
export function withHostedForms(handler: FetchHandler, accounts: AuthAnswersOptions): FetchHandler {
  const answer = withHostedAnswers(handler, accounts);
  return async (request) => {
    if (request.method !== "POST" || new URL(request.url).pathname !== "/auth/v1/verify")
      return await withRfcTimes(await answer(request));
    const body = emailAsMagicLink(await request.text());
    return await withRfcTimes(await answer(new Request(request, { body })));
  };
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
