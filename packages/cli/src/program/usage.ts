// The commands about keys, usage and budgets.
import type { UsageGroup } from "@agent-launchpad/sdk";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { actions } from "../run.ts";

type Action = ReturnType<typeof actions>;

const AGENT: [string, string] = ["<agent>", "id, or name where it is unique"];
const GROUPS: readonly UsageGroup[] = ["day", "agent", "model", "source"];

/** Adds the commands about who may call an agent, what that costs and what it may cost. */
export function addUsageCommands(program: Command, action: Action): void {
  const keys = program.command("keys").description("keys that call an agent at its address");
  keys
    .command("create")
    .description("create a key; it is shown once")
    .argument(...AGENT)
    .argument("<name>", "what it is for")
    .addOption(
      new Option("--scope <scope...>", "what it may do (default: invoke)").choices(["invoke", "read"]),
    )
    .option("--origin <origin...>", "web pages that may use it, such as https://app.example.com")
    .option("--expires <when>", "when it ends: 12h, 90d or 2027-01-31 (default: never)")
    .action(action(() => import("../commands/keys-create.ts")));
  keys
    .command("list")
    .alias("ls")
    .description("list an agent's keys; the keys themselves are never shown again")
    .argument(...AGENT)
    .option("--limit <n>", "how many", positive, 20)
    .option("--all", "all of them")
    .action(action(() => import("../commands/keys-list.ts")));
  keys
    .command("revoke")
    .description("revoke a key; every replica refuses it within 5 seconds")
    .argument(...AGENT)
    .argument("<key>", "id, name or prefix")
    .action(action(() => import("../commands/keys-revoke.ts")));

  program
    .command("usage")
    .description("show answers, tokens and cost")
    .option("--by <groups>", `comma-separated: ${GROUPS.join(", ")}`, groups, ["day"])
    .option("--from <day>", "first day, UTC (default: the last 30 days)")
    .option("--to <day>", "last day, UTC")
    .option("--limit <n>", "how many groups", positive, 100)
    .option("--all", "all of them")
    .action(action(() => import("../commands/usage.ts")));

  const budgets = program.command("budgets").description("what your agents may cost");
  budgets
    .command("list")
    .alias("ls")
    .description("list budgets with what is spent")
    .action(action(async () => ({ run: (await import("../commands/budgets.ts")).list })));
  budgets
    .command("set")
    .description("set a budget; the same again changes it")
    .argument("<dollars>", "the limit, such as 25 or 0.50")
    .addOption(new Option("--period <period>", "of what").choices(["day", "month"]).default("month"))
    .option("--agent <agent>", "of one agent (default: all your agents together)")
    .option("--warn-at <percent>", "when BUDGET_WARNING comes (default: 80)", percent)
    .option("--notify", "only write events; do not hold answers back")
    .action(action(async () => ({ run: (await import("../commands/budgets.ts")).set })));
  budgets
    .command("delete")
    .description("delete a budget")
    .argument("<id>", "its id")
    .action(action(async () => ({ run: (await import("../commands/budgets.ts")).remove })));
}

function groups(text: string): UsageGroup[] {
  const given = text.split(",").map((part) => part.trim());
  const wrong = given.find((part) => !GROUPS.some((group) => group === part));
  if (wrong !== undefined) throw new InvalidArgumentError(`Choose from ${GROUPS.join(", ")}.`);
  return [...new Set(given)] as UsageGroup[];
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
}

function percent(text: string): number {
  if (!/^([1-9]\d?|100)$/.test(text))
    throw new InvalidArgumentError("It must be a percentage from 1 to 100.");
  return Number(text);
}
