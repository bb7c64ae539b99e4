// Counts what the edge function asks of the project behind it: a second process of the same function, whose SUPABASE_URL is
// a small proxy that counts and passes on.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findDeno } from "../../packages/local-supabase/src/functions/discover.ts";
import type { TestUser } from "../../tests/helpers/stack.ts";
import { ask } from "./load.ts";
import { AGENT, type BenchStack } from "./stack.ts";

const ROOT = join(import.meta.dirname, "../..");

/** For each kind of request: how many calls each of its repetitions made. */
export async function countUpstreamCalls(
  bench: BenchStack,
  user: TestUser,
): Promise<{ request: string; upstream: number[] }[]> {
  const { apiUrl, publishableKey, secretKey } = bench.stack.info;
  const upstream = new URL(apiUrl);
  let calls = 0;
  const agent = new Agent({ keepAlive: true });
  const proxy = createServer((incoming, outgoing) => {
    calls += 1;
    const { method, headers } = incoming;
    const options = {
      host: upstream.hostname,
      port: upstream.port,
      path: incoming.url,
      method,
      headers,
      agent,
    };
    const passed = request(options, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    passed.on("error", () => outgoing.destroy());
    incoming.pipe(passed);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const entry = join(ROOT, "supabase/functions/api/index.ts");
  const deno = spawn(
    findDeno(),
    [
      "run",
      "--config",
      join(ROOT, "supabase/functions/api/deno.json"),
      "--node-modules-dir=manual",
      "--no-remote",
    ].concat(
      ["--no-lock", "--no-prompt", "--quiet", "--allow-net", "--allow-env", "--allow-read"],
      [join(ROOT, "packages/local-supabase/src/functions/serve.ts"), entry],
    ),
    {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        DENO_DIR: join(ROOT, ".cache/deno"),
        DENO_NO_UPDATE_CHECK: "1",
        SUPABASE_URL: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
        SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: publishableKey }),
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: secretKey }),
        SUPABASE_ANON_KEY: publishableKey,
        SUPABASE_SERVICE_ROLE_KEY: secretKey,
      },
    },
  );
  const closed = once(deno, "close");
  try {
    const port = await readPort(deno.stdout);
    const count = async (method: string, path: string, body?: unknown): Promise<number> => {
      const before = calls;
      const call = {
        url: `http://127.0.0.1:${port}${path}`,
        method,
        headers: bench.headers(user),
        ...(body !== undefined && { body: JSON.stringify(body) }),
      };
      await ask(call, agent);
      return calls - before;
    };
    const repeat = async (name: string, one: () => Promise<number>) => {
      const numbers: number[] = [];
      for (let time = 0; time < 5; time++) numbers.push(await one());
      return { request: name, upstream: numbers };
    };
    let names = 0;
    const wrong = { agentName: "" };
    return [
      await repeat("GET /api/agents", () => count("GET", "/api/agents")),
      await repeat("GET …/status of none", () => count("GET", "/api/agents/agent-none/status")),
      await repeat("POST /api/agents, refused", () => count("POST", "/api/agents", wrong)),
      await repeat("POST /api/agents", () =>
        count("POST", "/api/agents", { ...AGENT, agentName: `counted-${++names}` }),
      ),
    ];
  } finally {
    deno.kill("SIGKILL");
    await closed;
    agent.destroy();
    proxy.closeAllConnections();
    proxy.close();
    // The agents it created must not run beside the next benchmark.
    await bench.json(user, "POST", "/rest/v1/rpc/stop_all_agents", {});
  }
}

async function readPort(output: NodeJS.ReadableStream): Promise<number> {
  for await (const line of createInterface({ input: output })) {
    if (line.startsWith('{"event":"ready"')) return (JSON.parse(line) as { port: number }).port;
  }
  throw new Error("the function ended before it listened");
}
