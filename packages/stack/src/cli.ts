import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

// Compiled code is kept between starts: the second start then neither strips types nor compiles.
enableCompileCache(fileURLToPath(new URL("../../../.cache/node", import.meta.url)));
const { main } = await import("./cli/main.ts");
await main(process.argv.slice(2));
