// Whether a database's schema is the release's, object by object.
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Catalogue, Difference, Queries } from "../../../stack/src/upgrade/catalogue.ts";
import { ownDifferences } from "../../../stack/src/upgrade/history.ts";
import { type Finding, finding } from "./check.ts";

const CHECK = "schema";
/** How many differences a person is shown. */
const SHOWN = 20;

/**
 * The release's fingerprint: of the folder of migrations that is named, of the clone around the working directory, else the
 * one that this program was built with.
 * @returns undefined before the first release
 */
export async function knownFingerprint(
  migrations: string | undefined,
  from: string,
): Promise<Catalogue | undefined> {
  if (migrations !== undefined) return await read(join(migrations, "../fingerprint.json"));
  for (let at = from; ; at = dirname(at)) {
    const found = await read(join(at, "supabase/fingerprint.json"));
    if (found !== undefined) return found;
    if (dirname(at) === at) break;
  }
  const builtIn = await read(fileURLToPath(new URL("./fingerprint.json", import.meta.url)));
  return (
    builtIn ?? (await read(fileURLToPath(new URL("../../../../supabase/fingerprint.json", import.meta.url))))
  );
}

async function read(file: string): Promise<Catalogue | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Catalogue);
}

/**
 * Compares a database with a release.
 * @param client as `postgres`
 * @param complete whether it has all of the release's migrations
 */
export async function checkSchema(
  client: Queries,
  wanted: Catalogue | undefined,
  complete: boolean,
): Promise<Finding> {
  if (wanted === undefined)
    return finding(
      CHECK,
      "skipped",
      "Skipped: this copy is not a release, so it has no fingerprint to compare with.",
    );
  if (!complete)
    return finding(CHECK, "skipped", "Skipped: its migrations are not this copy's; see `migrations`.");
  return judgeSchema(Object.keys(wanted).length, await ownDifferences(client, wanted));
}

/** The finding in the differences. Pure. */
export function judgeSchema(objects: number, found: readonly Difference[]): Finding {
  if (found.length === 0) return finding(CHECK, "ok", `All ${objects} objects are as the release has them.`);
  const names = found.slice(0, SHOWN).map(({ state, what }) => `${state} ${what}`);
  const more = found.length > SHOWN ? `; and ${found.length - SHOWN} more` : "";
  return finding(
    CHECK,
    "problem",
    `${found.length} difference${found.length === 1 ? "" : "s"} from the release (${names.join("; ")}${more}); run \`npm run upgrade -- --db-url …\` in a checkout of the release (docs/upgrading.md).`,
  );
}
