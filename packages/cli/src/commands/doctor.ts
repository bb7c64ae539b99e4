// The command `launchpad doctor`.

import type { Project } from "../config/project.ts";
import { sameUrl } from "../config/project.ts";
import type { Context } from "../context.ts";
import { type Finding, finding, type State } from "../doctor/check.ts";
import { checkDatabase, connect, connectController } from "../doctor/database.ts";
import { knownMigrations } from "../doctor/migrations.ts";
import { checkProject } from "../doctor/project.ts";
import { knownFingerprint } from "../doctor/schema.ts";
import { CliError } from "../errors.ts";
import type { Outcome } from "../exit-codes.ts";
import type { Look } from "../output/output.ts";
import type { Style } from "../output/style.ts";
import { oneLine, pad } from "../output/text.ts";

interface Options {
  dbUrl?: string;
  fix?: boolean;
  controllerUrl?: string;
  migrations?: string;
}

/** `launchpad doctor` */
export async function run(context: Context, _args: readonly string[], options: Options): Promise<Outcome> {
  const project = await context.project();
  const dbUrl = options.dbUrl || context.env.LAUNCHPAD_DB_URL || (await localDatabase(context, project));
  if (options.fix && dbUrl === undefined)
    throw new CliError("usage", "--fix takes --db-url, the connection string of the role postgres.", {
      code: "NO_DATABASE_URL",
    });
  context.out.progress("asking the project …");
  const findings = await checkProject(context, project);
  findings.push(...(await checkInside(context, dbUrl, options)));
  const problems = findings.filter(({ state }) => state === "problem").length;
  context.out.result({ project: project.url, ok: problems === 0, findings }, (look) =>
    findingsText(findings, look),
  );
  return problems === 0 ? "ok" : "refuted";
}

/** A local stack says in its data folder how to enter its database. */
async function localDatabase(context: Context, { url }: Project): Promise<string | undefined> {
  const stack = await context.localStack();
  return sameUrl(stack?.url, url) ? stack?.dbUrl : undefined;
}

async function checkInside(
  context: Context,
  dbUrl: string | undefined,
  options: Options,
): Promise<Finding[]> {
  if (dbUrl === undefined) {
    const why = "Needs --db-url, the connection string of the role postgres.";
    return ["migrations", "schema", "controllers", "extensions", "jobs", "files", "webhook", "answers"].map(
      (check) => finding(check, "skipped", why),
    );
  }
  const known = await knownMigrations(options.migrations, process.cwd());
  context.out.progress("asking the database …");
  const client = await connect(dbUrl);
  if ("check" in client) return [client];
  try {
    if (options.fix) await fix(context, client, options);
    const fingerprint = await knownFingerprint(options.migrations, process.cwd());
    return await checkDatabase(client, known, fingerprint);
  } finally {
    await client.end();
  }
}

async function fix(
  context: Context,
  client: Parameters<typeof connectController>[0],
  options: Options,
): Promise<void> {
  const url = options.controllerUrl || context.env.LAUNCHPAD_CONTROLLER_URL;
  if (!url)
    throw new CliError(
      "usage",
      "--fix takes --controller-url, an address of the controller that the database can reach.",
      { code: "NO_CONTROLLER_URL" },
    );
  const { url_changed, secret_changed, secret } = await connectController(
    client,
    url,
    context.env.LAUNCHPAD_WEBHOOK_SECRET || undefined,
  );
  context.out.note(
    url_changed || secret_changed
      ? "Vault has the controller's address and the webhook's secret."
      : "Vault had it all already.",
  );
  // It stands nowhere else, and the controller cannot do without it.
  if (secret !== undefined)
    context.out.warn(`a secret was made; start the controller with LAUNCHPAD_WEBHOOK_SECRET=${secret}`);
}

const marks: Record<State, [mark: string, style: Style]> = {
  ok: ["✔", "green"],
  warning: ["!", "yellow"],
  problem: ["✘", "red"],
  skipped: ["–", "dim"],
};

/** The findings for people. Pure. */
export function findingsText(findings: readonly Finding[], { paint }: Look): string {
  const longest = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .map(({ check, state, message }) => {
      const [mark, style] = marks[state];
      return `${paint(style, mark)} ${pad(check, longest)}  ${state === "skipped" ? paint("dim", message) : oneLine(message)}\n`;
    })
    .join("");
}
