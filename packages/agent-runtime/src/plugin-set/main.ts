// The program of a pod's init step on Kubernetes: fills the agent's volume of plugins. One JSON line says how it went.
import { z } from "zod";
import { EXIT } from "../errors.ts";
import { createLog } from "../log.ts";
import { defaultElizaDir } from "../paths.ts";
import { fetchSet, SetError } from "./fetch.ts";

const environmentSchema = z.object({
  AGENT_PLUGIN_URL: z.url({ protocol: /^https?$/ }),
  AGENT_PLUGIN_SET: z.string().regex(/^[0-9a-f]{64}$/),
  AGENT_PLUGIN_KEY: z.string().min(32),
  AGENT_PLUGIN_DIR: z.string().min(1),
  AGENT_PLUGIN_BYTES: z.coerce.number().int().min(1),
  AGENT_PLUGIN_PATIENCE_MS: z.coerce.number().int().min(1).max(3_600_000).default(60_000),
});

const environment = environmentSchema.parse(process.env);
const log = createLog({ source: "plugins", secrets: [environment.AGENT_PLUGIN_KEY] });
const began = performance.now();
process.on("SIGTERM", () => process.exit(EXIT.crash));
try {
  const how = await fetchSet({
    url: environment.AGENT_PLUGIN_URL,
    key: environment.AGENT_PLUGIN_KEY,
    set: environment.AGENT_PLUGIN_SET,
    folder: environment.AGENT_PLUGIN_DIR,
    limit: environment.AGENT_PLUGIN_BYTES,
    eliza: defaultElizaDir,
    patienceMs: environment.AGENT_PLUGIN_PATIENCE_MS,
  });
  log.info("the plugins are there", { how, milliseconds: Math.round(performance.now() - began) });
  process.exitCode = EXIT.ok;
} catch (error) {
  const { message } = error as Error;
  log.error(message, { reason: "PLUGIN_INSTALL_FAILED" });
  process.exit(error instanceof SetError ? EXIT.configuration : EXIT.crash);
}
