// Answers POST /auth/v1/authorize, a form that hosted Supabase lacks.

import type { ServerResponse } from "node:http";
import type { FetchHandler } from "./in-process.ts";
import { sendJson } from "./replies.ts";

/**
 * `POST /auth/v1/authorize {provider, redirect_to}` → `{provider, url}`. Hosted Supabase only has the GET form, which
 * redirects the browser; this asks the same question of auth and returns the address to open.
 */
export async function authorizeByPost(
  response: ServerResponse,
  handler: FetchHandler,
  { origin, fields }: { origin: string; fields: Record<string, unknown> },
): Promise<void> {
  const { provider } = fields;
  if (typeof provider !== "string" || provider === "") {
    sendJson(response, 400, {
      code: 400,
      error_code: "validation_failed",
      msg: "Field provider is required",
    });
    return;
  }
  const url = new URL("/auth/v1/authorize", origin);
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === "string") url.searchParams.set(name, value);
  }
  const answer = await handler(new Request(url, { redirect: "manual" }));
  const location = answer.headers.get("location");
  if (location) sendJson(response, 200, { provider, url: location });
  else
    sendJson(
      response,
      answer.status,
      await answer.json().catch(() => ({ code: answer.status, msg: "Not possible" })),
    );
}
