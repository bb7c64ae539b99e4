// The command `launchpad usage`.
import type { UsageGroup, UsageReport } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import { dollars } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { readPages } from "../pages.ts";

interface Options {
  by: UsageGroup[];
  from?: string;
  to?: string;
  limit: number;
  all?: boolean;
}

/** `launchpad usage` */
export async function run(context: Context, _args: readonly string[], options: Options): Promise<void> {
  const { client } = await context.session();
  const { by, from, to, limit, all } = options;
  const { signal } = context;
  const report = await readPages(
    all ? Number.POSITIVE_INFINITY : limit,
    1000,
    (query) => client.usage.get({ groupBy: by, from, to, ...query }, { signal }),
    "items",
  );
  context.out.result(report, (look) => usageTable(report, by, look));
  if (report.nextCursor !== null)
    context.out.note(`${report.items.length} of ${report.count} groups; --all shows more.`);
}

type Group = UsageReport["items"][number];

const COLUMNS: Record<UsageGroup, { title: string; value(group: Group): string }> = {
  day: { title: "DAY", value: ({ day }) => day ?? "" },
  agent: { title: "AGENT", value: ({ agentId }) => agentId ?? "" },
  model: { title: "MODEL", value: ({ model }) => model ?? "" },
  source: { title: "SOURCE", value: ({ source }) => source ?? "" },
};

/** The groups and their sum. Pure. */
export function usageTable({ items, total }: UsageReport, by: readonly UsageGroup[], look: Look): string {
  const sum: Group = { ...total };
  const [first] = by;
  return table(
    [...items, sum],
    [
      ...by.map((group) => ({
        ...COLUMNS[group],
        value: (row: Group) => (row === sum ? (group === first ? "total" : "") : COLUMNS[group].value(row)),
      })),
      { title: "ANSWERS", value: ({ answers }) => String(answers), align: "right" as const },
      { title: "INPUT", value: ({ inputTokens }) => String(inputTokens), align: "right" as const },
      {
        title: "CACHED",
        value: ({ cachedInputTokens }) => String(cachedInputTokens),
        align: "right" as const,
      },
      { title: "OUTPUT", value: ({ outputTokens }) => String(outputTokens), align: "right" as const },
      { title: "COST", value: ({ costMicros }) => dollars(costMicros), align: "right" as const },
    ],
    look,
  );
}
