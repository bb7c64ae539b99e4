// docs/self-hosting.md, followed command by command: the real Supabase CLI against a double of the management API and a
// Postgres of which nothing but the platform's own part is there; then a controller of one's own on it.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, test } from "vitest";
import { type AuthService, startAuth } from "../../packages/local-supabase/src/auth/service.ts";
import { findFunctions } from "../../packages/local-supabase/src/functions/discover.ts";
import { type Gateway, startGateway } from "../../packages/local-supabase/src/gateway/server.ts";
import { generateKeys, verifyingKeys } from "../../packages/local-supabase/src/keys.ts";
import { createMailbox } from "../../packages/local-supabase/src/mailbox/mailbox.ts";
import { freePort } from "../../packages/local-supabase/src/ports.ts";
import { bootstrap, bootstrapKey } from "../../packages/local-supabase/src/postgres/bootstrap.ts";
import { type Postgres, startPostgres } from "../../packages/local-supabase/src/postgres/server.ts";
import { type Postgrest, startPostgrest } from "../../packages/local-supabase/src/postgrest.ts";
import { startFunction } from "../../packages/local-supabase/src/services/functions.ts";
import { type StorageService, startStorage } from "../../packages/local-supabase/src/storage/service.ts";
import type { Child } from "../../packages/local-supabase/src/supervise/child.ts";
import { type Guardian, startGuardian } from "../../packages/local-supabase/src/supervise/guardian.ts";
import { startNetWorker, type Worker } from "../../packages/local-supabase/src/workers/net-worker.ts";
import { createGatewayExtension } from "../../packages/stack/src/gateway/extension.ts";
import { respondSecret } from "../../packages/stack/src/secrets.ts";
import { commandBlocks, inBackground, type Outcome, runMarked } from "../helpers/doc-blocks.ts";
import { type ManagementApi, PROJECT_REF, startManagementApi } from "../helpers/management-api.ts";

const root = join(import.meta.dirname, "../..");
const keys = generateKeys();
let folder: string;
let database: Postgres;
let rest: Postgrest;
let gateway: Gateway;
let management: ManagementApi;
let platform: AuthService | undefined;
let storage: StorageService | undefined;
let guardian: Guardian;
const children: Child[] = [];
let netWorker: Worker;
let outcomes: Outcome[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "launchpad-self-hosting-"));
  management = await startManagementApi([
    "supabase/migrations",
    "supabase/seed.sql",
    "packages/agent-runtime/src",
  ]);
  database = await startPostgres({
    dataDir: join(folder, "data"),
    port: 0,
    durable: false,
    onExit: () => {},
  });
  const superuser = new pg.Client({ connectionString: database.superuserUrl });
  await superuser.connect();
  await bootstrap(superuser, bootstrapKey(database.distribution.key));
  await superuser.end();
  rest = await startPostgrest({
    dbUrl: database.url("authenticator"),
    jwtKeys: verifyingKeys(keys),
    onExit: () => {},
  });
  const functions = new Map<string, { host: string; port: number }>();
  const mailbox = createMailbox();
  gateway = await startGateway(0, {
    keys,
    mailbox,
    rest: () => ({ host: "127.0.0.1", port: rest.port }),
    platform: () => platform?.handler,
    storage: () => storage,
    functions: (name) => functions.get(name) ?? "unknown",
    health: () => ({}),
    extension: createGatewayExtension({
      keys,
      rest: () => ({ host: "127.0.0.1", port: rest.port }),
      agents: () => undefined,
    }),
  });
  // The rest of the platform, which Supabase runs.
  platform = await startAuth({
    dbUrl: database.url("supabase_lite"),
    keys,
    root,
    env: {},
    gatewayUrl: gateway.url,
    mailbox,
    log: () => {},
  });
  storage = await startStorage({
    dbUrl: database.url("supabase_lite"),
    jwtSecret: keys.jwtSecret,
    folder: join(folder, "storage"),
    fileSizeLimit: 1_000_000,
  });
  netWorker = startNetWorker({ url: database.superuserUrl });
  guardian = startGuardian();
  for (const fn of findFunctions(join(root, "supabase/functions"))) {
    const environment = {
      machine: { PATH: process.env.PATH ?? "" },
      functions: {},
    };
    const { child, port } = await startFunction({
      fn,
      root,
      gatewayUrl: gateway.url,
      dbUrl: database.url("postgres"),
      variables: {
        LAUNCHPAD_REST_URL: `http://127.0.0.1:${rest.port}`,
        LAUNCHPAD_RESPOND_SECRET: respondSecret(keys),
      },
      read: ["packages"],
      keys,
      environment,
      guardian,
      log: () => {},
      signal: AbortSignal.timeout(60_000),
    });
    children.push(child);
    functions.set(fn.name, { host: "127.0.0.1", port });
  }

  const [port, ingressPort] = await Promise.all([freePort(0, "a port"), freePort(0, "a port")]);

  outcomes = await runMarked("docs/self-hosting.md", import.meta.filename, {
    cwd: root,
    env: {
      ...management.env,
      // Where the CLI finds the project, and what a service manager would set.
      SUPABASE_WORKDIR: management.project,
      LAUNCHPAD_PORT: String(port),
      LAUNCHPAD_INGRESS_PORT: String(ingressPort),
      LAUNCHPAD_ADVISORY_URL: "off",
    },
    replace: {
      "your-project-reference": PROJECT_REF,
      "RESPOND_SECRET=$(openssl rand -hex 32)": `RESPOND_SECRET=${respondSecret(keys)}`,
      "postgresql://…": database.url("postgres"),
      "https://$REF.supabase.co": gateway.url,
      "sb_secret_…": keys.secretKey,
      "sb_publishable_…": keys.publishableKey,
      "https://controller.example.com": `http://127.0.0.1:${port}`,
      "/var/lib/agent-launchpad": join(folder, "controller"),
      // Until the page's end.
      "node packages/controller/src/main.ts": inBackground(
        "node packages/controller/src/main.ts",
        '"event":"ready"',
        join(folder, "controller.log"),
      ),
    },
    timeoutMs: 120_000,
  });
});

afterAll(async () => {
  await Promise.all(children.map((child) => child.stop()));
  await guardian?.release();
  await netWorker?.stop();
  await platform?.stop();
  await storage?.stop();
  await gateway?.close();
  await rest?.stop();
  await database?.stop();
  await management?.stop();
  await rm(folder, { recursive: true, force: true });
});

test("every block of the page ran", async () => {
  const page = await readFile(join(root, "docs/self-hosting.md"), "utf8");
  assert.deepEqual(
    outcomes.map(({ block }) => block),
    commandBlocks(page),
  );
});

test("the functions were deployed, and have their secret", () => {
  assert.deepEqual([...management.functions.keys()].sort(), ["api", "knowledge", "respond", "upkeep"]);
  assert.equal(management.secrets.get("LAUNCHPAD_RESPOND_SECRET"), respondSecret(keys));
});

test("knowledge is deployed with all it loads, a PDF's reader included, and without tests", () => {
  const names = [...(management.functions.get("knowledge")?.files.keys() ?? [])];
  for (const part of [
    "knowledge/indexer.ts",
    "knowledge/pdf-text.ts",
    "respond/settings.ts",
    "src/character.ts",
  ])
    assert.ok(
      names.some((name) => name.endsWith(part)),
      `${part} in ${names.join("\n")}`,
    );
  assert.deepEqual(
    names.filter((name) => /\.test\.ts$|testing/.test(name)),
    [],
  );
});

test("upkeep is deployed with all it loads, and without tests", () => {
  const names = [...(management.functions.get("upkeep")?.files.keys() ?? [])];
  for (const part of ["upkeep/runtime-packages.ts", "_shared/claimed-work.ts", "src/signature.ts"])
    assert.ok(
      names.some((name) => name.endsWith(part)),
      `${part} in ${names.join("\n")}`,
    );
  assert.deepEqual(
    names.filter((name) => /\.test\.ts$|testing/.test(name)),
    [],
  );
});

test("the database knows where its signed calls go", async () => {
  const client = new pg.Client({ connectionString: database.url("postgres") });
  await client.connect();
  const { rows } = await client.query("select name from vault.secrets order by name");
  await client.end();
  assert.deepEqual(
    rows.map(({ name }) => name),
    [
      "launchpad_controller_url",
      "launchpad_functions_url",
      "launchpad_respond_secret",
      "launchpad_webhook_secret",
    ],
  );
});

test("the last push has nothing to push", () => {
  assert.match(outcomes.at(-1)?.output ?? "", /up to date/i);
});
