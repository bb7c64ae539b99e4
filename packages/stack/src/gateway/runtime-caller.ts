// Knows the runtime of an agent, which calls without a user: visitors must not stand in its way.

import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { StackKeys } from "@agent-launchpad/local-supabase/keys.ts";
import { runtimeCredential } from "../secrets.ts";

/**
 * Whose share a request without a user takes.
 * @returns `agent <id>` where the header x-launchpad-runtime, `<id>.<credential>`, proves that agent's runtime
 */
export function runtimeCaller(
  request: Pick<IncomingMessage, "headers">,
  keys: Pick<StackKeys, "webhookSecret">,
): string | undefined {
  const header = String(request.headers["x-launchpad-runtime"] ?? "");
  const [, agentId, given] = /^([a-z0-9-]{1,63})\.([0-9a-f]{64})$/.exec(header) ?? [];
  if (agentId === undefined || given === undefined) return undefined;
  const expected = runtimeCredential(keys, agentId);
  return timingSafeEqual(Buffer.from(given), Buffer.from(expected)) ? `agent ${agentId}` : undefined;
}
