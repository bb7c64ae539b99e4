// The command `launchpad open`.

import { spawn } from "node:child_process";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";

/** `launchpad open` */
export async function run(context: Context, [agent]: readonly string[]): Promise<void> {
  const address = agent === undefined ? (await context.project()).url : await addressOf(context, agent);
  const opened = await open(address, context.env);
  context.out.result({ address, opened }, () => `${address}\n`);
  if (!opened) context.out.note("No browser could be started here; open the address yourself.");
}

async function addressOf(context: Context, agent: string): Promise<string> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const { url, status } = await client.agents.getStatus(agentId, { signal: context.signal });
  if (!url)
    throw new CliError("conflict", `${agent} has no address while it is ${status}; deploy it first.`, {
      code: "NO_ADDRESS",
    });
  return url;
}

/** Starts a browser; false where there is no program for it. BROWSER names one, and an empty BROWSER opens nothing. */
async function open(address: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  if (env.BROWSER === "") return false;
  const command = env.BROWSER || (process.platform === "darwin" ? "open" : "xdg-open");
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const child = spawn(command, [address], { stdio: "ignore", detached: true });
  child.once("error", () => resolve(false));
  child.once("spawn", () => resolve(true));
  child.unref();
  return await promise;
}
