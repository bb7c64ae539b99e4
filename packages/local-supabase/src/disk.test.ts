import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "vitest";
import { fullDisk, saysFull } from "./disk.ts";

test("a full disk is known by a system error, and by what programs say", () => {
  const full = [
    Object.assign(new Error("write failed"), { code: "ENOSPC" }),
    new Error(
      'PostgreSQL did not start: could not write lock file "postmaster.pid": No space left on device',
    ),
    new Error("PANIC: could not write to file (SQLSTATE 53100)"),
    "Disk quota exceeded",
  ];
  assert.deepEqual(full.map(saysFull), [true, true, true, true]);
  assert.equal(saysFull(new Error("the checksum is wrong")), false);
});

test("an error of another kind is left as it is while there is space", async () => {
  assert.equal(await fullDisk(tmpdir(), new Error("the checksum is wrong")), undefined);
  const said = await fullDisk("/nonexistent", Object.assign(new Error("write"), { code: "ENOSPC" }));
  assert.match(said?.message ?? "", /^The disk that holds \/nonexistent is full: free some space/);
});
