// The service `postgres`: the database server of a project.

import { startPostgres } from "../postgres/server.ts";
import type { Exit } from "../supervise/child.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import type { ProjectContext } from "./context.ts";

export function postgresService(context: ProjectContext): ServiceSpec {
  const { dataDir, environment, guardian, logs, live, state } = context;
  let port = context.dbPort;
  return {
    name: "postgres",
    needs: [],
    async start() {
      const { promise: exited, resolve } = Promise.withResolvers<Exit>();
      const started = await startPostgres({
        dataDir: dataDir.path,
        port,
        durable: !dataDir.ephemeral,
        extensionsFolder: environment.postgresExtensions,
        onExit: ({ code, signal }) => resolve({ code, signal }),
        onLog: (line) => logs.write("postgres", line),
      });
      guardian.add("last", started.pid);
      port = started.port; // a restart keeps it
      live.postgres = started;
      state.dbUrl = started.url("postgres");
      return { exited, stop: () => started.stop() };
    },
  };
}
