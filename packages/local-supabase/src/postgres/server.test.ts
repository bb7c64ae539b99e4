import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, describe, test } from "vitest";
import { pgvector } from "../../../../scripts/pgvector.ts";
import { StackError } from "../errors.ts";
import { BESIDE } from "../ports.ts";
import { startTimeOf } from "../supervise/process-table.ts";
import { clusterPaths } from "./paths.ts";
import type { ServerExit } from "./process.ts";
import { type Postgres, startPostgres } from "./server.ts";

const folders: string[] = [];
const servers: Postgres[] = [];

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-server-test-"));
  folders.push(folder);
  return folder;
}

async function start(dataDir: string, onExit?: (exit: ServerExit) => void): Promise<Postgres> {
  const server = await startPostgres({ dataDir, port: 0, durable: false, ...(onExit ? { onExit } : {}) });
  servers.push(server);
  return server;
}

async function query<T extends pg.QueryResultRow>(
  server: Postgres,
  sql: string,
  role: "supabase_admin" | "postgres" = "postgres",
): Promise<T[]> {
  const client = new pg.Client({ connectionString: server.url(role) });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** The one sentence that a start is refused with. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof StackError, String(error));
    assert.ok(!error.message.includes("\n"), error.message);
    return error.message;
  }
  return assert.fail("expected a StackError");
}

afterAll(async () => {
  for (const server of servers) await server.kill();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe("the database server", () => {
  test("starts new, keeps its data over a stop, and serves logical replication", async () => {
    const folder = newFolder();
    let exit: ServerExit | undefined;
    const first = await start(folder, (e) => {
      exit = e;
    });
    assert.equal(first.isNew, true);
    await query(first, "create table public.kept as select 42 as n");
    await first.stop();
    assert.deepEqual([exit?.code, exit?.expected], [0, true]);
    const second = await start(folder);
    assert.equal(second.isNew, false);
    assert.deepEqual(await query(second, "select n from public.kept"), [{ n: 42 }]);
    assert.deepEqual(await query(second, "select current_setting('wal_level') as l"), [{ l: "logical" }]);
    await second.stop();
  });

  test.runIf(process.platform === "linux")("a new connection finds plpgsql and pgcrypto loaded", async () => {
    const server = await start(newFolder());
    const client = new pg.Client({ connectionString: server.url("postgres") });
    await client.connect();
    try {
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
      const loaded = readFileSync(`/proc/${rows[0]?.pid}/maps`, "utf8");
      for (const library of ["plpgsql", "pgcrypto", "pg_stat_statements"])
        assert.ok(loaded.includes(`/${library}.so`), library);
    } finally {
      await client.end();
    }
  });

  test("each data folder has its own passwords and Vault key, readable by nobody else", async () => {
    const [a, b] = [newFolder(), newFolder()];
    const [one, two] = [await start(a), await start(b)];
    assert.notEqual(new URL(one.url("postgres")).password, new URL(two.url("postgres")).password);
    assert.notDeepEqual(readFileSync(clusterPaths(a).vaultKey), readFileSync(clusterPaths(b).vaultKey));
    const wrong = new URL(one.superuserUrl);
    wrong.password = "wrong";
    const client = new pg.Client({ connectionString: wrong.toString() });
    await assert.rejects(client.connect(), { code: "28P01" });
    await Promise.all([one.stop(), two.stop()]);
  });

  test("recovers after kill -9 of the postmaster, with what was committed", async () => {
    const folder = newFolder();
    const exited = Promise.withResolvers<ServerExit>();
    const server = await start(folder, exited.resolve);
    await query(server, "create table public.kept as select 1 as n");
    process.kill(server.pid, "SIGKILL");
    const exit = await exited.promise;
    assert.deepEqual([exit.signal, exit.expected], ["SIGKILL", false]);
    const again = await start(folder);
    assert.deepEqual(await query(again, "select n from public.kept"), [{ n: 1 }]);
    await again.stop();
  });

  test("a stale postmaster.pid that names a live process of another kind does not stop a start", async () => {
    const folder = newFolder();
    await (await start(folder)).stop();
    writeFileSync(
      join(clusterPaths(folder).data, "postmaster.pid"),
      `${process.pid}\n${clusterPaths(folder).data}\n`,
    );
    await (await start(folder)).stop();
  });

  test("a taken port is named", async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as AddressInfo;
    assert.equal(
      await refusal(startPostgres({ dataDir: newFolder(), port })),
      `Port ${port} on 127.0.0.1 is already in use; choose another with --db-port (0 = any). ${BESIDE}`,
    );
    await new Promise((resolve) => holder.close(resolve));
  });

  test("a data folder that cannot be used is named, with the reason", async () => {
    const cases: [content: Record<string, string>, reason: RegExp][] = [
      [{ "notes.txt": "mine" }, /is not a PostgreSQL database/],
      [{ PG_VERSION: "16\n", "global/pg_control": "" }, /made by PostgreSQL 16, this stack runs 17/],
      [{ PG_VERSION: "17\n", "base/1": "" }, /is incomplete \(global\/pg_control is missing\)/],
    ];
    for (const [content, reason] of cases) {
      const folder = newFolder();
      for (const [name, text] of Object.entries(content)) {
        const file = join(clusterPaths(folder).data, name);
        mkdirSync(join(file, ".."), { recursive: true });
        writeFileSync(file, text);
      }
      const message = await refusal(startPostgres({ dataDir: folder, port: 0 }));
      assert.match(message, reason);
      assert.ok(message.includes(clusterPaths(folder).data), message);
    }
  });

  test("a folder of further extensions lets the project's role create them; one that cannot be read is named", async () => {
    const dataDir = newFolder();
    const extensionsFolder = await pgvector();
    const server = await startPostgres({ dataDir, port: 0, durable: false, extensionsFolder });
    servers.push(server);
    await query(server, "create extension vector with schema extensions");
    const [row] = await query<{ d: number }>(
      server,
      "select '[1,2]'::extensions.vector operator(extensions.<->) '[1,4]' as d",
    );
    assert.equal(row?.d, 2);
    await server.stop();
    const without = await start(dataDir);
    assert.equal((await query(without, "select from pg_extension where extname = 'vector'")).length, 1);
    await assert.rejects(
      startPostgres({ dataDir: newFolder(), port: 0, extensionsFolder: join(dataDir, "none") }),
      (error) =>
        error instanceof StackError &&
        /LAUNCHPAD_POSTGRES_EXTENSIONS names .*none, .*unset it/.test(error.message),
    );
  });

  test("lost passwords are named", async () => {
    const folder = newFolder();
    await (await start(folder)).stop();
    rmSync(clusterPaths(folder).credentials);
    assert.match(
      await refusal(startPostgres({ dataDir: folder, port: 0 })),
      /credentials\.json is missing or damaged/,
    );
  });

  test("a folder in use by a running stack is refused; when that stack is killed its server goes and the next start works", {
    skip: process.platform !== "linux",
  }, async () => {
    const folder = newFolder();
    const main = `
      import { startPostgres } from ${JSON.stringify(fileURLToPath(new URL("./server.ts", import.meta.url)))};
      const server = await startPostgres({ dataDir: ${JSON.stringify(folder)}, port: 0, durable: false });
      console.log(server.pid);
      setInterval(() => {}, 1000);`;
    const stack = spawn(process.execPath, ["--input-type=module", "-e", main], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const pid = await new Promise<number>((resolve) =>
      stack.stdout.once("data", (line: Buffer) => resolve(Number(line))),
    );
    assert.match(
      await refusal(startPostgres({ dataDir: folder, port: 0 })),
      new RegExp(`is in use by the stack running as process ${stack.pid}`),
    );

    const gone = new Promise((resolve) => stack.once("exit", resolve));
    stack.kill("SIGKILL");
    await gone;
    const again = await start(folder); // waits for the orphan's end where it has not come yet
    // Its remains may wait for whoever reaps orphans here.
    assert.equal(startTimeOf(pid), undefined);
    assert.deepEqual(await query(again, "select 1 as one"), [{ one: 1 }]);
    await again.stop();
  });
});
