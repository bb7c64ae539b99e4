// Keeps a bootstrapped data folder to copy for new databases.

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { serverAccount } from "./account.ts";
import { bootstrap, bootstrapKey } from "./bootstrap.ts";
import { initCluster } from "./cluster.ts";
import type { Distribution } from "./distribution.ts";
import { CACHE_FOLDER } from "./paths.ts";
import { launchServer } from "./process.ts";

/**
 * Gives a bootstrapped, cleanly stopped data folder to copy: initdb and bootstrap take 1 s, a copy 0.1 s. It holds no user
 * data and no usable password (its superuser's is thrown away), and is named after everything that went into it.
 * It is built under another name and renamed, so no process ever copies half of it.
 */
export async function ensureTemplate(
  distribution: Distribution,
  cacheFolder: string = CACHE_FOLDER,
): Promise<string> {
  const key = bootstrapKey(distribution.key);
  const account = serverAccount(join(cacheFolder, `cluster-${key}`));
  // Another account cannot own another's folder, so each has its own template.
  const template = join(cacheFolder, `cluster-${key}${account ? `-${account.uid}` : ""}`);
  if (existsSync(join(template, "PG_VERSION"))) return template;

  const building = `${template}.${process.pid}-${randomBytes(3).toString("hex")}.tmp`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(cacheFolder, { recursive: true });
  const password = randomBytes(18).toString("base64url");
  try {
    await initCluster(distribution, building, account, password);
    const server = await launchServer({
      postgres: distribution.postgres,
      data: building,
      port: 0,
      account,
      durable: false,
      dieWithUs: true,
    });
    const client = new pg.Client({
      host: "127.0.0.1",
      port: server.port,
      user: "supabase_admin",
      password,
      database: "postgres",
    });
    try {
      // A server that ends meanwhile rejects the query under way; unheard, the event would end the whole stack.
      client.on("error", () => undefined);
      await client.connect();
      await bootstrap(client, key);
    } finally {
      await client.end().catch(() => undefined);
      await server.stop();
    }
    try {
      renameSync(building, template);
    } catch (error) {
      if (!existsSync(join(template, "PG_VERSION"))) throw error; // else: another process was faster
    }
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  forgetOld(cacheFolder, template);
  return template;
}

/** Removes the templates of earlier versions (30 MB each), except fresh ones: another checkout may be copying them. */
function forgetOld(cacheFolder: string, current: string): void {
  for (const name of readdirSync(cacheFolder)) {
    const folder = join(cacheFolder, name);
    if (!name.startsWith("cluster-") || folder === current) continue;
    if (Date.now() - statSync(folder).mtimeMs > 24 * 60 * 60 * 1000)
      rmSync(folder, { recursive: true, force: true });
  }
}
