// The service `storage`, inside this process.

import { s3Keys } from "../keys.ts";
import { startStorage } from "../storage/service.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { type ProjectContext, running } from "./context.ts";

/** Whatever a bucket allows. */
const LARGEST_FILE = 512 * 1024 * 1024;

export function storageService(context: ProjectContext): ServiceSpec {
  const { keys, dataDir, live } = context;
  return {
    name: "storage",
    needs: ["schema"],
    async start() {
      delete live.storage;
      const started = await startStorage({
        dbUrl: running(live.postgres, "postgres").url("supabase_lite"),
        jwtSecret: keys.jwtSecret,
        folder: dataDir.storage,
        fileSizeLimit: LARGEST_FILE,
        s3: s3Keys(keys),
      });
      live.storage = started;
      return { stop: () => started.stop() };
    },
  };
}
