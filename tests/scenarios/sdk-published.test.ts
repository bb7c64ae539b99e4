// The SDK as it is published, in the programs of its users: the specification's sample word for word, and other runtimes.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type InstalledSdk, installSdk } from "../helpers/sdk.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";
import { bun } from "../helpers/tools.ts";

const ROOT = join(import.meta.dirname, "../..");
const SAMPLE = readFileSync(join(ROOT, "tests/helpers/sdk-sample.txt"), "utf8");

let stack: TestStack;
let sdk: InstalledSdk;
let user: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  user = await stack.createUser();
  sdk = installSdk();
  sdk.program("deno.json", '{ "nodeModulesDir": "manual" }');
  sdk.program("package.json", '{ "type": "module" }');
});
afterAll(async () => {
  sdk[Symbol.dispose]();
  await stack.stop();
});

/** Runs a program until `enough` says so of its output, or until it ends. */
async function run(
  command: string,
  args: string[],
  enough: (output: string) => boolean,
  env: Record<string, string> = {},
): Promise<string> {
  const child = spawn(command, args, {
    cwd: sdk.project,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const ended = new Promise<void>((resolve, reject) => {
    child.on("close", () => resolve()).on("error", reject);
  });
  const timer = setTimeout(() => child.kill(), 60_000);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (enough(output)) child.kill();
    });
  }
  await ended.finally(() => clearTimeout(timer));
  return output;
}

const environment = () => ({
  SUPABASE_URL: stack.info.apiUrl,
  SUPABASE_ANON_KEY: stack.info.publishableKey,
  EMAIL: user.email,
  PASSWORD: user.password,
  DO_NOT_TRACK: "1", // Bun reports its crashes otherwise
});

const ownBun = bun();
const noBun = "reason" in ownBun && ownBun.reason;
const bunProgram = "program" in ownBun ? ownBun.program : "";
const deno = join(ROOT, "node_modules/.bin/deno");

describe("Node.js SDK with Supabase", () => {
  const runtimes: [name: string, command: string, skip: string | false][] = [
    ["Node", process.execPath, false],
    ["Bun", bunProgram, noBun],
  ];
  for (const [name, command, skip] of runtimes) {
    test(`the specification's sample runs word for word in ${name}, and tells how the agent comes up`, {
      skip: Boolean(skip),
    }, async () => {
      // The sample's own user, and the stack's address in place of the one it imagines.
      await stack.client().auth.signUp({ email: "user@example.com", password: "password" });
      const text = SAMPLE.replace("https://api.yourdomain.com", stack.info.apiUrl);
      assert.notEqual(text, SAMPLE);
      // CommonJS has no await outside of a function.
      const program = sdk.program("sample.cjs", `(async () => {\n${text}\n})();\n`);
      const output = await run(
        command,
        [program],
        (said) => /status: ['"]DEPLOYED/.test(said) && /type: ['"]event/.test(said),
        environment(),
      );
      try {
        assert.match(output, /Agent update: \{\s*type: ['"]status/);
        assert.match(output, /Agent update: \{\s*type: ['"]event/);
        assert.match(output, /status: ['"]DEPLOYED/);
        assert.doesNotMatch(output, /Error|Warning/);
      } finally {
        await stack.sql(
          "delete from public.agents a using auth.users u where u.id = a.user_id and u.email = 'user@example.com' and a.name = 'my-bot'",
        );
      }
    });
  }
});

/** Launches, waits, tails, deletes; says DONE. The same in every runtime. */
const tour = (read: (name: string) => string, options = "{}") => `
import { createClient } from "@supabase/supabase-js";
import { AgentLaunchpadClient, AgentLaunchpadError } from "@agent-launchpad/sdk";
const supabase = createClient(${read("SUPABASE_URL")}, ${read("SUPABASE_ANON_KEY")}, ${options});
const client = new AgentLaunchpadClient({ supabaseClient: supabase });
const lost = await client.agents.list().catch((error) => error);
if (!(lost instanceof AgentLaunchpadError) || lost.code !== "INVALID_JWT_TOKEN") throw lost;
const { error } = await supabase.auth.signInWithPassword({ email: ${read("EMAIL")}, password: ${read("PASSWORD")} });
if (error) throw error;
const { agentId } = await client.agents.create({ agentName: "tour", resources: { memory: "256Mi", cpu: "100m" } });
await client.agents.waitUntil(agentId);
const kinds = new Set();
await new Promise((resolve) => {
  const stop = client.subscribeToAgent(agentId, ({ type }) => {
    kinds.add(type);
    if (kinds.has("status") && kinds.has("event") && kinds.has("log")) { stop(); resolve(); }
  }, { onConnection: (state) => state === "live" && client.agents.restart(agentId) });
});
for await (const line of client.agents.tailLogs(agentId, { lines: 1 })) { console.log(line.message); break; }
await client.agents.delete(agentId);
await client.agents.waitUntil(agentId, "DELETED");
console.log("DONE");
`;

describe("the same program", () => {
  const inNode = tour((name) => `process.env.${name}`);
  const finished = (output: string) => output.includes("DONE");

  test("in this Node, as an ES module", async () => {
    assert.match(
      await run(process.execPath, [sdk.program("tour.mjs", inNode)], finished, environment()),
      /DONE/,
    );
  });

  // Node 20 is the oldest that is supported; it has no WebSocket of its own, and supabase-js wants one there.
  const older = "/usr/bin/node";
  test("in the machine's own Node", { skip: !existsSync(older) }, async () => {
    symlinkSync(join(ROOT, "node_modules/ws"), join(sdk.project, "node_modules/ws"));
    const options = '{ realtime: { transport: (await import("ws")).default } }';
    const program = sdk.program(
      "tour-older.mjs",
      tour((name) => `process.env.${name}`, options),
    );
    assert.match(await run(older, [program], finished, environment()), /DONE/);
  });

  test("in Deno", async () => {
    const program = sdk.program(
      "tour-deno.mjs",
      tour((name) => `Deno.env.get("${name}")`),
    );
    assert.match(await run(deno, ["run", "--allow-all", program], finished, environment()), /DONE/);
  });

  test("in Bun", { skip: Boolean(noBun) }, async () => {
    for (const name of ["tour-bun.mjs", "tour-bun.ts"])
      assert.match(await run(bunProgram, [sdk.program(name, inNode)], finished, environment()), /DONE/);
  });

  const chromium = "/usr/bin/chromium";
  test("in a browser, on a page of another origin", { skip: !existsSync(chromium) }, async () => {
    const { promise: said, resolve } = Promise.withResolvers<string>();
    const values: Record<string, string> = environment();
    const program = tour((name) => JSON.stringify(values[name])).replace(
      'console.log("DONE")',
      'say("DONE")',
    );
    const page = `<!doctype html><script type="importmap">{ "imports": {
      "@agent-launchpad/sdk": "/sdk.js", "@supabase/supabase-js": "/supabase.js" } }</script>
      <script>const say = (text) => fetch("/said", { method: "POST", body: text });
      addEventListener("unhandledrejection", ({ reason }) => say(String(reason?.stack ?? reason)));
      addEventListener("error", ({ message }) => say(message));</script>
      <script type="module">${program}</script>`;
    const umd = readFileSync(join(ROOT, "node_modules/@supabase/supabase-js/dist/umd/supabase.js"), "utf8");
    const files: Record<string, [type: string, body: string | Buffer]> = {
      "/": ["text/html", page],
      "/sdk.js": [
        "text/javascript",
        readFileSync(join(sdk.project, "node_modules/@agent-launchpad/sdk/esm/index.js")),
      ],
      "/supabase.js": ["text/javascript", `${umd}\nexport const { createClient } = supabase;`],
    };
    const server = createServer(async (request, response) => {
      if (request.method === "POST") {
        let body = "";
        for await (const chunk of request.setEncoding("utf8")) body += chunk;
        resolve(body);
      }
      const [type, body] = files[request.url ?? ""] ?? ["text/plain", ""];
      response.setHeader("content-type", type).end(body);
    }).listen(0, "127.0.0.1");
    await new Promise((listening) => server.once("listening", listening));
    const profile = join(sdk.project, "profile");
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`];
    const browser = spawn(
      chromium,
      [...flags, `http://127.0.0.1:${(server.address() as AddressInfo).port}/`],
      {
        stdio: "ignore",
        detached: true,
        // It leaves a folder there where it is killed.
        env: { ...process.env, TMPDIR: sdk.project },
      },
    );
    const closed = new Promise((done) => browser.once("close", done));
    const timer = setTimeout(() => resolve("the browser said nothing"), 60_000);
    try {
      assert.equal(await said, "DONE");
    } finally {
      clearTimeout(timer);
      if (browser.pid !== undefined) process.kill(-browser.pid);
      await closed;
      server.closeAllConnections();
      server.close();
    }
  });
});

/** Changes, each after a read that leaves a connection behind; says how each ends. */
const CHANGES = `
import { createClient } from "@supabase/supabase-js";
import { AgentLaunchpadClient } from "@agent-launchpad/sdk";
const supabase = createClient(process.env.ORIGIN, "sb_publishable_x", { accessToken: async () => "token" });
const { agents, swarms } = new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: process.env.ORIGIN });
for (const change of [
  () => agents.update("agent-a", { description: "lost" }),
  () => agents.delete("agent-a"),
  () => swarms.create({ name: "lost" }),
]) {
  await agents.get("agent-a");
  console.log(await change().then(() => "done", ({ code }) => code));
}
console.log("END");
process.exit();
`;

describe("a change whose answer was lost on a kept connection is sent once", () => {
  for (const [name, command, args, skip] of [
    ["Node", process.execPath, [], false],
    ["Deno", deno, ["run", "--allow-all"], false],
    ["Bun", bunProgram, [], noBun],
  ] as const) {
    test(`in ${name}`, { skip: Boolean(skip) }, async () => {
      const changes: string[] = [];
      const server = createServer(async (request, response) => {
        await request.resume().toArray();
        if (request.method === "GET") return response.end("{}");
        changes.push(`${request.method} ${request.url?.split("?", 1)[0]}`);
        return request.socket.destroy();
      }).listen(0, "127.0.0.1");
      await new Promise((listening) => server.once("listening", listening));
      try {
        const env = { ORIGIN: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
        const program = sdk.program("changes.mjs", CHANGES);
        const output = await run(command, [...args, program], (said) => said.includes("END"), env);
        assert.deepEqual(output.trim().split("\n").slice(0, 3), Array(3).fill("SUPABASE_CONNECTION_ERROR"));
        assert.deepEqual(changes, [
          "PUT /api/agents/agent-a",
          "DELETE /api/agents/agent-a",
          "POST /rest/v1/swarms",
        ]);
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });
  }
});
