// The services `rest` and `service rest`: PostgREST for users, and one for the secret key's calls.

import { verifyingKeys } from "../keys.ts";
import { startPostgrest } from "../postgrest.ts";
import type { Exit } from "../supervise/child.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { HOST, type ProjectContext, running } from "./context.ts";

/** Two, so that users' slow reads never take the platform's connections. */
export function restServices(context: ProjectContext): ServiceSpec[] {
  const { keys, guardian, logs, live, restPort } = context;
  const service = (name: string, place: "rest" | "serviceRest", pool: number): ServiceSpec => ({
    name,
    needs: ["schema"],
    async start() {
      delete live[place];
      const { promise: exited, resolve } = Promise.withResolvers<Exit>();
      const started = await startPostgrest({
        dbUrl: running(live.postgres, "postgres").url("authenticator"),
        jwtKeys: verifyingKeys(keys),
        pool,
        port: place === "rest" ? await restPort() : 0,
        onExit: ({ code, signal }) => resolve({ code, signal }),
        onLog: (line) => logs.write(name.replaceAll(" ", "-"), line),
      });
      guardian.add("first", started.pid);
      live[place] = { host: HOST, port: started.port };
      return { exited, stop: () => started.stop() };
    },
  });
  return [service("rest", "rest", 10), service("service rest", "serviceRest", 6)];
}
