// Answers of Auth that do not tell which addresses have an account, by their words or by their time.

import { setTimeout as sleep } from "node:timers/promises";
import type { FetchHandler } from "../gateway/in-process.ts";

/** Such answers leave at multiples of this; the work takes 5 to 120 ms. */
const STEP_MS = 250;

/** Requests that act on an address and answer the same for every address. */
const MAILS = new Set(["/otp", "/magiclink", "/recover", "/resend"]);

/** Refusals that only an address with an account, or one without, can meet. */
const TELLING = new Set(["otp_disabled", "over_email_send_rate_limit", "email_exists"]);

/** Takes Auth's own handler; gives one that answers every address alike. */
export function withoutTraces(
  handler: FetchHandler,
  now: () => number = performance.now.bind(performance),
): FetchHandler {
  return async (request) => {
    const path = new URL(request.url).pathname.replace(/^\/auth\/v1/, "");
    if (request.method !== "POST" || !MAILS.has(path)) return await handler(request);
    const began = now();
    const answer = await handler(request);
    await sleep(STEP_MS - ((now() - began) % STEP_MS));
    return TELLING.has(answer.headers.get("x-sb-error-code") ?? "") ? Response.json({}) : answer;
  };
}
