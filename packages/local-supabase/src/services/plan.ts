// The services of a project, in one list: who needs whom stands in each of them.

import type { ServiceSpec } from "../supervise/supervisor.ts";
import { authService } from "./auth.ts";
import type { ProjectContext } from "./context.ts";
import { functionServices } from "./functions.ts";
import { graphqlService } from "./graphql.ts";
import { postgresService } from "./postgres.ts";
import { realtimeService } from "./realtime.ts";
import { restServices } from "./rest.ts";
import { schemaService } from "./schema.ts";
import { storageService } from "./storage.ts";
import { workersService } from "./workers.ts";

/**
 * The services of a project. The gateway comes first, so that a taken port is known before any work is done; a stop goes
 * the other way round, and Postgres goes last.
 * @param gateway the service `gateway`, which the program that starts the project makes
 */
export function planProject(context: ProjectContext, gateway: ServiceSpec): ServiceSpec[] {
  return [
    gateway,
    postgresService(context),
    schemaService(context),
    ...restServices(context),
    authService(context),
    storageService(context),
    graphqlService(context),
    realtimeService(context),
    workersService(context),
    ...functionServices(context),
  ];
}
