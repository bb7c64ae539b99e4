// What the stack does with a database of older migrations before it pushes its own: refuses it, or mends it when asked.

import type { Postgres } from "@agent-launchpad/local-supabase/postgres/server.ts";
import { dealWithOutdated, outdated } from "./outdated.ts";
import { onDatabase } from "./reference.ts";

/**
 * @param upgrade whether the schema may be changed
 * @param log called with what a person should see
 * @returns the hook of prepareDatabase. It throws a StackError that names the differences, where the schema may not be changed
 */
export function upgradeBefore(upgrade: boolean, log: (message: string) => void) {
  return async (server: Pick<Postgres, "superuserUrl" | "url">, projectFolder: string): Promise<void> => {
    const url = server.url("postgres");
    if ((await outdated(url, projectFolder)) === undefined) return;
    const { superuserUrl } = server;
    const { differences, kept } = await dealWithOutdated(
      {
        url,
        superuserUrl,
        projectFolder,
        server: {
          superuserUrl: onDatabase(superuserUrl, "template1"),
          url: (database) => server.url("postgres", database),
        },
      },
      upgrade,
    );
    log(mendedText(differences.length, kept));
  };
}

/** What an upgrade did, for a person. Pure. */
export function mendedText(differences: number, kept: readonly string[]): string {
  const stays = kept.length === 0 ? "" : ` It keeps what no release has: ${kept.join(", ")}.`;
  return `The database was upgraded: ${differences} difference${differences === 1 ? "" : "s"} mended, your data is kept.${stays}`;
}
