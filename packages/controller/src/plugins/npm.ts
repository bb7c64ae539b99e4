// npm's own command: it knows the operator's registry and credentials. Install scripts never run.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { z } from "zod";

/** What npm refused, by its own code (E404, ECONNREFUSED, EINTEGRITY, ENOSPC …). */
export class NpmError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "NpmError";
    this.code = code;
  }
}

const names = z.record(z.string(), z.string());
const manifest = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string().nullish(),
  "dist.integrity": z.string().nullish(),
  dependencies: names.nullish(),
  peerDependencies: names.nullish(),
  engines: z.record(z.string(), z.unknown()).nullish(),
  agentConfig: z.record(z.string(), z.unknown()).nullish(),
});

/** A version of a package, as the registry tells it. */
export type Manifest = z.infer<typeof manifest>;

/** What is asked of npm. */
export interface Npm {
  /**
   * The versions that a name with a range or tag means; one where it means one.
   * @throws NpmError E404 where there is none
   */
  view(spec: string): Promise<Manifest[]>;
  /** Writes package-lock.json for the package.json of a folder, beginning with the one that is there. */
  lock(folder: string, signal?: AbortSignal): Promise<void>;
  /** Installs exactly what package-lock.json of a folder says. */
  install(folder: string, signal?: AbortSignal): Promise<void>;
  /** Downloads the archives of exact versions (`name@1.0.0`) into a folder, as the registry serves them. */
  pack(specs: readonly string[], folder: string, signal?: AbortSignal): Promise<void>;
}

/** A command that hangs is ended after so long. */
const LIMIT_MS = 600_000;
const QUIET = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
const SAFE = ["--ignore-scripts", "--omit=optional", "--omit=dev"];
const PATIENCE = [
  "--fetch-retries=2",
  "--fetch-retry-factor=2",
  "--fetch-retry-mintimeout=500",
  "--fetch-timeout=60000",
];
/** Of an npm around us: it would make the command work on that npm's project. */
const OF_A_PROJECT =
  /^npm_(package_|lifecycle_|config_local_prefix$|config_prefix$|command$|execpath$|node_execpath$)/;

interface Machine {
  command: [string, ...string[]];
  env: NodeJS.ProcessEnv;
}

/**
 * npm as it is on this machine.
 * @param environment what it reads its settings from
 * @param program npm's own file, where no `npm` is on the path: an image without a shell runs it with Node
 */
export function machineNpm(environment: NodeJS.ProcessEnv = process.env, program?: string): Npm {
  const onPath = process.platform === "win32" ? "npm.cmd" : "npm";
  const machine: Machine = {
    command: program === undefined ? [onPath] : [process.execPath, program],
    env: Object.fromEntries(Object.entries(environment).filter(([name]) => !OF_A_PROJECT.test(name))),
  };
  return {
    async view(spec) {
      const fields = Object.keys(manifest.shape);
      const text = await run(["view", spec, "--json", ...fields, ...QUIET, ...PATIENCE], machine);
      const answer = text.trim() === "" ? [] : readNpmJson(text);
      const list = z.array(manifest).safeParse(Array.isArray(answer) ? answer : [answer]);
      if (!list.success) throw new NpmError("EANSWER", "the registry answered something else than a package");
      return list.data;
    },
    async lock(folder, signal) {
      const args = [
        "install",
        "--package-lock-only",
        "--prefix",
        folder,
        ...SAFE,
        ...QUIET,
        ...PATIENCE,
        "--json",
      ];
      await run(args, machine, folder, signal);
    },
    async install(folder, signal) {
      await run(
        ["ci", "--prefix", folder, ...SAFE, ...QUIET, ...PATIENCE, "--json"],
        machine,
        folder,
        signal,
      );
    },
    async pack(specs, folder, signal) {
      // A cache of its own, so that what is kept once is not kept twice.
      const into = ["--pack-destination", folder, "--cache", join(folder, "cache"), "--ignore-scripts"];
      await run(["pack", ...into, ...QUIET, ...PATIENCE, "--", ...specs], machine, folder, signal);
    },
  };
}

/** JSON of npm without U+0000 and halves of characters, which Postgres does not keep and a package may have in its words. */
export function readNpmJson(text: string): unknown {
  return JSON.parse(text, (_, value: unknown) =>
    typeof value === "string" ? value.replaceAll("\0", "").toWellFormed() : value,
  );
}

async function run(
  args: readonly string[],
  { command: [program, ...before], env }: Machine,
  cwd?: string,
  signal?: AbortSignal,
): Promise<string> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const child = spawn(program, [...before, ...args], {
    env,
    ...(cwd === undefined ? {} : { cwd }),
    stdio: ["ignore", "pipe", "pipe"],
    signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
  });
  let said = "";
  let complained = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    complained = (complained + chunk.toString()).slice(-4000);
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("close", resolve);
  child.on("error", reject);
  let code: number | null;
  try {
    code = await promise;
  } catch (error) {
    const { code: why } = error as NodeJS.ErrnoException;
    if (why === "ENOENT") throw new NpmError("ENONPM", "npm is not installed where the controller runs");
    if (limit.aborted) throw new NpmError("ETIMEDOUT", `npm did not end within ${LIMIT_MS / 60_000} minutes`);
    throw error;
  }
  if (code !== 0) throw failure(said, complained);
  return said;
}

const refusal = z.object({ error: z.object({ code: z.string().nullish(), summary: z.string().nullish() }) });

/** npm's own words; a registry's address stays, credentials in it do not. */
function failure(said: string, complained: string): NpmError {
  let told: z.infer<typeof refusal>["error"] = {};
  try {
    told = refusal.parse(JSON.parse(said)).error;
  } catch {
    // It ended before it could say more than this.
  }
  const code = told.code || /^npm error code (\S+)/m.exec(complained)?.[1] || "EUNKNOWN";
  const lines = complained.split("\n").map((line) => line.replace(/^npm error ?/, "").trim());
  const words =
    told.summary || lines.find((line) => line !== "" && !line.startsWith("code ")) || "npm failed";
  return new NpmError(code, words.replace(/\/\/[^/@\s]*@/g, "//").slice(0, 500));
}
