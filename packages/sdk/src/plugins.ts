/** `client.plugins`: which packages an agent may name in `plugins`. */
import type { Plugin, PluginList, PluginsQuery } from "./contract.ts";
import type { Http } from "./http.ts";
import type { CallOptions } from "./options.ts";
import { cursorList, type PageList } from "./page.ts";

export class Plugins {
  readonly #http: Http;

  /** @internal */
  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Plugins that come with the runtime or that an agent was launched with before, by name, with their settings. Any other
   * package that the operator's rules allow may be named too. Await it for one page, iterate over it for all.
   */
  list(query: PluginsQuery = {}, options?: CallOptions): PageList<PluginList, Plugin> {
    return cursorList(
      (page) => this.#http.send<PluginList>({ method: "GET", path: "/api/plugins", query: page, options }),
      ({ plugins }) => plugins,
      { ...query },
    );
  }

  /**
   * Those of which name or description hold every word.
   * @example const [discord] = await client.plugins.search('discord').all()
   */
  search(words: string, options?: CallOptions): PageList<PluginList, Plugin> {
    return this.list({ query: words }, options);
  }
}
