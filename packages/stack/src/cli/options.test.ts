import assert from "node:assert/strict";
import { StackError } from "@agent-launchpad/local-supabase/errors.ts";
import { test } from "vitest";
import { parseOptions } from "./options.ts";

test("without flags the documented standards hold", () => {
  assert.deepEqual(parseOptions([]), {
    port: 54321,
    dbPort: 54322,
    dataDir: ".launchpad",
    ephemeral: false,
    json: false,
    newKeys: false,
    upgrade: false,
    cluster: "processes",
    help: false,
  });
});

test("every flag is read", () => {
  const options = parseOptions([
    "--port",
    "0",
    "--db-port=1",
    "--data-dir",
    "x",
    "--json",
    "--new-keys",
    "--upgrade",
    "--cluster",
    "kubernetes",
    "--kubeconfig",
    "file",
    "--context=c",
  ]);
  assert.deepEqual(
    [
      options.port,
      options.dbPort,
      options.dataDir,
      options.json,
      options.newKeys,
      options.upgrade,
      options.cluster,
    ],
    [0, 1, "x", true, true, true, "kubernetes"],
  );
  assert.deepEqual([options.kubeconfig, options.context], ["file", "c"]);
});

for (const args of [
  ["--prot", "1"],
  ["--port"],
  ["--port", "70000"],
  ["--port", "eins"],
  ["--port=-1"],
  ["extra"],
  ["--cluster", "docker"],
  ["--data-dir="],
  ["--kubeconfig", "file"],
  ["--cluster", "kubernetes", "--kubeconfig="],
  ["--ephemeral", "--data-dir", "x"],
]) {
  test(`"${args.join(" ")}" is refused in one sentence`, () => {
    assert.throws(
      () => parseOptions(args),
      (error) => error instanceof StackError && /^[^\n]{10,160}\.$/.test(error.message),
    );
  });
}
