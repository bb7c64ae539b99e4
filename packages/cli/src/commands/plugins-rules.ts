// `launchpad plugins rules list | allow | deny | remove`
import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";
import { counted } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";

/** A rule, as `list_plugin_rules` answers it. */
export interface PluginRule {
  readonly pattern: string;
  readonly action: "allow" | "deny";
  /** Comparisons that a version must all meet; empty for every version. */
  readonly versions: string;
  readonly require_advisory_free: boolean;
  readonly reason: string | null;
  readonly created_at: string;
}

interface Refusing {
  /** How many agents name a plugin that the rules refuse now. */
  readonly agents_refused: number;
}

interface RuleOptions {
  versions?: string;
  advisoryFree?: boolean;
  reason?: string;
}

/** `launchpad plugins rules list` */
export async function list(context: Context): Promise<void> {
  const operator = await openOperator(context);
  const answer = await operator.call<Refusing & { rules: PluginRule[] }>("list_plugin_rules");
  context.out.result(answer, (look) => ruleTable(answer.rules, look));
  if (answer.rules.length === 0)
    context.out.note("No rules: agents may name no package but the built-in ones.");
  noteRefused(context, answer);
}

/** `launchpad plugins rules allow` */
export const allow = (context: Context, args: readonly string[], options: RuleOptions) =>
  put(context, "allow", args, options);

/** `launchpad plugins rules deny` */
export const deny = (context: Context, args: readonly string[], options: RuleOptions) =>
  put(context, "deny", args, options);

async function put(
  context: Context,
  action: PluginRule["action"],
  [pattern = ""]: readonly string[],
  { versions, advisoryFree, reason }: RuleOptions,
): Promise<void> {
  const operator = await openOperator(context);
  const rule = {
    pattern,
    action,
    ...(versions !== undefined && { versions }),
    ...(advisoryFree && { require_advisory_free: true }),
    ...(reason !== undefined && { reason }),
  };
  const made = await operator.call<PluginRule & Refusing & { still_refused?: string }>("put_plugin_rule", {
    rule,
  });
  context.out.result(made, (look) => ruleTable([made], look));
  if (made.still_refused !== undefined)
    context.out.note(
      `Another rule decides: ${oneLine(made.still_refused)}. \`launchpad plugins rules list\` shows it.`,
    );
  if (pattern === "mcp")
    context.out.note(
      `This rule is about the package mcp. For MCP servers: \`launchpad plugins rules ${action} 'mcp:*'\`, or 'mcp:https://host/*' for one.`,
    );
  noteRefused(context, made);
}

/** `launchpad plugins rules remove` */
export async function remove(
  context: Context,
  [pattern = ""]: readonly string[],
  { action, versions }: { action?: PluginRule["action"]; versions?: string },
): Promise<void> {
  const operator = await openOperator(context);
  const answer = await operator.call<Refusing & { removed: PluginRule[] }>("remove_plugin_rule", {
    pattern,
    action: action ?? null,
    versions: versions ?? null,
  });
  context.out.result(
    answer,
    () => `Removed ${counted(answer.removed.length, "rule")} for ${oneLine(pattern)}.\n`,
  );
  noteRefused(context, answer);
}

function noteRefused({ out }: Context, { agents_refused: agents }: Refusing): void {
  if (agents > 0)
    out.note(
      `${counted(agents, "agent")} ${agents === 1 ? "names a plugin" : "name plugins"} that the rules refuse: what runs goes on, the next launch is refused.`,
    );
}

/** The table of rules. Pure. */
export function ruleTable(rules: readonly PluginRule[], look: Look): string {
  if (rules.length === 0) return "";
  return table(
    rules,
    [
      { title: "PATTERN", value: ({ pattern }) => pattern },
      { title: "ACTION", value: ({ action }) => action },
      { title: "VERSIONS", value: ({ versions }) => versions || "all" },
      {
        title: "ADVISORIES",
        value: ({ require_advisory_free: free }) => (free ? "none allowed" : ""),
      },
      { title: "REASON", value: ({ reason }) => oneLine(reason ?? ""), shrinks: true },
    ],
    look,
  );
}
