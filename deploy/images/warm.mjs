// node warm.mjs <image>: runs the image's program once, so that its compiled code is in the image: a container starts in
// half the time, and its read-only root would never let it keep the code itself. Fails where the program does not start.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, globSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

/** The user of the images: Node keeps a cache per user. */
const USER = 65532;
const cache = resolve(".cache/compile");

const warm = {
  "agent-runtime": async () => {
    for (const framework of ["openai", "anthropic", "google"]) await runAgent({ framework });
    await importAll(
      globSync("packages/agent-runtime/dist/*.mjs").filter((file) => !file.endsWith("/main.mjs")),
    );
    // The init step of pods with plugins; without settings it says so.
    await ends(start(["packages/agent-runtime/src/plugin-set/main.ts"], {}), 1);
  },
  "agent-runtime-eliza": () => runAgent({ plugins: ["@elizaos/plugin-openai"] }),
  controller: async () => {
    const files = globSync("packages/controller/src/**/*.ts").filter(
      (file) => !file.endsWith("/src/main.ts"),
    );
    await importAll(files);
    // Without settings it says so; main.ts, too, is compiled then.
    await ends(start(["packages/controller/src/main.ts"], {}), 1);
  },
};

mkdirSync(cache, { recursive: true });
chownSync(cache, USER, USER);
await warm[process.argv[2]]();
// Owned by root again: what an agent runs is not the agent's to write.
chown(cache);

/** What nothing that runs here reaches: an agent loads most with its first message. */
async function importAll(files) {
  const imports = files.map((file) => `await import(${JSON.stringify(pathToFileURL(resolve(file)).href)});`);
  await ends(start(["--input-type=module", "--eval", imports.join("\n")], {}), 0);
}

async function runAgent(settings) {
  const state = mkdtempSync(join(tmpdir(), "warm-"));
  chownSync(state, USER, USER);
  const config = join(state, "agent.json");
  writeFileSync(config, JSON.stringify({ agentId: "warm", name: "warm", ...settings }));
  const keys = ["OPENAI", "ANTHROPIC", "GOOGLE_GENERATIVE_AI"].map((name) => [
    `${name}_API_KEY`,
    "not-a-key",
  ]);
  const agent = start(["packages/agent-runtime/dist/main.mjs"], {
    AGENT_CONFIG_FILE: config,
    AGENT_STATE_DIR: state,
    HOME: state,
    ...Object.fromEntries(keys),
  });
  for await (const line of createInterface({ input: agent.stdout })) {
    process.stdout.write(`${line}\n`);
    if (line.includes('"message":"listening"')) agent.kill("SIGTERM");
  }
  await ends(agent, 0);
}

function start(args, environment) {
  return spawn(process.execPath, args, {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: cache, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
    uid: USER,
    gid: USER,
  });
}

async function ends(child, expected) {
  child.stdout.resume();
  if (child.exitCode === null) await once(child, "exit");
  if (child.exitCode !== expected) throw new Error(`ended with ${child.exitCode}, not ${expected}`);
}

function chown(path) {
  chownSync(path, 0, 0);
  chmodSync(path, 0o755);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) chown(child);
    else {
      chownSync(child, 0, 0);
      chmodSync(child, 0o444);
    }
  }
}
