// The commands about plugins: everybody may search them, operators keep the rules with the project's secret key.
import { type Command, InvalidArgumentError, Option } from "commander";
import type { actions } from "../run.ts";

type Action = ReturnType<typeof actions>;

const PATTERN: [string, string] = ["<pattern>", "a package, '@scope/*', 'mcp:*', or '*'"];

/** Adds `plugins` and `plugins rules`. */
export function addPluginCommands(program: Command, action: Action): void {
  const load = () => import("../commands/plugins.ts");
  const plugins = program
    .command("plugins")
    .description("plugins that agents may name, with their settings")
    .argument("[query]", "words that the name or the description holds")
    .option("--limit <n>", "how many", whole, 20)
    .option("--all", "all of them")
    .action(action(load));

  const rules = plugins
    .command("rules")
    .description("operators: which packages may be named (needs LAUNCHPAD_SECRET_KEY)");
  const loadRules = () => import("../commands/plugins-rules.ts");
  rules
    .command("list")
    .alias("ls")
    .description("list the rules, and how many agents they refuse")
    .action(action(async () => ({ run: (await loadRules()).list })));
  rules
    .command("allow")
    .description("allow packages; takes the place of a denial of the same pattern and versions")
    .argument(...PATTERN)
    .option("--versions <comparisons>", "only versions that meet them all, such as '>=1.2.0 <2.0.0'")
    .option("--advisory-free", "only while no package of the whole tree has a known vulnerability")
    .option("--reason <text>", "why, for other operators")
    .action(action(async () => ({ run: (await loadRules()).allow })));
  rules
    .command("deny")
    .description("deny packages; agents that run go on, their next launch is refused")
    .argument(...PATTERN)
    .option("--versions <comparisons>", "only versions that meet them all, such as '<1.4.0'")
    .option("--reason <text>", "what a refused user reads")
    .action(action(async () => ({ run: (await loadRules()).deny })));
  rules
    .command("remove")
    .description("remove the rules of a pattern")
    .argument(...PATTERN)
    .addOption(new Option("--action <action>", "only these").choices(["allow", "deny"]))
    .option("--versions <comparisons>", "only the one with these; '' for every version")
    .action(action(async () => ({ run: (await loadRules()).remove })));
}

function whole(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
}
