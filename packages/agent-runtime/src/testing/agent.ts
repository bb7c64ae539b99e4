// Starts the program as the controller does, for tests: the bundle, its own process under Node's permission model, a pipe as stdin,
// a minimal environment.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { bundleRuntime } from "../bundle.ts";
import { compileCacheDir } from "../paths.ts";
import { permittedCommand } from "../permissions.ts";
import { type ProjectStub, startProjectStub, TEST_KEY } from "./project.ts";
import { copyUsedFolder } from "./used-folder.ts";

export interface LogLine {
  readonly timestamp: string;
  readonly level: string;
  readonly message: string;
  readonly source: string;
  readonly metadata: Record<string, unknown>;
}

/** A JSON answer. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

/** An agent, called with {@link TEST_KEY} where a test says nothing else. */
export interface RunningAgent extends AsyncDisposable {
  /** The stand-in for the project that it was started with. */
  readonly project: ProjectStub;
  readonly process: ChildProcess;
  readonly url: string;
  /** Milliseconds from spawn to the line "listening". */
  readonly readyAfter: number;
  readonly lines: LogLine[];
  readonly exited: Promise<number | null>;
  get(path: string, headers?: Record<string, string>): Promise<Answered>;
  say(body: unknown, init?: RequestInit): Promise<Answered>;
}

export interface AgentOptions {
  readonly config?: Record<string, unknown>;
  /** Without AGENT_STATE_DIR an elizaOS agent finds the folder of an earlier start; with it, its first start is in that folder. */
  readonly environment?: Record<string, string>;
  /** What the stand-in for the project answers from the first call on. */
  readonly project?: ProjectStub["answer"];
}

/** Runs the program until it listens, or until it ends: then it throws with what it logged. */
export async function startAgent(options: AgentOptions = {}): Promise<RunningAgent> {
  await bundleRuntime();
  const project = await startProjectStub();
  if (options.project !== undefined) project.answer = options.project;
  const launched = await launch({
    ...options,
    environment: { ...project.environment, ...options.environment },
  });
  const listening = await launched.listening;
  const dispose = async () => {
    await launched[Symbol.asyncDispose]();
    await project[Symbol.asyncDispose]();
  };
  if (!listening) {
    await dispose();
    throw new Error(`The agent ended before it listened: ${JSON.stringify(launched.lines.at(-1))}`);
  }
  const url = `http://127.0.0.1:${listening.port}`;
  const call = async (path: string, init?: RequestInit): Promise<Answered> => {
    const response = await fetch(`${url}${path}`, init);
    const text = await response.text();
    const json = response.headers.get("content-type")?.startsWith("application/json");
    return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : { text } };
  };
  const known = { authorization: `Bearer ${TEST_KEY}` };
  return Object.assign(
    { ...launched, [Symbol.asyncDispose]: dispose },
    {
      url,
      project,
      readyAfter: listening.after,
      get: (path: string, headers: Record<string, string> = known) => call(path, { headers }),
      say: (body: unknown, init: RequestInit = {}) =>
        call("/message", {
          method: "POST",
          body: typeof body === "string" ? body : JSON.stringify(body),
          ...init,
          headers: { "content-type": "application/json", ...(init.headers ?? known) },
        }),
    },
  );
}

/** Of a program that should end: more than any start takes on a busy machine. */
const END_MS = 120_000;

/**
 * Runs the program to its end; one that does not end is killed, and its lines are in the error.
 * @param begun is given the process at once
 */
export async function runToEnd(
  options: AgentOptions = {},
  begun?: (child: ChildProcess) => void,
  endMs = END_MS,
): Promise<{ code: number | null; lines: LogLine[] }> {
  await bundleRuntime();
  await using launched = await launch(options);
  begun?.(launched.process);
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const said = launched.lines.slice(-5).map(({ message }) => message);
    late.reject(new Error(`The agent did not end within ${endMs / 1000} s: ${said.join(" | ")}`));
  }, endMs);
  try {
    const code = await Promise.race([launched.exited, late.promise]);
    return { code, lines: launched.lines };
  } finally {
    clearTimeout(timer);
  }
}

async function launch({ config = {}, environment = {} }: AgentOptions) {
  const folder = mkdtempSync(join(tmpdir(), "agent-test-"));
  const file = join(folder, "agent.json");
  writeFileSync(
    file,
    JSON.stringify({ agentId: "agent-test", name: "tester", plugins: [], revision: 3, ...config }),
  );
  const { AGENT_ELIZA_DIR: elizaDir } = environment;
  const stateDir = environment.AGENT_STATE_DIR ?? join(folder, "state");
  mkdirSync(stateDir, { recursive: true });
  if (environment.AGENT_STATE_DIR === undefined) await copyUsedFolder(startAgent, stateDir, config, elizaDir);
  const [program, ...args] = permittedCommand({
    configFile: file,
    stateDir,
    cacheDir: compileCacheDir,
    ...(elizaDir !== undefined && { readable: [elizaDir] }),
  });
  const started = performance.now();
  const child = spawn(program, args, {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: compileCacheDir,
      AGENT_ID: "agent-test",
      AGENT_REPLICA: "agent-test-abc234",
      AGENT_GENERATION: "7",
      AGENT_CONFIG_FILE: file,
      AGENT_STATE_DIR: stateDir,
      AGENT_MODEL_RETRIES: "0",
      ...environment,
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines: LogLine[] = [];
  const exited = once(child, "close").then(([code]) => code as number | null);
  const found = Promise.withResolvers<{ port: number; after: number } | undefined>();
  createInterface({ input: child.stdout }).on("line", (text) => {
    const line = JSON.parse(text) as LogLine; // anything but JSON fails the test
    lines.push(line);
    if (line.source === "runtime" && line.message === "listening") {
      found.resolve({ port: line.metadata.port as number, after: performance.now() - started });
    }
  });
  exited.then(() => found.resolve(undefined));
  return {
    process: child,
    lines,
    exited,
    listening: found.promise,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
