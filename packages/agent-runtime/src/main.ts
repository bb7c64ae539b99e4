// Entry point. The compile cache comes before everything else: with it no file needs its types stripped again, which
// saves half of the start and, where NODE_COMPILE_CACHE names the same folder from outside (so that this file too comes
// from the cache), the 17 MB that Node's TypeScript parser takes.
import { enableCompileCache } from "node:module";
import { compileCacheDir } from "./paths.ts";

/** What @types/node does not know yet. */
interface Droppable {
  drop(scope: string, reference: string): void;
}

const folder = process.env.NODE_COMPILE_CACHE ?? compileCacheDir;
enableCompileCache(folder);
// Under the permission model the agent's own code never writes compiled code: its files are shared between replicas.
(process.permission as unknown as Droppable | undefined)?.drop("fs.write", folder);
const { run } = await import("./run.ts");
await run();
