// The tasks of the root's deno.json do what they say, with the Deno of package.json, and download nothing.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "vitest";
import { findDeno } from "../../packages/local-supabase/src/functions/discover.ts";

const root = join(import.meta.dirname, "../..");

/** A task in a group of its own: `deno task` starts another Deno. */
function task(name: string, env: Record<string, string> = {}): ChildProcess {
  return spawn(findDeno(), ["task", name], {
    cwd: root,
    detached: true,
    env: { ...process.env, ...env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** What a task printed, once it has ended well. */
async function outputOf(child: ChildProcess): Promise<string> {
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  const [code] = await once(child, "close");
  assert.equal(code, 0, output);
  assert.doesNotMatch(output, /^Download /m);
  return output;
}

test("deno task check judges the types of every function", async () => {
  const output = await outputOf(task("check"));
  for (const name of ["api", "knowledge", "respond", "upkeep"]) {
    assert.match(output, new RegExp(`Check .*functions/${name}/index\\.ts`));
  }
});

test("deno task test runs the tests that need Deno", async () => {
  assert.match(await outputOf(task("test")), /ok \| [1-9]\d* passed \| 0 failed/);
});

test("deno task serve answers where it is told to listen", async () => {
  const child = task("serve", { SUPABASE_URL: "http://127.0.0.1:1", DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0" });
  const ended = once(child, "close");
  try {
    const address = Promise.withResolvers<string>();
    for (const input of [child.stdout, child.stderr])
      createInterface({ input: input! }).on("line", (line) => {
        const found = /Listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1];
        if (found !== undefined) address.resolve(found);
      });
    child.once("close", (code) => address.reject(new Error(`it ended with ${code}`)));
    const response = await fetch(`${await address.promise}/api/openapi.json`);
    assert.equal(((await response.json()) as { openapi: string }).openapi, "3.1.1");
    const headers = { apikey: "sb_publishable_x", authorization: "Bearer a.b.c" };
    assert.equal((await fetch(`${await address.promise}/api/agents`, { headers })).status, 503);
  } finally {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGTERM");
    await ended;
  }
});
