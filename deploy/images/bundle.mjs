// node bundle.mjs: makes the runtime's bundle, with the esbuild that the lock file names. It stays in this step: images have the bundle.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
const wanted = `esbuild@${packages["node_modules/esbuild"].version}`;
const args = [
  "install",
  "--no-save",
  "--no-package-lock",
  "--ignore-scripts",
  "--no-audit",
  "--no-fund",
  wanted,
];
const { status, error } = spawnSync("npm", args, { stdio: "inherit" });
if (error !== undefined) throw error;
if (status !== 0) process.exit(status ?? 1);

const { bundleRuntime } = await import("../../packages/agent-runtime/src/bundle.ts");
if (!(await bundleRuntime())) throw new Error("esbuild was not installed");
