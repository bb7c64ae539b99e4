// The service `gateway`: the one port in front of every service.

import type { GatewayExtension } from "../gateway/extension.ts";
import { startGateway } from "../gateway/server.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import type { ProjectContext } from "./context.ts";

/** @param extend makes what a program adds to the gateway; called at each of its starts */
export function gatewayService(context: ProjectContext, extend?: () => GatewayExtension): ServiceSpec {
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
        health,
        ...(extend ? { extension: extend() } : {}),
      });
      state.gatewayUrl = started.url;
      return { stop: () => started.close() };
    },
  };
}
