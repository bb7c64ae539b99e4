import type { IncomingMessage, ServerResponse } from "node:http";
import type { FetchHandler } from "./in-process.ts";
import { sendJson } from "./replies.ts";

/**
 * `POST /auth/v1/authorize {provider, redirect_to}` → `{provider, url}`. Hosted Supabase only has the GET form, which
 * redirects the browser; this asks the same question of auth and returns the address to open.
 */
export async function authorizeByPost(
  request: IncomingMessage,
  response: ServerResponse,
  handler: FetchHandler,
  target: { origin: string },
): Promise<void> {
  const body = await readJson(request);
  const provider = body?.provider;
  if (typeof provider !== "string" || provider === "") {
    sendJson(response, 400, {
      code: 400,
      error_code: "validation_failed",
      msg: "Field provider is required",
    });
    return;
  }
  const url = new URL("/auth/v1/authorize", target.origin);
  for (const [name, value] of Object.entries(body ?? {})) {
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

async function readJson(request: IncomingMessage): Promise<Record<string, unknown> | undefined> {
  let text = "";
  request.setEncoding("utf8");
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 16_384) return undefined;
  }
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
