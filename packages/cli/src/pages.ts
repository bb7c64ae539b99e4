// Lists longer than the API's largest page: read page after page, and shown as one.

/** A page of a list of the API. */
interface Page {
  nextCursor: string | null;
}

/**
 * Reads a list until there are enough items, or to its end.
 * @param enough how many items; Infinity for all
 * @param largest the API's largest page
 * @param read reads one page
 * @param key where a page has its items
 * @returns the first page with the items of all; its cursor continues the list
 * @example const page = await readPages(300, 100, (query) => client.agents.list(query), "agents")
 */
export async function readPages<Key extends string, Item, Whole extends Page & { [K in Key]: Item[] }>(
  enough: number,
  largest: number,
  read: (query: { limit: number; after: string | undefined }) => PromiseLike<Whole>,
  key: Key,
): Promise<Whole> {
  const pages: Whole[] = [];
  let left = enough;
  for (let after: string | null | undefined; after !== null && left > 0; ) {
    const page: Whole = await read({ limit: Math.min(largest, left), after });
    pages.push(page);
    left -= page[key].length;
    after = page.nextCursor;
  }
  const [first] = pages;
  if (first === undefined) return await read({ limit: enough, after: undefined });
  return { ...first, [key]: pages.flatMap((page) => page[key]), nextCursor: pages.at(-1)!.nextCursor };
}
