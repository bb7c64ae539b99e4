import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, test } from "vitest";
import { functionSettings } from "../config/function-settings.ts";
import { findFunctions } from "../functions/discover.ts";
import { generateKeys } from "../keys.ts";
import { type Guardian, startGuardian } from "../supervise/guardian.ts";
import { type FunctionOptions, type FunctionState, hostFunction, startFunction } from "./functions.ts";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const keys = generateKeys();
let folder: string;
let guardian: Guardian;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "launchpad-functions-"));
  guardian = startGuardian();
});
afterAll(async () => {
  await guardian.release();
  await rm(folder, { recursive: true });
});

const entry = () => join(folder, "fn", "index.ts");

async function write(code: string): Promise<void> {
  await mkdir(dirname(entry()), { recursive: true });
  await writeFile(entry(), code);
}

/** What a function is started with. */
function optionsOf(log: (line: string) => void = () => {}): FunctionOptions {
  return {
    fn: { name: "fn", entry: entry(), config: undefined, verifyJwt: false },
    root: ROOT,
    gatewayUrl: "http://127.0.0.1:1",
    dbUrl: "postgres://postgres@127.0.0.1:3/postgres",
    keys,
    environment: {
      machine: { HOME: "/nowhere" },
      functions: { MINE: "from .env" },
    },
    guardian,
    log,
    signal: new AbortController().signal,
  };
}

/** Starts a function with this code; gives its answer to one request. */
async function answerOf(code: string, log?: (line: string) => void): Promise<Response> {
  await write(code);
  const { child, port } = await startFunction(optionsOf(log));
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/fn/path?q=1`);
    return new Response(await answer.arrayBuffer(), answer);
  } finally {
    await child.stop();
  }
}

test("every way that hosted lets a function serve works", async () => {
  const handler = "(request) => new Response(new URL(request.url).pathname)";
  for (const code of [
    `Deno.serve(${handler});`,
    `Deno.serve({ port: 9999, hostname: "0.0.0.0" }, ${handler});`,
    `Deno.serve({ handler: ${handler} });`,
    `export default { fetch: ${handler} };`,
  ]) {
    assert.equal(await (await answerOf(code)).text(), "/fn/path", code);
  }
});

test("a function has hosted's variables and its own, and nothing else of this machine", async () => {
  const answer = await answerOf("Deno.serve(() => Response.json(Deno.env.toObject()));");
  const env = (await answer.json()) as Record<string, string>;
  assert.equal(env.SUPABASE_URL, "http://127.0.0.1:1");
  assert.deepEqual(JSON.parse(env.SUPABASE_PUBLISHABLE_KEYS ?? ""), { default: keys.publishableKey });
  assert.deepEqual(JSON.parse(env.SUPABASE_SECRET_KEYS ?? ""), { default: keys.secretKey });
  assert.equal(env.SUPABASE_ANON_KEY, keys.publishableKey);
  assert.equal(env.SUPABASE_SERVICE_ROLE_KEY, keys.secretKey);
  assert.equal(env.SUPABASE_DB_URL, "postgres://postgres@127.0.0.1:3/postgres");
  assert.ok(Array.isArray(JSON.parse(env.SUPABASE_JWKS ?? "").keys));
  assert.equal(env.SB_REGION, "local");
  assert.match(env.SB_EXECUTION_ID ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(env.DENO_DEPLOYMENT_ID, "local_fn_1");
  assert.equal(env.MINE, "from .env");
  assert.equal(env.USER, undefined);
});

test("a function may not write, run programs or read elsewhere", async () => {
  const answer = await answerOf(`
    const tries = {
      write: () => Deno.writeTextFileSync("x", ""),
      run: () => new Deno.Command("/bin/ls").outputSync(),
      read: () => Deno.readTextFileSync("/etc/passwd"),
    };
    Deno.serve(() => Response.json(Object.entries(tries).map(([name, attempt]) => {
      try { attempt(); return name + " allowed"; } catch (error) { return name + " " + error.name; }
    })));
  `);
  assert.deepEqual(await answer.json(), ["write NotCapable", "run NotCapable", "read NotCapable"]);
});

test("a function that cannot start says why", async () => {
  await assert.rejects(
    answerOf(`throw new Error("no luck today");`),
    /function fn did not start: .*no luck today/s,
  );
  await assert.rejects(answerOf("export {};"), /Deno\.serve needs a handler/);
});

test("a function that does not load is reported, and starts when its file is mended", async () => {
  const states: FunctionState[] = [];
  const reported: string[] = [];
  const host = () =>
    hostFunction({
      ...optionsOf(),
      onState: (state) => states.push(state),
      report: (line) => reported.push(line),
    });
  await write("this is no code");
  const broken = await host();
  assert.deepEqual(states, ["boot error"]);
  assert.match(reported[0] ?? "", /function fn did not start: .*\/functions\/v1\/fn answers 503/s);
  await write(`Deno.serve(() => new Response("mended"));`);
  assert.equal((await broken.exited).error, "its files changed");
  await broken.stop();
  const mended = await host();
  const state = states[1];
  assert.ok(state && state !== "boot error");
  assert.equal(await (await fetch(`http://127.0.0.1:${state.port}/`)).text(), "mended");
  await mended.stop();
});

test("config.toml says which functions there are and how they are served", async () => {
  const project = join(folder, "project", "supabase", "functions");
  for (const path of ["a/main.ts", "a/imports.json", "b/index.ts", "c/index.ts"]) {
    await mkdir(dirname(join(project, path)), { recursive: true });
    await writeFile(join(project, path), "{}");
  }
  const settings = functionSettings(`
    [functions.a]
    verify_jwt = false
    entrypoint = "./functions/a/main.ts"
    import_map = "./functions/a/imports.json"
    [functions.c]
    enabled = false`);
  assert.deepEqual(
    findFunctions(project, settings).map(({ name, entry: file, importMap, verifyJwt }) => ({
      name,
      file,
      importMap,
      verifyJwt,
    })),
    [
      {
        name: "a",
        file: join(project, "a/main.ts"),
        importMap: join(project, "a/imports.json"),
        verifyJwt: false,
      },
      { name: "b", file: join(project, "b/index.ts"), importMap: undefined, verifyJwt: true },
    ],
  );
});

test("folders that deploy would deploy are found", async () => {
  const found = join(folder, "several");
  for (const path of [
    "api/index.ts",
    "_shared/index.ts",
    "empty/other.ts",
    "1st/index.ts",
    "with-config/index.ts",
    "with-config/deno.json",
  ]) {
    await mkdir(dirname(join(found, path)), { recursive: true });
    await writeFile(join(found, path), "{}");
  }
  assert.deepEqual(
    findFunctions(found).map(({ name, config }) => [name, config !== undefined]),
    [
      ["api", false],
      ["with-config", true],
    ],
  );
  assert.deepEqual(findFunctions(join(folder, "absent")), []);
});

test("what a function logs right before it ends is not lost", async () => {
  const logged = (text: string) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    return { promise, log: (line: string) => line === text && resolve() };
  };
  const stopped = logged("asked");
  await answerOf(`Deno.serve(() => { console.log("asked"); return new Response(); });`, stopped.log);
  await stopped.promise;
  const failed = logged("about to fail");
  await assert.rejects(answerOf(`console.log("about to fail"); throw new Error("no luck");`, failed.log));
  await failed.promise;
});
