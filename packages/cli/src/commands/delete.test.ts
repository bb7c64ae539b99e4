import assert from "node:assert/strict";
import { test } from "vitest";
import { Context } from "../context.ts";
import { Output } from "../output/output.ts";
import { run } from "./delete.ts";

test("a question answered with no deletes nothing, and is no error", async () => {
  const err: string[] = [];
  const out = new Output({
    out: { write: () => assert.fail("nothing is a result") },
    err: { write: (text) => err.push(text) },
    env: {},
    json: false,
  });
  // Without a project: a call would fail.
  const context = new Context({ out, options: {}, signal: new AbortController().signal, env: {} });
  for (const answer of ["n", "", "yesterday"]) {
    const outcome = await run(context, ["agent-abcdefghijkl"], {}, async () => answer);
    assert.equal(outcome, "interrupted");
  }
  assert.deepEqual(err, Array(3).fill("Nothing was deleted.\n"));
});
