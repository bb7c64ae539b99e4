// Makes a release: one version everywhere, the list of released migrations, the fingerprint of the schema, the change log.
//   npm run release -- 0.3.0 --dry-run   shows what would change
//   npm run release -- 0.3.0             writes it; commit and tag it then, as the last lines say
// Needs a clean checkout and main's tests green. A released migration never changes again: scripts/release.test.ts.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import {
  migrationsOf,
  RELEASED_FILE,
  type Released,
  released,
  releasedText,
  violations,
} from "./release/migrations.ts";
import { changeLogOf, isLater, placesOf, versionOf, withVersion } from "./release/versions.ts";

const root = resolve(import.meta.dirname, "..");

/**
 * What a release changes, as file → new text. Pure but for reading the checkout.
 * @param folder the checkout
 * @param version the version to be released
 * @param day its date, as the change log names it
 * @param log the change log
 * @throws {Error} when the version is not later, a released migration was changed, or the change log has nothing to say
 */
export function releaseOf(
  folder: string,
  version: string,
  day: string,
  log = readFileSync(join(folder, "CHANGELOG.md"), "utf8"),
): Map<string, string> {
  const current = versionOf(folder);
  if (!isLater(version, current)) throw new Error(`${version} is not a version later than ${current}.`);
  const broken = violations(released(folder), migrationsOf(folder));
  if (broken.length > 0) throw new Error(broken.join("\n"));
  const changed = new Map<string, string>();
  for (const place of placesOf(folder)) {
    const before = changed.get(place.file) ?? readFileSync(join(folder, place.file), "utf8");
    changed.set(place.file, withVersion(before, place, current, version));
  }
  changed.set("CHANGELOG.md", changeLogOf(log, version, day));
  const next: Released = { version, migrations: migrationsOf(folder) };
  changed.set(RELEASED_FILE, releasedText(next));
  return changed;
}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { "dry-run": { type: "boolean" } },
  });
  const [version] = positionals;
  if (version === undefined) throw new Error("Name the version: npm run release -- 0.3.0 [--dry-run]");
  const dry = values["dry-run"] ?? false;
  const status = spawnSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" });
  if (!dry && status.stdout !== "") throw new Error("The checkout has changes; commit or stash them first.");

  const changed = releaseOf(root, version, new Date().toISOString().slice(0, 10));
  for (const [file, text] of changed) {
    process.stdout.write(`${dry ? "would write" : "writes"} ${file}\n`);
    if (!dry) writeFileSync(join(root, file), text);
  }
  if (dry) return;
  const fingerprint = spawnSync(process.execPath, ["scripts/fingerprint.ts"], {
    cwd: root,
    stdio: "inherit",
  });
  if (fingerprint.status !== 0) throw new Error("The fingerprint could not be made; see above.");
  process.stdout.write(
    `\nNext, when npm run check passes:\n  git add -A && git commit -m "Release ${version}"\n  git tag v${version}\n  git push origin main v${version}\n`,
  );
}

if (import.meta.main) {
  try {
    main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  }
}
