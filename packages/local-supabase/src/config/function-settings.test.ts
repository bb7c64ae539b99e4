import assert from "node:assert/strict";
import { test } from "vitest";
import { DEFAULT_SETTINGS, functionSettings } from "./function-settings.ts";

test("a function's settings are read, and what is left out has the CLI's defaults", () => {
  const read = functionSettings(`
    project_id = "mine"
    [functions.hello]
    verify_jwt = false
    entrypoint = "./functions/hello/main.ts"
    static_files = ["a.html"]
    [functions.off]
    enabled = false
  `);
  assert.equal(read.get("hello")?.verify_jwt, false);
  assert.equal(read.get("hello")?.enabled, true);
  assert.equal(read.get("hello")?.entrypoint, "./functions/hello/main.ts");
  assert.equal(read.get("off")?.enabled, false);
  assert.deepEqual(DEFAULT_SETTINGS, { enabled: true, verify_jwt: true });
  assert.equal(functionSettings("").size, 0);
});

test("a wrong value is refused by its name", () => {
  assert.throws(
    () => functionSettings("[functions.hello]\nverify_jwt = 3"),
    /functions\.hello\.verify_jwt must be true/,
  );
  assert.throws(() => functionSettings("[functions"), /config\.toml is not TOML/);
});
