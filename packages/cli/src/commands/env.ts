// The command `launchpad env`.

import type { Context } from "../context.ts";

interface Options {
  format: "sh" | "fish" | "dotenv";
  token?: boolean;
}

/** `launchpad env` */
export async function run(context: Context, _args: readonly string[], options: Options): Promise<void> {
  const { url, key } = await context.project();
  const variables: Record<string, string> = {
    LAUNCHPAD_URL: url,
    LAUNCHPAD_KEY: key,
    SUPABASE_URL: url,
    SUPABASE_ANON_KEY: key,
  };
  if (options.token) {
    const { supabase } = await context.session();
    const { data } = await supabase.auth.getSession();
    const token = data.session?.access_token ?? context.env.LAUNCHPAD_TOKEN;
    if (token) variables.LAUNCHPAD_TOKEN = token;
  }
  context.out.result(variables, () => lines(variables, options.format));
}

/**
 * Lines that set variables. Pure.
 * @param variables by name
 * @param format `sh` suits bash, zsh and every other POSIX shell
 */
export function lines(variables: Readonly<Record<string, string>>, format: Options["format"]): string {
  const each = {
    // A quote ends the text, comes on its own, and begins the text again (POSIX 2.2.2).
    sh: (name: string, value: string) => `export ${name}='${value.replaceAll("'", `'\\''`)}'`,
    fish: (name: string, value: string) =>
      `set -gx ${name} '${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`,
    dotenv: (name: string, value: string) => `${name}=${JSON.stringify(value)}`,
  }[format];
  return `${Object.entries(variables)
    .map(([name, value]) => each(name, value))
    .join("\n")}\n`;
}
