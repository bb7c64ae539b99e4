// The service `graphql`, inside this process.

import { startGraphql } from "../graphql/server.ts";
import { verifyingKeys } from "../keys.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { type ProjectContext, running } from "./context.ts";

export function graphqlService({ keys, live }: ProjectContext): ServiceSpec {
  return {
    name: "graphql",
    needs: ["schema"],
    async start() {
      const started = startGraphql({
        url: running(live.postgres, "postgres").url("authenticator"),
        jwtKeys: verifyingKeys(keys),
      });
      live.graphql = started;
      return { stop: () => started.stop() };
    },
  };
}
