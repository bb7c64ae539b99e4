// Passes requests to the agents' ingress.

import type { ExtensionRoute } from "@agent-launchpad/local-supabase/gateway/extension.ts";
import { proxy, type Upstream } from "@agent-launchpad/local-supabase/gateway/proxy.ts";
import { sendJson } from "@agent-launchpad/local-supabase/gateway/replies.ts";
import { passUpgrade } from "@agent-launchpad/local-supabase/gateway/upgrade.ts";
import type { StackRoute } from "./routes.ts";

/** Bytes of one request's body. */
const MOST_BODY = 8 * 1024 * 1024;

const STARTING = {
  error: {
    code: "AGENT_UNAVAILABLE",
    message: "The agents of this stack are starting; try again shortly",
  },
};

/** The route of one agent. Below the gateway's own host an agent is foreign: its answers can be no pages there. */
export function agentRoute(
  { agentId, path, below }: Extract<StackRoute, { kind: "agent" }>,
  agents: Upstream,
): ExtensionRoute {
  // The host that means the agent, where its path named it.
  const as = below ? { host: `${agentId}.agents.localhost` } : {};
  return {
    kind: "extension",
    path,
    limit: MOST_BODY,
    takesAnyName: true,
    ownPreflights: true,
    serve(request, response, refuse) {
      if (!agents.address()) return sendJson(response, 503, STARTING);
      proxy(request, response, {
        upstream: agents,
        path,
        cors: "leave",
        maxBodyBytes: MOST_BODY,
        ...as,
        foreign: below,
        onDown: () => refuse("unavailable"),
        onTooLarge: () => refuse("too_large"),
      });
    },
    upgrade: (request, socket, head) =>
      passUpgrade(request, socket, head, { address: agents.address(), path, ...as }),
  };
}
