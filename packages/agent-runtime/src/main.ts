// Entry point. The compile cache comes before everything else: with it no file needs its types stripped again, which
// saves half of the start and, where NODE_COMPILE_CACHE names the same folder from outside (so that this file too comes
// from the cache), the 17 MB that Node's TypeScript parser takes.
import { enableCompileCache, flushCompileCache } from "node:module";
import { compileCacheDir } from "./paths.ts";

enableCompileCache(process.env.NODE_COMPILE_CACHE ?? compileCacheDir);
const { run } = await import("./run.ts");
await run();
flushCompileCache(); // now, not at the exit: the exit may be a kill
