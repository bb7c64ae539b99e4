// The command `launchpad init`.

import { writeFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import type { Context } from "../context.ts";
import { CliError, codeOf } from "../errors.ts";
import { definitionText, type Template } from "../input/templates.ts";
import { unwritten } from "./export.ts";

interface Options {
  template: Template;
  name?: string;
  framework?: string;
  force?: boolean;
}

/** `launchpad init` */
export async function run(
  { out }: Context,
  [file = "agent.yaml"]: readonly string[],
  options: Options,
): Promise<void> {
  if (!/\.ya?ml$/.test(file))
    throw new CliError(
      "usage",
      `${file} must end in .yaml: the template has comments, which JSON cannot hold.`,
      {
        code: "BAD_FILE",
      },
    );
  const name = options.name ?? nameOf(file);
  try {
    await writeFile(file, definitionText(options.template, { name, file, framework: options.framework }), {
      flag: options.force ? "w" : "wx",
    });
  } catch (error) {
    if (codeOf(error) === "EEXIST")
      throw new CliError("conflict", `${file} exists already; name another file, or add --force.`, {
        code: "FILE_EXISTS",
      });
    throw unwritten(file, error);
  }
  out.result({ file, name, template: options.template }, () => `Wrote ${file}.\n`);
  out.note(`Edit it, then run \`launchpad apply -f ${file}\`.`);
}

/** `support-bot` of `support-bot.yaml`; `my-agent` where the file's name says nothing. */
function nameOf(file: string): string {
  const name = basename(file, extname(file));
  return name === "agent" ? "my-agent" : name;
}
