import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "vitest";

const launcher = join(import.meta.dirname, "../bin/launchpad.js");

/** A module that makes this Node look older: its version, and a `node:module` that exports nothing by name. */
function older(version: string): string {
  return `data:text/javascript,${encodeURIComponent(`
    import { registerHooks } from "node:module";
    Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } });
    registerHooks({
      resolve: (name, context, next) =>
        name === "node:module" && context.parentURL?.endsWith("/bin/launchpad.js")
          ? { url: "data:text/javascript,export default {}", format: "module", shortCircuit: true }
          : next(name, context),
    });
  `)}`;
}

for (const version of ["20.20.2", "22.17.1"]) {
  test(`on Node ${version} it says in one line which Node it needs, and where one is`, () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      ["--import", older(version), launcher, "--version"],
      {
        encoding: "utf8",
      },
    );
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^launchpad needs Node 22\.18 or newer, .+node_modules\/\.bin.+ This one is [\d.]+\n$/,
    );
    assert.match(stderr, new RegExp(version.replaceAll(".", "\\.")));
  });
}

test("on this Node it starts", () => {
  const { status, stdout } = spawnSync(process.execPath, [launcher, "--version"], { encoding: "utf8" });
  assert.equal(status, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});
