// The service `gateway`: the one port in front of every service.

import { type GatewayParts, startGateway } from "../gateway/server.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import type { ProjectContext } from "./context.ts";

/** What the gateway is given beside the services of the project. */
export type GatewayExtras = Partial<Pick<GatewayParts, "agents">>;

export function gatewayService(context: ProjectContext, extras: GatewayExtras = {}): ServiceSpec {
  const { keys, mailbox, live, health, port, state, functions } = context;
  return {
    name: "gateway",
    needs: [],
    async start() {
      const started = await startGateway(port, {
        keys,
        mailbox,
        rest: () => live.rest,
        serviceRest: () => live.serviceRest,
        platform: () => live.auth?.handler,
        storage: () => live.storage,
        graphql: () => live.graphql?.handler,
        realtime: () => live.realtime,
        functions: (name) => (live.functions.has(name) ? live.functions.get(name) : "unknown"),
        verifiesTokens: (name) => functions.some((fn) => fn.name === name && fn.verifyJwt),
        agents: () => undefined,
        health,
        ...extras,
      });
      state.gatewayUrl = started.url;
      return { stop: () => started.close() };
    },
  };
}
