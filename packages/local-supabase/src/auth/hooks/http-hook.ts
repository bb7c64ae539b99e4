// Calls a hook over HTTP, signed as Standard Webhooks has it.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Webhook } from "standardwebhooks";
import { AuthError, badRequest, internal, unprocessable } from "../errors.ts";

export interface HttpHook {
  url: string;
  /** `v1,whsec_…`; each signs. */
  secrets: readonly string[];
}

export interface HttpHookLimits {
  timeoutMs: number;
  backoffMs: number;
  tries: number;
  mostBytes: number;
}

/** Those of supabase/auth. */
const LIMITS: HttpHookLimits = { timeoutMs: 5000, backoffMs: 2000, tries: 3, mostBytes: 200 * 1024 };

/**
 * Sends `payload` and returns the JSON text that the hook answers, or undefined for an empty answer (204).
 * Repeats while the hook cannot be reached, or asks for it (429 and 503 with `retry-after`), within the time limit.
 * Throws an AuthError in supabase/auth's words.
 */
export async function callHttpHook(
  hook: HttpHook,
  payload: string,
  limits: HttpHookLimits = LIMITS,
): Promise<string | undefined> {
  const deadline = AbortSignal.timeout(limits.timeoutMs);
  const late = () =>
    unprocessable(
      "hook_timeout",
      `Failed to reach hook within maximum time of ${(limits.timeoutMs / 1000).toFixed(6)} seconds`,
    );
  for (let attempt = 1; attempt <= limits.tries; attempt++) {
    let answer: Response;
    try {
      answer = await fetch(hook.url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "accept-encoding": "identity",
          ...signed(hook, payload),
        },
        body: payload,
        redirect: "manual",
        signal: deadline,
      });
    } catch (error) {
      if (error instanceof AuthError) throw error;
      if (deadline.aborted) throw late();
      if (attempt === limits.tries)
        throw unprocessable("hook_timeout_after_retry", "Failed to reach hook after maximum retries");
      await sleep(limits.backoffMs, undefined, { signal: deadline }).catch(() => {
        throw late();
      });
      continue;
    }
    const busy = answer.status === 429 || answer.status === 503;
    if (busy && answer.headers.has("retry-after")) {
      await answer.body?.cancel();
      continue;
    }
    try {
      return await read(answer, limits.mostBytes);
    } catch (error) {
      if (deadline.aborted) throw late();
      throw error;
    } finally {
      if (!answer.bodyUsed) await answer.body?.cancel().catch(() => undefined);
    }
  }
  throw internal("Service currently unavailable due to hook");
}

function signed({ secrets }: HttpHook, payload: string): Record<string, string> {
  const id = randomUUID();
  const now = new Date();
  const signatures = secrets.map((secret) => {
    if (!secret.startsWith("v1,")) throw internal("Error generating signatures: invalid signature format");
    return new Webhook(secret.slice(3)).sign(id, now, payload);
  });
  return {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
    "webhook-signature": signatures.join(", "),
  };
}

async function read(answer: Response, mostBytes: number): Promise<string | undefined> {
  switch (answer.status) {
    case 204:
      return undefined;
    case 200:
    case 202:
      break;
    case 429:
    case 503:
      throw internal("Service currently unavailable due to hook");
    case 400:
      throw internal("Invalid payload sent to hook");
    case 401:
      throw internal("Hook requires authorization token");
    default:
      throw internal(`Unexpected status code returned from hook: ${answer.status}`);
  }
  const type = answer.headers.get("content-type");
  const invalid = "hook_payload_invalid_content_type";
  if (!type) throw badRequest(invalid, "Invalid Content-Type: Missing Content-Type header");
  if (type.split(";")[0]?.trim().toLowerCase() !== "application/json")
    throw badRequest(invalid, `Invalid JSON response. Received content-type: ${type}`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.length;
    if (size > mostBytes)
      throw unprocessable(
        "hook_payload_over_size_limit",
        `Payload size exceeded size limit of ${mostBytes} bytes`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
