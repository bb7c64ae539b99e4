// Entry point. The compile cache comes before everything else: with it no file needs its types stripped again, which
// makes the start shorter and the process smaller.
import { enableCompileCache } from "node:module";
import { resolve } from "node:path";

enableCompileCache(resolve(import.meta.dirname, "../.cache/compile"));
const { run } = await import("./run.ts");
// Node would open a debugger on this signal, for every process of the machine; an agent of this account could send it.
process.on("SIGUSR1", () => {});
await run();
