// Entry point of the Realtime process. The compile cache comes before everything else, so that no file is stripped and
// compiled again at the next start.
import { enableCompileCache, flushCompileCache } from "node:module";
import { resolve } from "node:path";

enableCompileCache(resolve(import.meta.dirname, "../../../../.cache/node"));
// Node would open a debugger on this signal, for every process of the machine; an agent of this account could send it.
process.on("SIGUSR1", () => {});
const { run } = await import("./run.ts");
await run();
flushCompileCache(); // now, not at the exit: the exit may be a kill
