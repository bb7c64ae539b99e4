/**
 * Builds the package as it is published, into a folder of its own.
 *   node packages/cli/build.ts [folder]      default: packages/cli/dist
 *   npm publish packages/cli/dist
 * Inside the repository the source is used as it is; nothing here needs the build.
 */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildSync } from "esbuild";

const here = import.meta.dirname;
const root = resolve(here, "../..");

/**
 * Builds the package: one small file to start, the commands in files of their own that are loaded when they run.
 * @param out the folder to make; what is in it goes
 */
export function build(out: string): void {
  rmSync(out, { recursive: true, force: true });
  buildSync({
    entryPoints: { main: join(here, "src/main.ts") },
    outdir: join(out, "dist"),
    bundle: true,
    splitting: true,
    packages: "external",
    format: "esm",
    platform: "node",
    target: "node22",
    charset: "utf8",
    minifySyntax: true,
    logLevel: "warning",
  });
  cpSync(join(here, "bin"), join(out, "bin"), { recursive: true });
  cpSync(join(here, "README.md"), join(out, "README.md"));
  cpSync(join(root, "LICENSE"), join(out, "LICENSE"));
  writeFileSync(join(out, "dist/migrations.json"), `${JSON.stringify(migrations())}\n`);
  const fingerprint = join(root, "supabase/fingerprint.json");
  if (existsSync(fingerprint)) cpSync(fingerprint, join(out, "dist/fingerprint.json"));
  writeFileSync(join(out, "package.json"), `${JSON.stringify(manifest(), null, 2)}\n`);
}

/** What `launchpad doctor` compares a project with. */
function migrations(): { version: string; name: string }[] {
  return readdirSync(join(root, "supabase/migrations"))
    .sort()
    .map((file) => /^(\d{14})_(.+)\.sql$/.exec(file))
    .filter((match) => match !== null)
    .map(([, version = "", name = ""]) => ({ version, name }));
}

function manifest(): Record<string, unknown> {
  const {
    private: _,
    devDependencies: __,
    scripts: ___,
    ...published
  } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as Record<string, unknown>;
  return published;
}

if (import.meta.main) build(resolve(process.argv[2] ?? join(here, "dist")));
