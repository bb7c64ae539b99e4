#!/usr/bin/env node
// Starts the program: the sources in a clone, the compiled files in the published package.
import { existsSync } from "node:fs";
import { enableCompileCache } from "node:module";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 12)) {
  process.stderr.write(`launchpad needs Node 22.12 or newer; this is ${process.versions.node}.\n`);
  process.exit(1);
}
enableCompileCache();
const source = new URL("../src/main.ts", import.meta.url);
const { main } = await import(existsSync(source) ? source.href : "../dist/main.js");
await main(process.argv.slice(2));
