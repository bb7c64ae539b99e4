// The service `workers`: sends pg_net's requests and runs pg_cron's jobs.

import { LOGIN_ROLES, type LoginRole } from "../postgres/credentials.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { startCronWorker } from "../workers/cron-worker.ts";
import { startNetWorker } from "../workers/net-worker.ts";
import { type ProjectContext, running } from "./context.ts";

function isLoginRole(role: string): role is LoginRole {
  return LOGIN_ROLES.some((known) => known === role);
}

export function workersService({ logs, live }: ProjectContext): ServiceSpec {
  return {
    name: "workers",
    needs: ["schema"],
    async start() {
      const server = running(live.postgres, "postgres");
      const onLog = (line: string) => logs.write("workers", line);
      const started = [
        startNetWorker({ url: server.superuserUrl, onLog }),
        startCronWorker({
          url: server.superuserUrl,
          onLog,
          connectionFor: (role, database) => (isLoginRole(role) ? server.url(role, database) : undefined),
        }),
      ];
      await Promise.all(started.map(({ ready }) => ready));
      return {
        async stop() {
          await Promise.all(started.map((worker) => worker.stop()));
        },
      };
    },
  };
}
