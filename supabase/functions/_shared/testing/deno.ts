/** A real Deno process that serves the function, offline, over a counting upstream. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Upstream } from "./upstream.ts";

export interface DenoFunction extends AsyncDisposable {
  readonly url: string;
  readonly process: ChildProcess;
  /** What it has printed so far. */
  readonly lines: readonly string[];
  /** The upstream's server. */
  readonly server: Server;
}

/** Deno itself, not the launcher that its package puts on the path. */
function denoBinary(): string {
  const require = createRequire(import.meta.url);
  const { optionalDependencies = {} } = require("deno/package.json") as { optionalDependencies?: object };
  for (const name of Object.keys(optionalDependencies)) {
    try {
      const folder = dirname(require.resolve(`${name}/package.json`));
      return join(folder, process.platform === "win32" ? "deno.exe" : "deno");
    } catch {
      // another platform's package
    }
  }
  throw new Error("Deno is not installed for this platform");
}

/** The command of supabase/functions/README.md. */
const denoArguments = [
  ...["run", "--node-modules-dir=manual", "--no-remote", "--cached-only", "--no-lock", "--no-prompt"],
  ...[
    "--allow-net",
    "--allow-env",
    "--config",
    "supabase/functions/api/deno.json",
    "supabase/functions/api/index.ts",
  ],
];

/** Serves the double over HTTP, on a free port. */
export async function serveUpstream(upstream: Upstream): Promise<Server> {
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const answer = await upstream.fetch(`http://upstream${incoming.url}`, {
      method: incoming.method ?? "GET",
      headers: incoming.headers as Record<string, string>,
      body: Buffer.concat(chunks),
    });
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

/**
 * Starts the function on a free port.
 * @param cwd a folder that holds supabase/functions and node_modules
 * @param upstream the double that it calls
 * @param direct whether the function is told PostgREST's own address
 * @throws Error with what Deno printed, when it does not start
 */
export async function startDeno(cwd: string, upstream: Upstream, direct = false): Promise<DenoFunction> {
  const server = await serveUpstream(upstream);
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const deno = spawn(denoBinary(), denoArguments, {
    cwd,
    env: {
      SUPABASE_URL: address,
      ...(direct ? { LAUNCHPAD_REST_URL: `${address}/rest/v1` } : {}),
      DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0",
      DENO_NO_UPDATE_CHECK: "1",
      NO_COLOR: "1",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const listening = Promise.withResolvers<string>();
  for (const stream of [deno.stdout, deno.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      const address = /Listening on (http:\/\/[^/ ]+)/.exec(line)?.[1];
      if (address !== undefined) listening.resolve(address);
    });
  }
  deno.once("exit", (code) => listening.reject(new Error(`Deno ended with ${code}: ${lines.join("\n")}`)));
  const stop = async () => {
    if (deno.exitCode === null && deno.signalCode === null && deno.kill()) await once(deno, "exit");
    server.closeAllConnections();
    server.close();
  };
  try {
    return { url: await listening.promise, process: deno, lines, server, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
