// The life of the program: configure, start the engine, listen, stop.
import { fstatSync } from "node:fs";
import type { Server } from "node:http";
import { flushCompileCache } from "node:module";
import type { AddressInfo } from "node:net";
import { createAbilities } from "./abilities/runtime-abilities.ts";
import { createAgent } from "./agent.ts";
import { type Config, readConfig } from "./config.ts";
import { credentialOf } from "./credential.ts";
import { engineName, loadEngine, pluginFolders } from "./engines/choose.ts";
import { guardExit, takeFault } from "./engines/plugin-faults.ts";
import { withoutPins } from "./engines/plugin-versions.ts";
import { ConfigurationError, describe, EXIT } from "./errors.ts";
import { agentSeconds, WAITS } from "./hand-over.ts";
import { createConversationIds } from "./http/conversation-ids.ts";
import { createDoor } from "./http/door.ts";
import { createAgentServer } from "./http/server.ts";
import { createLog, type Log, redact } from "./log.ts";
import { createMeter } from "./meter.ts";
import { createMetrics } from "./metrics.ts";
import { captureOutput } from "./output.ts";
import { guardFetch } from "./outside/fetch.ts";
import { createPluginReport } from "./plugin-report.ts";
import { createPluginStates } from "./plugin-states.ts";
import { BUILT_IN_PLUGINS, isMcpPlugin } from "./plugins/built-in.ts";
import { createProject } from "./project.ts";
import { stackOf } from "./stack.ts";
import { type Start, waitForAgent } from "./waiting.ts";

/** How long an engine may take to give back what it holds: a plugin's service may never come to an end. */
const CLOSE_MS = 5_000;

/** Whether the agent was asked to stop, and what then begins. */
interface StopRequest {
  reason: string | undefined;
  begin: ((reason: string) => void) | undefined;
}

/** Ends the process; plugins have no way to it. */
let exit = process.exit;

/** Runs the agent until it is told to stop; ends the process itself, with one of the exit codes. */
export async function run(): Promise<void> {
  const waits = process.env[WAITS] !== undefined;
  let log = createLog();
  exit = guardExit();
  // Listened to from the first moment: a stop that comes while the engine starts must not be lost.
  const request: StopRequest = { reason: undefined, begin: undefined };
  // While it waits there is nothing to close.
  if (waits) request.begin = () => exit(EXIT.ok);
  const waited = waits ? waitForAgent(start, log) : undefined;
  onStopRequest((reason) => {
    request.reason ??= reason;
    request.begin?.(reason);
  });
  const end = (error: unknown) => {
    if (request.reason === undefined) exit(report(error, log));
    // An agent that was asked to stop has not crashed by what breaks off on its way.
    log.warn(`Broke off while stopping: ${describe(error)}`, { stack: stackOf(error) });
    if (request.begin === undefined) exit(EXIT.ok); // its start broke off: nothing is there to close
  };
  const fail = (error: unknown) => {
    if (request.reason !== undefined || !takeFault(error)) end(error);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  try {
    const handed = await waited;
    request.begin = undefined;
    const config = readConfig(process.env, handed);
    log = createLog({ level: config.logLevel, secrets: config.secrets });
    captureOutput(log);
    if (config.privateHosts !== undefined) guardFetch({ privateHosts: config.privateHosts });
    const { stop } = await start(config, log);
    request.begin = once(async (reason) => {
      await stop(reason);
      exit(EXIT.ok);
    });
    if (request.reason !== undefined) request.begin(request.reason);
  } catch (error) {
    end(error);
  }
  // Now, not at the exit: the exit may be a kill. One that waited has done it.
  if (!waits) flushCompileCache();
}

const start: Start = async (configured: Config, log: Log) => {
  const names = withoutPins(configured.plugins, pluginFolders(configured));
  // Those that the runtime brings are no packages to load.
  const isOwn = (name: string) => BUILT_IN_PLUGINS.includes(name) || isMcpPlugin(name);
  const config = {
    ...configured,
    plugins: names.filter((name) => !isOwn(name)),
    builtInPlugins: names.filter(isOwn),
  };
  const name = engineName(config);
  if (name === "model" && config.platforms.length > 0) {
    log.warn("The model engine serves no platform: messages come by POST /message", {
      platforms: config.platforms,
    });
  }
  const startEngine = await loadEngine(name);
  const { agentId, messageKey, messageTimeoutMs } = config;
  const credential = credentialOf(messageKey);
  const runtime = credential && (() => `${agentId}.${credential()}`);
  const project = config.project && createProject({ ...config.project, runtime });
  const { warn } = log.named("meter");
  const states = createPluginStates((text) => redact(text, config.secrets));
  const plain = createAbilities({
    agentId,
    replica: config.replica,
    stateDir: config.stateDir,
    project,
    credential,
    warn: log.named("abilities").warn,
  });
  const { abilities, close: closeBuiltIns } =
    config.builtInPlugins.length === 0
      ? { abilities: plain, close: async () => undefined }
      : (await import("./plugins/open.ts")).openBuiltIns(config, plain, log, states);
  const { steps } = abilities;
  const meter = createMeter({ agentId, project, messageKey, messageTimeoutMs, steps, warn });
  const engine = await startEngine(config, log.named(name), meter, abilities, states);
  const metrics = createMetrics(config, () => engine.mayWork?.() ?? false);
  const agent = createAgent(config, engine, metrics, meter, abilities, log.named("agent"), states);
  const { probeKey, proxyHops } = config;
  const door = createDoor({ agentId, project, messageKey, proxyHops, log: log.named("door") });
  const ids = createConversationIds(messageKey);
  const server = createAgentServer({
    agent,
    metrics,
    log: log.named("http"),
    door,
    ids,
    messageKey,
    probeKey,
  });
  const port = await listen(server, config);
  log.info("listening", {
    port,
    host: config.host,
    engine: engine.name,
    model: engine.model ?? "unconfigured",
    plugins: engine.plugins,
    milliseconds: Math.round(agentSeconds() * 1000),
  });

  states.onChange(createPluginReport({ agentId, project, credential, warn }));

  const stop = async (reason: string) => {
    log.info("Stopping", { reason });
    await agent.stop(); // /ready says 503 from here; the port stays open until the last message is answered
    const closed = new Promise((done) => server.close(done));
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 500).unref();
    await closed;
    await closeWithin(CLOSE_MS, engine.close, "The engine", log);
    await closeWithin(CLOSE_MS, closeBuiltIns, "The sessions with MCP servers", log);
    await closeWithin(CLOSE_MS, meter.close, "What is still to be reported", log);
    project?.close();
    log.info("Stopped", { reason });
  };
  return { port, stop };
};

/** Closes one thing; whether it fails or never comes to an end, the stop goes on. */
async function closeWithin(milliseconds: number, close: () => Promise<unknown>, what: string, log: Log) {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`not within ${milliseconds} ms`)), milliseconds);
  try {
    await Promise.race([close(), late.promise]);
  } catch (error) {
    log.warn(`${what} was not closed: ${describe(error)}`, { stack: stackOf(error) });
  } finally {
    clearTimeout(timer);
  }
}

function listen(server: Server, { host, port }: Config): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // "::" is every address of both families, or of IPv4 alone on a machine without IPv6: Node decides where no host is named.
    const every = host === "::";
    server.listen({ port, ...(every ? {} : { host }) }, () =>
      resolve((server.address() as AddressInfo).port),
    );
  });
}

/** SIGTERM, SIGINT, and the end of a piped stdin: the parent is gone. Any other stdin (a terminal, /dev/null) says nothing. */
function onStopRequest(stop: (reason: string) => void): void {
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  if (!isPipe(0)) return;
  process.stdin.on("error", () => stop("stdin closed"));
  process.stdin.on("end", () => stop("stdin closed"));
  process.stdin.resume();
}

function isPipe(descriptor: number): boolean {
  try {
    const stat = fstatSync(descriptor);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false; // no stdin at all
  }
}

function once(action: (reason: string) => Promise<void>): (reason: string) => void {
  let done = false;
  return (reason) => {
    if (done) return;
    done = true;
    void action(reason);
  };
}

/** Writes the last line and says with which code to exit. */
function report(error: unknown, log: Log): number {
  if (error instanceof ConfigurationError) {
    log.error(error.message, { reason: error.reason, ...error.facts });
    return EXIT.configuration;
  }
  const reason = (error as NodeJS.ErrnoException)?.code === "EADDRINUSE" ? "PORT_IN_USE" : "CRASHED";
  log.error(describe(error), { reason, stack: stackOf(error) });
  return EXIT.crash;
}
