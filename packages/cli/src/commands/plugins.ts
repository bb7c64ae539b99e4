// `launchpad plugins [query]`
import type { Plugin } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";
import { readPages } from "../pages.ts";

interface Options {
  limit: number;
  all?: boolean;
}

/** `launchpad plugins`; the words `list` and `ls` search for nothing: they list, as for other nouns. */
export async function run(
  context: Context,
  [words]: readonly string[],
  { limit, all }: Options,
): Promise<void> {
  const query = words === "list" || words === "ls" ? undefined : words;
  const { client } = await context.session();
  const { signal } = context;
  const page = await readPages(
    all ? Number.POSITIVE_INFINITY : limit,
    100,
    (asked) => client.plugins.list({ ...asked, ...(query && { query }) }, { signal }),
    "plugins",
  );
  context.out.result(page, (look) => pluginTable(page.plugins, look));
  const { length } = page.plugins;
  if (length === 0)
    context.out.note(
      `No known plugin matches "${query ?? ""}"; \`launchpad plugins list\` lists all. Any package that the operator's rules allow may be named in plugins, and an MCP server as mcp:https://….`,
    );
  else if (page.nextCursor !== null)
    context.out.note(`${length} of ${page.total}; --limit or --all shows more.`);
}

/** The table of plugins; a required setting has a star. Pure. */
export function pluginTable(plugins: readonly Plugin[], look: Look): string {
  if (plugins.length === 0) return "";
  return table(
    plugins,
    [
      { title: "PLUGIN", value: ({ name }) => name },
      { title: "VERSION", value: ({ version }) => version },
      { title: "FOR", value: ({ engine }) => (engine === "any" ? "every agent" : engine) },
      {
        title: "SETTINGS (* REQUIRED)",
        value: ({ settings }) =>
          settings.map(({ name, required }) => oneLine(name) + (required ? "*" : "")).join(", "),
        shrinks: true,
      },
      { title: "DESCRIPTION", value: ({ description }) => oneLine(description), shrinks: true },
    ],
    look,
  );
}
