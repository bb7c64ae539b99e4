// Starts the runtime once with the plugins of a tree and nothing of an agent, so that Node compiles their code. Plugins are other
// people's programs: this run is confined as a replica is, under an account that is used once, and has no secret.
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import { BUILT_IN_PLUGINS, isMcpPlugin, parsePlugin } from "@agent-launchpad/agent-runtime";
import { parseLine } from "../lines.ts";
import type { Account } from "./accounts.ts";
import { Child } from "./child.ts";
import { compiledFor } from "./compile-cache.ts";
import type { Compiled } from "./compiled-trees.ts";
import { makePlace, type ReplicaPlace, saveProcess } from "./folders.ts";
import { heapMebibytes, watchMemory } from "./memory-limit.ts";
import { processMark } from "./system.ts";

export interface CompileRunOptions {
  /** The command of a replica. */
  command(place: ReplicaPlace): readonly string[];
  /** Made, used and removed. */
  scratch: string;
  account: (() => Account) | undefined;
  sharedCache: string;
  machineEnvironment: Record<string, string>;
  signal: AbortSignal;
  limitMs?: number;
}

/** A plugin that does not start within it is left uncompiled. */
const LIMIT_MS = 600_000;
const MEMORY_BYTES = 1024 ** 3;
/** Every provider's plugin is loaded where there is a key. */
const KEYS = ["OPENAI", "ANTHROPIC", "GOOGLE_GENERATIVE_AI"].map((name) => [`${name}_API_KEY`, "not-a-key"]);

/**
 * @param keep is given what was compiled, before it is removed
 * @throws Error where nothing was compiled, or the run had to be ended
 */
export async function compileRun(
  options: CompileRunOptions,
  tree: string,
  plugins: readonly string[],
  keep: (compiled: Compiled) => void,
): Promise<void> {
  const { command, limitMs = LIMIT_MS, machineEnvironment, scratch, sharedCache, signal } = options;
  signal.throwIfAborted();
  const account = options.account?.();
  rmSync(scratch, { recursive: true, force: true });
  try {
    mkdirSync(scratch, { recursive: true, mode: 0o700 });
    const packages = plugins.filter(
      (entry) => !isMcpPlugin(entry) && !BUILT_IN_PLUGINS.includes(parsePlugin(entry).name),
    );
    const config = { agentId: "compile", name: "compile", framework: "openai", plugins: packages };
    const place = makePlace(scratch, config, account, [sharedCache]);
    const { cacheDir, configFile, dataDir } = place;
    const uid = account?.uid;
    const known = new Set(compiledIn(cacheDir, uid));
    const ended = Promise.withResolvers<string | undefined>();
    let last = "it said nothing";
    let killed: string | undefined;
    const child = new Child({
      command: command({ ...place, readable: [tree] }),
      environment: {
        ...machineEnvironment,
        ...Object.fromEntries(KEYS),
        HOME: dataDir,
        TMPDIR: dataDir,
        NODE_ENV: "production",
        NODE_OPTIONS: `--max-old-space-size=${heapMebibytes(MEMORY_BYTES)}`,
        NODE_COMPILE_CACHE: cacheDir,
        AGENT_CONFIG_FILE: configFile,
        AGENT_STATE_DIR: dataDir,
        AGENT_ELIZA_DIR: tree,
        AGENT_PRIVATE_HOSTS: "none",
        HOST: "127.0.0.1",
        PORT: "0",
      },
      directory: dataDir,
      account,
      onOutput(line) {
        const { message, source } = parseLine(line, { source: "stdout", level: "INFO" });
        last = message;
        if (source === "runtime" && message === "listening") child.terminate();
      },
      onErrorOutput: () => {},
      onExit: ({ failed }) => ended.resolve(failed),
    });
    if (child.pid !== undefined) {
      setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
      // A plugin that never lets the runtime notice the end of its stdin outlives a killed controller.
      const mark = processMark(child.pid);
      if (mark !== undefined) saveProcess(scratch, child.pid, mark);
    }
    const kill = (why: string) => {
      killed ??= why;
      child.kill();
    };
    const stopWatch =
      child.pid === undefined
        ? () => {}
        : watchMemory(child.pid, MEMORY_BYTES, () => kill("it needed more than 1 GiB of memory"));
    const limit = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
    const late = () => kill(`it did not start within ${limitMs / 1000} s`);
    limit.addEventListener("abort", late);
    const failed = await ended.promise;
    limit.removeEventListener("abort", late);
    stopWatch();
    signal.throwIfAborted();
    if (failed !== undefined || killed !== undefined) throw new Error(failed ?? killed);
    // elizaOS ends at its first call of a model, which nobody pays for here: what it loaded until then is compiled.
    if (compiledIn(cacheDir, uid).every((file) => known.has(file))) throw new Error(last);
    keep({ cache: cacheDir, uid, known });
  } finally {
    rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The names of the files that are compiled in a cache, for an account. */
function compiledIn(cache: string, uid: number | undefined): string[] {
  return compiledFor(cache, uid ?? process.getuid?.()).flatMap(({ name }) => readdirSync(join(cache, name)));
}
