/** A list that is read page by page: await it for one page, iterate over it for everything. */
import type { CallOptions } from "./options.ts";

/** Reads the page at an offset. */
export type PageReader<Page> = (offset: number, limit: number) => Promise<Page>;

interface Sources<Page, Item> {
  read: PageReader<Page>;
  items(page: Page): readonly Item[];
  /** How many there are in all, where the server says so. */
  total?(page: Page): number;
  /** What tells items apart: a list may shift between two pages. */
  id(item: Item): unknown;
  offset: number;
  limit: number;
}

/**
 * `await list` gives one page; `for await (const item of list)` reads page after page until the last. Nothing is requested
 * before one of the two. An item that moves to the next page while the list grows comes once.
 */
export class PageList<Page, Item> implements PromiseLike<Page>, AsyncIterable<Item> {
  readonly #sources: Sources<Page, Item>;
  #first: Promise<Page> | undefined;

  /** @internal */
  constructor(sources: Sources<Page, Item>) {
    this.#sources = sources;
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
    this.#first ??= this.#sources.read(this.#sources.offset, this.#sources.limit);
    return this.#first;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    const { read, items, id, limit } = this.#sources;
    const seen = new Set<unknown>();
    for (let offset = this.#sources.offset; ; ) {
      const answer = await read(offset, limit);
      const page = items(answer);
      const known = seen.size;
      for (const item of page) {
        if (seen.has(id(item))) continue;
        seen.add(id(item));
        yield item;
      }
      // The server may give less than was asked for (its largest page): the end is its total, or a page with nothing new.
      if (seen.size === known) return;
      offset += page.length;
      const total = this.#sources.total?.(answer);
      if (total !== undefined && offset >= total) return;
    }
  }

  /** Every item in one array. */
  async all(): Promise<Item[]> {
    const all: Item[] = [];
    for await (const item of this) all.push(item);
    return all;
  }
}

/** How far a list reads at once, and from where. */
export interface Paging extends CallOptions {
  limit?: number | undefined;
  offset?: number | undefined;
}
