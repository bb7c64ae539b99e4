// The services `rest` and `service rest`: PostgREST for users, and one for the secret key's calls.

import pg from "pg";
import { readConfig } from "../config/read-config.ts";
import { verifyingKeys } from "../keys.ts";
import { startPostgrest } from "../postgrest.ts";
import type { Exit } from "../supervise/child.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { HOST, type ProjectContext, running } from "./context.ts";

/** Two, so that users' slow reads never take the platform's connections. */
export function restServices(context: ProjectContext): ServiceSpec[] {
  const { keys, guardian, logs, live, restPort, projectFolder, environment } = context;
  const service = (name: string, place: "rest" | "serviceRest", pool: number): ServiceSpec => ({
    name,
    needs: ["schema"],
    async start() {
      delete live[place];
      const { promise: exited, resolve } = Promise.withResolvers<Exit>();
      const postgres = running(live.postgres, "postgres");
      const { api } = await readConfig(projectFolder, environment.functions);
      const { there, missing } = await judgeSchemas(postgres.url("postgres"), api.schemas);
      if (place === "rest" && missing.length > 0) context.log(missingWords(missing));
      const started = await startPostgrest({
        dbUrl: postgres.url("authenticator"),
        api: { ...api, schemas: there },
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

/**
 * Sorts the schemas that config.toml serves by whether the database has them: with one that is missing PostgREST would serve
 * none. Takes a connection URL of any role. Throws what the connection throws.
 */
export async function judgeSchemas(
  url: string,
  wanted: readonly string[],
): Promise<{ there: string[]; missing: string[] }> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined); // the query under way reports it
  await client.connect();
  try {
    const { rows } = await client.query<{ nspname: string }>(
      "select nspname from pg_namespace where nspname = any($1)",
      [wanted],
    );
    const known = new Set(rows.map((row) => row.nspname));
    const there = wanted.filter((schema) => known.has(schema));
    // graphql_public is on the list by default; here /graphql/v1 does its work without it.
    const missing = wanted.filter((schema) => !known.has(schema) && schema !== "graphql_public");
    return { there: there.length > 0 ? there : ["public"], missing };
  } finally {
    await client.end();
  }
}

const missingWords = (schemas: readonly string[]): string =>
  `supabase/config.toml: the database has no schema ${schemas.join(", ")}; /rest/v1 leaves it out until the next start.`;
