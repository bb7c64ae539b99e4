// The service `schema`: the database gets its bootstrap, the project's migrations and its seed.

import { prepareDatabase } from "../postgres/prepare.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { type ProjectContext, running } from "./context.ts";

export function schemaService(context: ProjectContext): ServiceSpec {
  const { projectFolder, extension, live, schemaReady } = context;
  return {
    name: "schema",
    needs: ["postgres", "gateway"],
    async start() {
      await prepareDatabase(running(live.postgres, "postgres"), {
        projectFolder,
        ...(extension.beforeMigrations ? { beforeMigrations: extension.beforeMigrations } : {}),
      });
      await extension.onSchema?.();
      schemaReady.resolve();
      return { stop: async () => {} };
    },
  };
}
