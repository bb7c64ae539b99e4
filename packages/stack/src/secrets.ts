// The secrets that follow from the webhook's, so that a data folder keeps no others.

import { createHmac } from "node:crypto";
import type { StackKeys } from "@agent-launchpad/local-supabase/keys.ts";

/** Signs the database's calls of the function `respond`; made from the webhook's secret, which never leaves this machine. */
export function respondSecret({ webhookSecret }: Pick<StackKeys, "webhookSecret">): string {
  return createHmac("sha256", webhookSecret).update("respond").digest("base64url");
}

/**
 * What proves the runtime of one agent, as the database derives it too (private.check_runtime): the gateway knows by it whose
 * share of the database a runtime's anonymous call takes.
 */
export function runtimeCredential(keys: Pick<StackKeys, "webhookSecret">, agentId: string): string {
  const messageKey = createHmac("sha256", respondSecret(keys)).update(`messages of ${agentId}`).digest("hex");
  return createHmac("sha256", messageKey).update("runtime").digest("hex");
}
