/** A database and Storage before it, for tests: nothing else of a stack. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import pg from "pg";
import { type Postgres, startPostgres } from "../postgres/server.ts";
import { type StorageService, startStorage } from "./service.ts";

const SECRET = "a-secret-for-tests-of-storage-alone";

export interface TestProject {
  postgres: Postgres;
  superuser: pg.Pool;
  /** Where Storage keeps files. */
  folder: string;
  url: string;
  /** Requests `/storage/v1<path>`, as `service_role` unless another token is given (null: none). */
  ask(path: string, init?: RequestInit & { token?: string | null }): Promise<Response>;
  tokenOf(claims: Record<string, unknown>): Promise<string>;
  /** Starts Storage again over the same folder. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts both; `prepare` runs before Storage does. */
export async function startTestProject(
  prepare?: (superuser: pg.Pool, folder: string) => Promise<void>,
): Promise<TestProject> {
  const home = await mkdtemp(join(tmpdir(), "storage-"));
  const folder = join(home, "storage");
  const postgres = await startPostgres({ dataDir: join(home, "data"), port: 0, durable: false });
  const superuser = new pg.Pool({ connectionString: postgres.superuserUrl, max: 2 });
  superuser.on("error", () => undefined);
  await prepare?.(superuser, folder);
  const start = () =>
    startStorage({
      dbUrl: postgres.url("supabase_lite"),
      jwtSecret: SECRET,
      folder,
      fileSizeLimit: 20 * 1024 * 1024,
    });
  let storage: StorageService = await start();
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    void storage.handle(request, response, {
      path: request.url ?? "/",
      authorization,
      plain: (token) => token,
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/storage/v1`;
  const tokenOf = (claims: Record<string, unknown>) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("1h")
      .sign(new TextEncoder().encode(SECRET));
  const service = await tokenOf({ role: "service_role" });
  return {
    postgres,
    superuser,
    folder,
    url,
    tokenOf,
    async ask(path, { token = service, ...init } = {}) {
      const headers = new Headers(init.headers);
      if (token !== null) headers.set("authorization", `Bearer ${token}`);
      if (typeof init.body === "string" && !headers.has("content-type"))
        headers.set("content-type", "application/json");
      return await fetch(url + path, { ...init, headers });
    },
    async restart() {
      await storage.stop();
      storage = await start();
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await storage.stop();
      await superuser.end();
      await postgres.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}
