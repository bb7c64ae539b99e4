// `launchpad budgets list | set | delete`
import type { Budget, PutBudgetRequest } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { dollars } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { readPages } from "../pages.ts";

/** `launchpad budgets list` */
export async function list(context: Context): Promise<void> {
  const { client } = await context.session();
  const { signal } = context;
  const page = await readPages(
    Number.POSITIVE_INFINITY,
    100,
    (query) => client.budgets.list(query, { signal }),
    "budgets",
  );
  context.out.result(page, (look) => budgetTable(page.budgets, look));
  if (page.budgets.length === 0)
    context.out.note(
      "No budgets. `launchpad budgets set 25 --period month` limits all your agents to $25 a month.",
    );
}

interface SetOptions {
  agent?: string;
  period: "day" | "month";
  warnAt?: number;
  notify?: boolean;
}

/** `launchpad budgets set` */
export async function set(
  context: Context,
  [amount = ""]: readonly string[],
  options: SetOptions,
): Promise<void> {
  const limitMicros = microsOf(amount);
  const { client } = await context.session();
  const whose =
    options.agent === undefined
      ? { scope: "user" as const }
      : { scope: "agent" as const, agentId: await agentIdOf(context, options.agent) };
  const request: PutBudgetRequest = {
    ...whose,
    period: options.period,
    limitMicros,
    action: options.notify ? "notify" : "pause",
    ...(options.warnAt === undefined ? {} : { warnAt: options.warnAt / 100 }),
  };
  const budget = await client.budgets.set(request, { signal: context.signal });
  context.out.result(budget, (look) => budgetTable([budget], look));
}

/** `launchpad budgets delete` */
export async function remove(context: Context, [budgetId = ""]: readonly string[]): Promise<void> {
  const { client } = await context.session();
  const deleted = await client.budgets.delete(budgetId, { signal: context.signal });
  context.out.result(deleted, () => `Deleted the budget ${deleted.id}.`);
}

/**
 * Dollars as millionths. Pure.
 * @throws CliError for what is not an amount
 */
export function microsOf(amount: string): number {
  const [, whole, part = ""] = /^\$?(\d{1,9})(?:\.(\d{1,6}))?$/.exec(amount) ?? [];
  if (whole === undefined) {
    const message = `The limit must be dollars such as 25 or 0.50, got "${amount.slice(0, 50)}".`;
    throw new CliError("usage", message, { code: "USAGE" });
  }
  return Number(whole) * 1_000_000 + Number(part.padEnd(6, "0"));
}

/** The table of budgets. Pure. */
export function budgetTable(budgets: readonly Budget[], look: Look): string {
  if (budgets.length === 0) return "";
  return table(
    budgets,
    [
      { title: "ID", value: ({ id }) => id },
      { title: "OF", value: ({ agentId }) => agentId ?? "all agents" },
      { title: "PERIOD", value: ({ period }) => period },
      { title: "LIMIT", value: ({ limitMicros }) => dollars(limitMicros), align: "right" },
      { title: "SPENT", value: ({ spentMicros }) => dollars(spentMicros), align: "right" },
      { title: "RESERVED", value: ({ reservedMicros }) => dollars(reservedMicros), align: "right" },
      { title: "WHEN REACHED", value: ({ action, reached }) => `${action}${reached ? " (reached)" : ""}` },
      { title: "RESETS", value: ({ resetsAt }) => resetsAt.slice(0, 10) },
    ],
    look,
  );
}
