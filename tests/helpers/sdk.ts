// The SDK as its users get it: built, packed, and installed beside supabase-js in a folder of its own.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../packages/sdk/build.ts";

const ROOT = join(import.meta.dirname, "../..");

export interface InstalledSdk extends Disposable {
  /** The packed archive. */
  tarball: string;
  /** What `npm pack` says is in it, with sizes in bytes. */
  files: { path: string; size: number }[];
  /** Size on disk of the installed package, in bytes. */
  unpackedSize: number;
  /** A folder from which `@agent-launchpad/sdk` and `@supabase/supabase-js` resolve. */
  project: string;
  /** Writes a program into the project; returns its path. */
  program(name: string, text: string): string;
}

/** Builds and packs the SDK, and installs the archive. */
export function installSdk(): InstalledSdk {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-sdk-"));
  const project = join(folder, "project");
  const target = join(project, "node_modules/@agent-launchpad/sdk");
  build(join(folder, "build"));
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", join(folder, "build"), "--json", "--loglevel=error"], {
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }),
  ) as [{ filename: string; files: { path: string; size: number }[]; unpackedSize: number }];
  const tarball = join(folder, packed.filename);
  mkdirSync(target, { recursive: true });
  execFileSync("tar", ["-xzf", tarball, "-C", target, "--strip-components=1"]);
  symlinkSync(join(ROOT, "node_modules/@supabase"), join(project, "node_modules/@supabase"));
  return {
    tarball,
    files: packed.files,
    unpackedSize: packed.unpackedSize,
    project,
    program(name, text) {
      const path = join(project, name);
      writeFileSync(path, text);
      return path;
    },
    [Symbol.dispose]() {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
