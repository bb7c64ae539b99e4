/** A list that is read page by page: await it for one page, iterate over it for everything. */
import type { Query } from "./http.ts";
import type { CallOptions } from "./options.ts";

interface Sources<Page, Item, Position> {
  /** Reads the first page, or the one after a position. */
  read(after: Position | undefined): Promise<Page>;
  items(page: Page): readonly Item[];
  /** Where the next page begins; null or undefined after the last. */
  next(page: Page): Position | null | undefined;
}

/**
 * `await list` gives one page; `for await (const item of list)` reads page after page until the last. Nothing is requested
 * before one of the two. Each page begins after the last item of the one before, so items that come or go meanwhile make it
 * neither skip nor repeat others: deleting each item as it comes leaves none.
 */
export class PageList<Page, Item> implements PromiseLike<Page>, AsyncIterable<Item> {
  readonly #read: () => Promise<Page>;
  readonly #walk: () => AsyncGenerator<Item, void, undefined>;
  #first: Promise<Page> | undefined;

  /** @internal */
  constructor(sources: Sources<Page, Item, unknown>) {
    this.#read = () => sources.read(undefined);
    this.#walk = () => walk(sources);
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting it is what it is for
  then<A = Page, B = never>(
    fulfilled?: ((page: Page) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#page().then(fulfilled, rejected);
  }

  catch<B = never>(rejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Page | B> {
    return this.#page().catch(rejected);
  }

  finally(done?: (() => void) | null): Promise<Page> {
    return this.#page().finally(done);
  }

  #page(): Promise<Page> {
    this.#first ??= this.#read();
    return this.#first;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    return this.#walk();
  }

  /** Every item in one array. */
  async all(): Promise<Item[]> {
    const all: Item[] = [];
    for await (const item of this) all.push(item);
    return all;
  }
}

async function* walk<Page, Item>({ read, items, next }: Sources<Page, Item, unknown>) {
  for (let after: unknown; ; ) {
    const page = await read(after);
    yield* items(page);
    after = next(page);
    if (after === undefined || after === null) return;
  }
}

/** A page of `/api` says where the next one begins. */
interface CursorPage {
  nextCursor: string | null;
}

/** How a list of `/api` is asked for. */
interface Asked {
  limit?: number | undefined;
  offset?: number | undefined;
  after?: string | undefined;
}

/**
 * A list of `/api`.
 * @param read sends the request with this query
 * @param items those of a page
 * @param query the caller's; an offset counts for the first page alone
 */
export function cursorList<Page extends CursorPage, Item>(
  read: (query: Query) => Promise<Page>,
  items: (page: Page) => readonly Item[],
  { offset, ...query }: Asked & Query,
): PageList<Page, Item> {
  return new PageList<Page, Item>({
    read: (after) => read(after === undefined ? { ...query, offset } : { ...query, after: after as string }),
    items,
    next: ({ nextCursor }) => nextCursor,
  });
}

/** A row of a table that lists its newest rows first. */
interface DatedRow {
  id: string;
  created_at: string;
}

/**
 * A list of a table, newest row first. It ends with an empty page: the server may give fewer rows than were asked for.
 * @param read sends the request with this query
 * @param query filters, limit and offset; an offset counts for the first page alone
 */
export function rowList<Row extends DatedRow>(
  read: (query: Query) => Promise<Row[]>,
  { offset, ...query }: Asked & Query,
): PageList<Row[], Row> {
  const ordered = { ...query, order: "created_at.desc,id" };
  return new PageList<Row[], Row>({
    read: (last) =>
      read(last === undefined ? { ...ordered, offset } : { ...ordered, and: olderThan(last as Row) }),
    items: (rows) => rows,
    next: (rows) => rows.at(-1),
  });
}

/**
 * PostgREST's `and` for the rows after one, in the order `created_at.desc,id`. The first condition is for the index.
 * @param row the last row of a page
 */
export function olderThan({ created_at, id }: DatedRow): string {
  const moment = `"${created_at}"`;
  return `(created_at.lte.${moment},or(created_at.lt.${moment},id.gt.${id}))`;
}

/** How far a list reads at once, and from where. */
export interface Paging extends CallOptions {
  limit?: number | undefined;
  offset?: number | undefined;
}
