// The command `launchpad models embed`: by which model knowledge is found by meaning.
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { openOperator } from "../fleet/operator.ts";
import { counted } from "../output/figures.ts";

/** `launchpad models embed` */
export async function run(
  context: Context,
  [framework, model]: readonly string[],
  { off }: { off?: boolean },
): Promise<void> {
  if (off ? framework !== undefined : model === undefined)
    throw new CliError("usage", "Pass a framework and an embedding model, or --off alone.", {
      code: "USAGE",
    });
  const operator = await openOperator(context);
  const set = await operator.call<{ framework: string | null; model: string | null; files: number }>(
    "set_embedding_model",
    { framework: framework ?? null, model: model ?? null },
  );
  context.out.result(set, () =>
    set.model === null
      ? "Knowledge is found by words alone; the vectors are deleted.\n"
      : `Knowledge is found by meaning too, by ${set.framework}/${set.model}. Vectors are being made for ${counted(set.files, "file")}.\n`,
  );
}
