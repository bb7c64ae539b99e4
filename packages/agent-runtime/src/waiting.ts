// What a runtime does while it waits for its agent: it rehearses a start, so that the start itself compiles and loads nothing.
import { once } from "node:events";
import { get } from "node:http";
import { flushCompileCache } from "node:module";
import { type Config, readConfig } from "./config.ts";
import { becomeAgent, firstLine, WAITING, WAITS } from "./hand-over.ts";
import { createLog, type Log } from "./log.ts";

/** Starts an agent that listens; `stop` closes everything again. */
export type Start = (
  config: Config,
  log: Log,
) => Promise<{ port: number; stop(reason: string): Promise<void> }>;

/**
 * Waits for the agent; its variables are in the environment then.
 * Reads from the first moment: what is handed over is never lost.
 * @returns what AGENT_CONFIG_FILE holds elsewhere
 */
export async function waitForAgent(start: Start, log: Log): Promise<unknown> {
  const handed = firstLine(process.stdin);
  await rehearse(start);
  flushCompileCache(); // later it would hold up the agent
  log.info(WAITING);
  const { config, environment } = await handed;
  becomeAgent();
  delete process.env[WAITS];
  Object.assign(process.env, environment);
  return config;
}

/** With an agent that belongs to no user: it has no key, calls no project, and keeps nothing. */
async function rehearse(start: Start): Promise<void> {
  const environment = {
    ...process.env,
    AGENT_STATE_DIR: undefined,
    AGENT_CONFIG_FILE: "none",
    AGENT_PROJECT_URL: "http://127.0.0.1:9",
    AGENT_PROJECT_KEY: "none",
    AGENT_PRIVATE_HOSTS: "none",
  };
  const config = readConfig(environment, { agentId: WAITING, name: WAITING });
  const { port, stop } = await start(config, createLog({ write: () => undefined }));
  for (const path of ["/ready", "/health"]) {
    const [answer] = await once(get({ host: config.host, port, path, agent: false }), "response");
    answer.resume();
    await once(answer, "end");
  }
  await stop(WAITING);
}
