import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { readPages } from "./pages.ts";

/** A list of the numbers below `size`; `asked` are the requests. */
function numbers(size: number) {
  const asked: unknown[] = [];
  const read = async ({ limit, after }: { limit: number; after: string | undefined }) => {
    asked.push([limit, after]);
    const first = Number(after ?? 0);
    const items = Array.from({ length: Math.min(limit, size - first) }, (_, index) => first + index);
    const next = first + items.length;
    return { items, total: size, nextCursor: next < size ? String(next) : null };
  };
  return { asked, read };
}

describe("a list read page by page", () => {
  test("is one request where one page is enough, and keeps its cursor", async () => {
    const { asked, read } = numbers(30);
    const page = await readPages(20, 100, read, "items");
    assert.deepEqual([page.items.length, page.total, page.nextCursor], [20, 30, "20"]);
    assert.deepEqual(asked, [[20, undefined]]);
  });

  test("reads as many pages as are needed, in the shape of one", async () => {
    const { asked, read } = numbers(30);
    const page = await readPages(25, 10, read, "items");
    assert.deepEqual(
      page.items,
      Array.from({ length: 25 }, (_, index) => index),
    );
    assert.equal(page.nextCursor, "25");
    assert.deepEqual(asked, [
      [10, undefined],
      [10, "10"],
      [5, "20"],
    ]);
  });

  test("ends with the list when all is asked for", async () => {
    const { read } = numbers(23);
    const page = await readPages(Number.POSITIVE_INFINITY, 10, read, "items");
    assert.deepEqual([page.items.length, page.total, page.nextCursor], [23, 23, null]);
  });
});
