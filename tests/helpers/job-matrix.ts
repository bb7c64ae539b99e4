// The matrix of pg_cron's policies: whose jobs and runs a role reaches. All is rolled back, as in rls-matrix.ts.
import type { TestDatabase } from "./database.ts";
import { inTransaction, judgePolicies } from "./rls-matrix.ts";

const TABLES = ["cron.job", "cron.job_run_details"];

/** Every deviation, as sentences: `authenticated`, if it may use the schema, must reach what is its own alone. */
export async function jobDeviations(db: TestDatabase, mutation = ""): Promise<string[]> {
  const found: string[] = [];
  await inTransaction(db, "rollback", async (client) => {
    await client.query(
      `insert into cron.job (schedule, command, username) values ('@daily', '', 'authenticated'), ('@daily', '', 'anon');
       insert into cron.job_run_details (username) values ('authenticated'), ('anon');
       grant usage on schema cron to authenticated; ${mutation};
       set local role authenticated`,
    );
    for (const text of [
      ...TABLES.map((table) => `select username from ${table}`),
      "delete from cron.job_run_details returning username",
    ]) {
      const { rows } = await client.query<{ username: string }>(text);
      const whose = rows.map(({ username }) => username).join();
      if (whose !== "authenticated") found.push(`${text}: ${whose || "nothing"}`);
    }
    for (const table of TABLES) found.push(...(await judgePolicies(client, table, 1)));
  });
  return found;
}
