import assert from "node:assert/strict";
import { test } from "vitest";
import { folderOf, listAsHosted } from "./listing.ts";

const names = (list: { name: string }[]) => list.map(({ name }) => name);
const objects = [
  { name: "a/2.txt", id: "2", updated_at: "2026-01-02" },
  { name: "a/1.txt", id: "1", updated_at: "2026-01-03" },
  { name: "a/deep/er/3.txt", id: "3" },
  { name: "a/deep/4.txt", id: "4" },
  { name: "ab/5.txt", id: "5" },
];
const asked = { prefix: "a", limit: 100, offset: 0, search: "" };

test("a folder's own entries, subfolders once and first, names without the path", () => {
  const list = folderOf(objects, "a/", asked);
  assert.deepEqual(names(list), ["deep", "1.txt", "2.txt"]);
  assert.equal(list[0]?.id, null);
  assert.deepEqual(names(folderOf(objects, "", asked)), ["a", "ab"]);
});

test("sorted, searched and paged", () => {
  const sortBy = { column: "updated_at", order: "desc" };
  assert.deepEqual(names(folderOf(objects, "a/", { ...asked, sortBy })), ["deep", "1.txt", "2.txt"]);
  assert.deepEqual(names(folderOf(objects, "a/", { ...asked, sortBy: { ...sortBy, order: "asc" } })), [
    "deep",
    "2.txt",
    "1.txt",
  ]);
  assert.deepEqual(names(folderOf(objects, "a/", { ...asked, search: "DE" })), ["deep"]);
  assert.deepEqual(names(folderOf(objects, "a/", { ...asked, limit: 1, offset: 1 })), ["1.txt"]);
});

test("a refusal and a wrong body reach the caller as lite says them", async () => {
  const request = (body: string) =>
    new Request("http://localhost/storage/v1/object/list/b", { method: "POST", body });
  const refused = await listAsHosted(
    async () => Response.json({ error: "no" }, { status: 400 }),
    request("{}"),
  );
  assert.deepEqual([refused.status, await refused.json()], [400, { error: "no" }]);
  let passed = "";
  await listAsHosted(async (inner) => {
    passed = await inner.text();
    return Response.json([]);
  }, request('{"prefix":5}'));
  assert.equal(passed, '{"prefix":5}');
});
