#!/usr/bin/env node
// Starts the program: the sources in a clone, the compiled files in the published package.
// An older Node must come as far as the sentence below: no static import of a name that it does not have.
import { existsSync } from "node:fs";
import module from "node:module";

const source = new URL("../src/main.ts", import.meta.url);
const clone = existsSync(source);
const [major, minor] = process.versions.node.split(".").map(Number);
const least = clone ? 18 : 12; // sources need a Node that strips types
if (major < 22 || (major === 22 && minor < least)) {
  const advice = clone
    ? ", as there is in this clone's node_modules/.bin; put that folder first on PATH"
    : "";
  process.stderr.write(
    `launchpad needs Node 22.${least} or newer${advice}. This one is ${process.versions.node}.\n`,
  );
  process.exit(1);
}
module.enableCompileCache();
const { main } = await import(clone ? source.href : "../dist/main.js");
await main(process.argv.slice(2));
