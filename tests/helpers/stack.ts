// A whole embedded stack for tests: started as `npm start` starts it, in a process of its own, on free ports.
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import pg from "pg";

const ROOT = join(import.meta.dirname, "../..");

/** Where the stubs of providers are: an operator's exception, for agents that name one themselves. */
const STUBS = "127.0.0.1";

/** The line that `--json` prints. */
export interface StackInfo {
  apiUrl: string;
  dbUrl: string;
  publishableKey: string;
  secretKey: string;
  functionsUrl: string;
  realtimeUrl: string;
  storageUrl: string;
  s3AccessKeyId: string;
  s3SecretAccessKey: string;
  mailboxUrl: string;
  controllerUrl: string;
}

/** A signed-up user. */
export interface TestUser {
  id: string;
  email: string;
  password: string;
  token: string;
  refreshToken: string;
  /** supabase-js, signed in as this user. */
  client: SupabaseClient;
}

export interface TestStack {
  info: StackInfo;
  /** The stack's process; undefined when the stack was started elsewhere (LAUNCHPAD_TEST_STACK). */
  process: ChildProcess | undefined;
  /** supabase-js without a user, with the publishable or another key. */
  client(key?: string): SupabaseClient;
  /** Signs up a new user through auth. */
  createUser(email?: string): Promise<TestUser>;
  /** Runs SQL as `postgres`. */
  sql<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Lets tests make as many requests as they like: raises every bucket of rate_limits. */
  raiseRateLimits(): Promise<void>;
  /** A request to the gateway with the publishable key and, where given, a user's token. */
  fetch(path: string, init?: RequestInit & { token?: string; key?: string | null }): Promise<Response>;
  /** A request to an agent's own host (Node's resolver may not know *.localhost), with a key or token where given. */
  agentFetch(
    agentId: string,
    path: string,
    init?: {
      method?: string;
      body?: string;
      token?: string;
      signal?: AbortSignal;
      headers?: Record<string, string>;
    },
  ): Promise<{ status: number; body: string; headers: IncomingHttpHeaders }>;
  /** Closes connections; ends the stack where this handle started it. */
  stop(): Promise<void>;
}

export interface StackFlags {
  /** Absent: `--ephemeral`. */
  dataDir?: string;
  port?: number;
  dbPort?: number;
  env?: Record<string, string>;
  /** Further flags of `npm start`. */
  args?: string[];
}

/** Starts the stack's process without waiting; `ready` gives its line or throws with what it said instead. */
export function spawnStack(flags: StackFlags = {}): {
  process: ChildProcess;
  ready: Promise<StackInfo>;
  stderr: () => string;
} {
  const folder = flags.dataDir === undefined ? ["--ephemeral"] : ["--data-dir", flags.dataDir];
  const child = spawn(
    join(ROOT, "node_modules/.bin/node"),
    [
      "packages/stack/src/cli.ts",
      "--json",
      ...folder,
      "--port",
      String(flags.port ?? 0),
      "--db-port",
      String(flags.dbPort ?? 0),
      ...(flags.args ?? []),
    ],
    {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // No test asks a registry outside for vulnerabilities.
      env: {
        ...process.env,
        LAUNCHPAD_AGENT_PRIVATE_HOSTS: STUBS,
        LAUNCHPAD_ADVISORY_URL: "off",
        ...flags.env,
      },
    },
  );
  const { stdout, stderr: errors } = child;
  if (!stdout || !errors) throw new Error("the stack has no output");
  child.channel?.unref(); // it only tells the stack of our death; it keeps nobody waiting
  let stderr = "";
  errors.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ready = Promise.race([
    once(createInterface({ input: stdout }), "line").then(([line]) => JSON.parse(line) as StackInfo),
    once(child, "close").then(([code]): never => {
      throw new Error(`the stack ended with exit code ${code}:\n${stderr}`);
    }),
  ]);
  ready.catch(() => {}); // a test that expects the failure looks at it later
  return { process: child, ready, stderr: () => stderr };
}

/**
 * A ready stack: the one that LAUNCHPAD_TEST_STACK names (its JSON line), else a new ephemeral one.
 * The caller stops it in any case; only a stack of its own then ends.
 */
export async function startTestStack(flags: StackFlags = {}): Promise<TestStack> {
  const shared = process.env.LAUNCHPAD_TEST_STACK;
  if (shared && Object.keys(flags).length === 0) return connect(JSON.parse(shared) as StackInfo, undefined);
  const started = spawnStack(flags);
  const info = await started.ready;
  started.process.once("close", (code) => {
    // Whatever fails after this fails because of it.
    if (code)
      process.stderr.write(`The stack ended with exit code ${code}:\n${started.stderr().slice(-4000)}\n`);
  });
  return connect(info, started.process);
}

function connect(info: StackInfo, child: ChildProcess | undefined): TestStack {
  const pool = new pg.Pool({ connectionString: info.dbUrl, max: 4 });
  pool.on("error", () => {}); // tests restart the database
  const client = (key = info.publishableKey, token?: string) =>
    createClient(info.apiUrl, key, {
      auth: { persistSession: false, autoRefreshToken: false },
      ...(token === undefined ? {} : { global: { headers: { authorization: `Bearer ${token}` } } }),
    });
  return {
    info,
    process: child,
    client,

    async createUser(email = `user-${randomUUID()}@example.com`) {
      const password = `pass-${randomUUID()}`;
      const signedIn = client();
      const { data, error } = await signedIn.auth.signUp({ email, password });
      if (error || !data.session || !data.user) throw error ?? new Error("sign-up gave no session");
      const { access_token: token, refresh_token: refreshToken } = data.session;
      return { id: data.user.id, email, password, token, refreshToken, client: signedIn };
    },

    async sql<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) {
      return (await pool.query<Row>(text, values)).rows;
    },

    async raiseRateLimits() {
      await pool.query("update public.rate_limits set max_requests = 1000000");
    },

    async fetch(path, init = {}) {
      const { token, key, ...rest } = init;
      const headers = new Headers(rest.headers);
      if (key !== null) headers.set("apikey", key ?? info.publishableKey);
      if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
      return await fetch(new URL(path, info.apiUrl), { ...rest, headers });
    },

    async agentFetch(agentId, path, init = {}) {
      const { port, hostname } = new URL(info.apiUrl);
      const { promise, resolve, reject } =
        Promise.withResolvers<Awaited<ReturnType<TestStack["agentFetch"]>>>();
      const outgoing = httpRequest({
        host: hostname,
        port,
        path,
        method: init.method ?? "GET",
        signal: init.signal,
        headers: {
          host: `${agentId}.agents.localhost:${port}`,
          "content-type": "application/json",
          ...(init.token !== undefined && { authorization: `Bearer ${init.token}` }),
          ...init.headers,
        },
      });
      outgoing.on("error", reject);
      outgoing.on("response", async (answer) => {
        let body = "";
        try {
          for await (const chunk of answer.setEncoding("utf8")) body += chunk;
          resolve({ status: answer.statusCode ?? 0, body, headers: answer.headers });
        } catch (error) {
          reject(error);
        }
      });
      outgoing.end(init.body);
      return await promise;
    },

    async stop() {
      await pool.end();
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, "close");
      child.kill("SIGINT");
      await closed;
    },
  };
}
