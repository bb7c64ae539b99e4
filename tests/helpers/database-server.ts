// The database server of one test run, as a process of its own: test files are processes that come and go, the server stays
// while any of them is connected to this socket, and ends itself, its server and its folder 2 s after the last.
// Started by database.ts; not a test.
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { prepareDatabase } from "../../packages/local-supabase/src/postgres/prepare.ts";
import { type Postgres, startPostgres } from "../../packages/local-supabase/src/postgres/server.ts";
import type { ServerFacts } from "./database.ts";

const LINGER_MS = 2000;

const socketPath = process.argv[2] ?? "";
const clients = new Set<Socket>();
let leaving: NodeJS.Timeout | undefined;
let server: Postgres | undefined;
let folder: string | undefined;

const gate = createServer((socket) => {
  clearTimeout(leaving);
  clients.add(socket);
  socket.on("error", () => undefined);
  socket.on("close", () => {
    clients.delete(socket);
    if (clients.size === 0) leaving = setTimeout(() => void leave(0), LINGER_MS);
  });
  void facts.then(
    (value) => socket.write(`${JSON.stringify(value)}\n`),
    (error: unknown) =>
      socket.end(`${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n`),
  );
});
// Taken: another test process started a server at the same moment, and that one serves all.
gate.on("error", () => process.exit(0));

const listening = new Promise<void>((resolve) => gate.listen(socketPath, resolve));
leaving = setTimeout(() => void leave(0), 10_000); // whoever started this went away before connecting
const facts = listening.then(prepare);
facts.catch(() => setTimeout(() => void leave(1), 500)); // the clients were told by then

async function prepare(): Promise<ServerFacts> {
  folder = mkdtempSync(join(tmpdir(), "launchpad-test-"));
  server = await startPostgres({
    dataDir: folder,
    port: 0,
    durable: false,
    extensionsFolder: process.env.LAUNCHPAD_POSTGRES_EXTENSIONS,
    onExit: () => void leave(1),
  });
  await prepareDatabase(server, { projectFolder: join(import.meta.dirname, "../..") });
  // `postgres` is what test databases are cloned from, so nobody may stay connected to it.
  const admin = new pg.Client({ connectionString: server.superuserUrl });
  await admin.connect();
  await admin.query("create database maintenance");
  await admin.end();
  const urls = Object.fromEntries(
    (["supabase_admin", "postgres", "authenticator", "supabase_lite"] as const).map((role) => [
      role,
      server?.url(role, "maintenance") ?? "",
    ]),
  );
  return { urls: urls as ServerFacts["urls"] };
}

async function leave(code: number): Promise<void> {
  clearTimeout(leaving);
  gate.close();
  for (const client of clients) client.destroy();
  await server?.kill();
  if (folder) rmSync(folder, { recursive: true, force: true });
  process.exit(code);
}
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void leave(0));
