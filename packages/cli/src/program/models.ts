// The commands about the catalogue of models: everybody may read it, operators change it with the project's secret key.
import { type Command, InvalidArgumentError, Option } from "commander";
import type { actions } from "../run.ts";

type Action = ReturnType<typeof actions>;

const MODEL: [string, string][] = [
  ["<framework>", "openai, anthropic or google"],
  ["<model>", "the provider's name of it"],
];

/** Adds `models list`, `models add`, `models retire` and `models embed`. */
export function addModelCommands(program: Command, action: Action): void {
  const load = () => import("../commands/models.ts");
  const models = program
    .command("models")
    .description("models that agents may use, and the settings each accepts");
  models
    .command("list")
    .alias("ls")
    .description("list models, prices and retirements")
    .option("--framework <framework>", "only of this provider")
    .option("--retired", "retired ones too")
    .action(action(async () => ({ run: (await load()).list })));
  const add = models
    .command("add")
    .description(
      "operators: add a model, or change one; what is left out stays (needs LAUNCHPAD_SECRET_KEY)",
    );
  for (const [name, description] of MODEL) add.argument(name, description);
  add
    .option(
      "--takes <settings>",
      "comma-separated: temperature, top_p, presence_penalty, frequency_penalty, stop; empty for none",
    )
    .option("--max-output <tokens>", "the most that max_tokens may be", number)
    .option("--max-temperature <number>", "the most that temperature may be", number)
    .option("--max-stops <n>", "how many stop sequences it accepts", number)
    .addOption(
      new Option("--thinks <when>", "whether it thinks before it answers").choices([
        "never",
        "always",
        "unless-sampled",
      ]),
    )
    .option("--no-tools", "it cannot call tools")
    .addOption(new Option("--api <api>", "which API of OpenAI calls it").choices(["chat", "responses"]))
    .option(
      "--price <dollars>",
      "per million tokens: input/output or input/output/cached, such as 2.5/10/1.25",
    )
    .option("--default", "agents that name no model get this one")
    .action(action(async () => ({ run: (await load()).add })));
  const retire = models
    .command("retire")
    .description("operators: set the day on which a model retires (needs LAUNCHPAD_SECRET_KEY)");
  for (const [name, description] of MODEL) retire.argument(name, description);
  retire
    .option("--on <day>", "the first day without it, such as 2027-03-01 (default: today)")
    .option("--successor <model>", "what to use instead")
    .option("--still-taken", "new agents may name it all the same, with a warning")
    .option("--undo", "offer it again")
    .action(action(async () => ({ run: (await load()).retire })));
  models
    .command("embed")
    .description(
      "operators: set the model by which knowledge is found by meaning (needs LAUNCHPAD_SECRET_KEY)",
    )
    .argument("[framework]", "openai (also for servers that speak its form) or google")
    .argument("[model]", "an embedding model, such as text-embedding-3-small")
    .option("--off", "find knowledge by words alone, and delete the vectors")
    .action(action(() => import("../commands/models-embed.ts")));
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError("It must be a number.");
  return value;
}
