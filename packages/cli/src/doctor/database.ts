// The checks of `launchpad doctor` that need a database connection.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import type { Catalogue } from "../../../stack/src/upgrade/catalogue.ts";
import { CliError, codeOf } from "../errors.ts";
import { oneLine } from "../output/text.ts";
import { VERSION } from "../version.ts";
import { type Finding, finding } from "./check.ts";
import { judgeMigrations, type Migration } from "./migrations.ts";
import { checkSchema } from "./schema.ts";
import { judgeVersions, type Part } from "./versions.ts";

/** How long pg_net may take to send a request and note its answer. */
const ANSWER_MS = 8000;

/** A way on which the database calls a program of ours. */
interface Way {
  check: string;
  what: string;
  urlName: string;
  secretName: string;
  path: string;
  /** The other side's name for the secret. */
  variable: string;
  connect: string;
}

const ways: readonly Way[] = [
  {
    check: "webhook",
    what: "the controller",
    urlName: "launchpad_controller_url",
    secretName: "launchpad_webhook_secret",
    path: "/webhooks/deployments",
    variable: "LAUNCHPAD_WEBHOOK_SECRET",
    connect: "select private.connect_controller('https://…', '<secret>')",
  },
  {
    check: "answers",
    what: "the function `respond`",
    urlName: "launchpad_functions_url",
    secretName: "launchpad_respond_secret",
    path: "/respond",
    variable: "LAUNCHPAD_RESPOND_SECRET",
    connect: "select private.connect_functions('https://<ref>.supabase.co/functions/v1', '<secret>')",
  },
];

/**
 * Connects as the role `postgres`.
 * @param url the connection string
 * @returns a client to be ended, or the finding that tells why there is none
 */
export async function connect(url: string): Promise<Client | Finding> {
  const { default: pg } = await import("pg");
  try {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: 10_000,
      application_name: "launchpad doctor",
    });
    client.on("error", () => {}); // the query under way fails with it
    await client.connect();
    return client;
  } catch (error) {
    const reasons: Record<string, string> = {
      "28P01": "the password is wrong",
      "3D000": "there is no such database",
      ECONNREFUSED: "connection refused",
      ENOTFOUND: "no such host",
    };
    const why = reasons[codeOf(error) ?? ""] ?? (error instanceof Error ? error.message : String(error));
    return finding("database", "problem", `Cannot connect to the database (${why}); check --db-url.`);
  }
}

/** The checks that take the database's own password. */
export async function checkDatabase(
  client: Client,
  known: readonly Migration[],
  fingerprint: Catalogue | undefined,
): Promise<Finding[]> {
  const applied = await rows<{ version: string }>(
    client,
    "select version from supabase_migrations.schema_migrations order by version",
  ).catch((error: unknown) => {
    if (codeOf(error) === "42P01" || codeOf(error) === "3F000") return []; // never pushed
    throw error;
  });
  const migrations = judgeMigrations(
    known,
    applied.map(({ version }) => version),
  );
  if (applied.length === 0) return [migrations];
  const findings = [
    migrations,
    await checkSchema(client, fingerprint, migrations.state === "ok"),
    await checkControllers(client),
    await checkExtensions(client),
    await checkJobs(client),
    await checkFiles(client),
  ];
  for (const way of ways) findings.push(await checkWay(client, way));
  return findings;
}

async function rows<Row extends object>(
  client: Client,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  return (await client.query<Row>(text, values)).rows;
}

/** The releases of the controllers whose leases last. */
async function checkControllers(client: Client): Promise<Finding> {
  const alive = await rows<Part>(
    client,
    `select 'controller ' || worker as name, report ->> 'version' as version from private.controllers
     where expires_at > now() order by worker`,
  ).catch((error: unknown) => {
    if (codeOf(error) === "42P01") return []; // a migration is missing, which is told
    throw error;
  });
  const { state, message } =
    alive.length === 0
      ? { state: "skipped" as const, message: "No controller is connected." }
      : judgeVersions(
          VERSION,
          alive.map(({ name, version }) => ({ name, version: version ?? undefined })),
        );
  return finding("controllers", state, message);
}

async function checkExtensions(client: Client): Promise<Finding> {
  const known = await rows<Extension>(
    client,
    `select x.extname as name, true as installed from pg_extension x
     union all
     select a.name, false from pg_available_extensions a where a.installed_version is null and a.name = 'pg_graphql'`,
  );
  return judgeExtensions(known);
}

interface Extension {
  name: string;
  installed: boolean;
}

/**
 * The finding in what is installed. Pure.
 * @param known the installed extensions, and pg_graphql where it could be: the embedded stack answers GraphQL without it
 */
export function judgeExtensions(known: readonly Extension[]): Finding {
  const check = "extensions";
  const wanted = ["pg_net", "pg_cron", "supabase_vault"];
  const there = known.filter(({ installed }) => installed).map(({ name }) => name);
  const missing = wanted.filter((name) => !there.includes(name));
  if (missing.length > 0)
    return finding(
      check,
      "problem",
      `${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing; run \`create extension ${missing[0]}\`${missing.length > 1 ? " …" : ""}.`,
    );
  if (known.some(({ name, installed }) => name === "pg_graphql" && !installed))
    return finding(
      check,
      "warning",
      "pg_graphql is off, so /graphql/v1 does not answer; run `create extension pg_graphql`.",
    );
  return finding(
    check,
    "ok",
    `${[...wanted, "pg_graphql"].filter((name) => there.includes(name)).join(", ")} are installed.`,
  );
}

/** Whether the files of deleted agents go, which takes the function `upkeep` seconds. */
async function checkFiles(client: Client): Promise<Finding> {
  const [row] = await rows<FileRemovals>(
    client,
    `select count(*)::int as late, max(last_error) as error from private.file_removals
     where attempts > 1 and last_error is not null or requested_at < now() - interval '1 day'`,
  ).catch((error: unknown) => {
    if (codeOf(error) === "42P01") return []; // a migration is missing, which is told
    throw error;
  });
  return judgeFiles(row);
}

interface FileRemovals {
  late: number;
  error: string | null;
}

/** The finding in the removals of files that are late. Pure. */
export function judgeFiles(removals: FileRemovals | undefined): Finding {
  const check = "files";
  if (removals === undefined) return finding(check, "skipped", "The database lacks a migration.");
  const { late, error } = removals;
  if (late === 0) return finding(check, "ok", "No files of deleted agents are left behind.");
  return finding(
    check,
    "warning",
    `The files of ${late} deleted agent${late === 1 ? "" : "s"} could not be removed (${oneLine(error ?? "the function upkeep has not asked for them")}); is \`upkeep\` deployed? See its log, and Storage.`,
  );
}

/** What the scheduler should do and did. */
async function checkJobs(client: Client): Promise<Finding> {
  const jobs = await rows<{ jobname: string; active: boolean }>(
    client,
    "select jobname, active from cron.job where jobname like 'launchpad-%' order by jobname",
  );
  const off = jobs.filter(({ active }) => !active).map(({ jobname }) => jobname);
  if (!jobs.some(({ jobname }) => jobname === "launchpad-sweep"))
    return finding(
      "jobs",
      "problem",
      "The job launchpad-sweep is not scheduled; run `supabase db push`, or schedule it again as its migration does.",
    );
  if (off.length > 0)
    return finding(
      "jobs",
      "problem",
      `${off.join(", ")} ${off.length > 1 ? "are" : "is"} off; turn on with \`select cron.alter_job(<jobid>, active := true)\`.`,
    );
  return finding("jobs", "ok", `${jobs.length} scheduled jobs are on.`);
}

/** Sends a signed call the way that the triggers do, and looks what came back. */
async function checkWay(client: Client, way: Way): Promise<Finding> {
  const { check, what, urlName, secretName, path } = way;
  const secrets = await rows<{ name: string; decrypted_secret: string | null }>(
    client,
    "select name, decrypted_secret from vault.decrypted_secrets where name = any($1)",
    [[urlName, secretName]],
  );
  const url = secrets.find(({ name }) => name === urlName)?.decrypted_secret;
  const missing = [urlName, secretName].filter(
    (name) => !secrets.some((each) => each.name === name && each.decrypted_secret),
  );
  if (missing.length > 0) {
    const fix = check === "webhook" ? "`launchpad doctor --fix`" : "SQL";
    return finding(
      check,
      "problem",
      `Vault has no ${missing.join(" and no ")}; put them there with ${fix}: ${way.connect}.`,
    );
  }
  const id = await queue(client, way);
  if (id === undefined)
    return finding(
      check,
      "problem",
      `A call of ${what} could not be queued; see pg_net (net.http_request_queue).`,
    );
  const answer = await answerTo(client, id);
  return judgeAnswer(way, `${(url ?? "").replace(/\/+$/, "")}${path}`, answer);
}

/** Queues the call and finds it again by a reason of its own, before the worker can take it. */
async function queue(client: Client, { urlName, secretName, path }: Way): Promise<string | undefined> {
  const reason = `doctor ${randomUUID()}`;
  await client.query("begin");
  try {
    await client.query("select private.post_signed($1, $2, $3, $4)", [urlName, secretName, path, { reason }]);
    const [queued] = await rows<{ id: string }>(
      client,
      "select id from net.http_request_queue where position($1 in convert_from(body, 'UTF8')) > 0",
      [reason],
    );
    await client.query("commit");
    return queued?.id;
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

interface Answer {
  status_code: number | null;
  timed_out: boolean | null;
  error_msg: string | null;
}

async function answerTo(client: Client, id: string): Promise<Answer | undefined> {
  // pg_net tells nobody when an answer is there.
  for (const deadline = Date.now() + ANSWER_MS; Date.now() < deadline; await sleep(100)) {
    const [answer] = await rows<Answer>(
      client,
      "select status_code, timed_out, error_msg from net._http_response where id = $1",
      [id],
    );
    if (answer) return answer;
  }
  return undefined;
}

/** The finding in the answer to a signed call. Pure. */
export function judgeAnswer(
  { check, what, variable }: Pick<Way, "check" | "what" | "variable">,
  url: string,
  answer: Answer | undefined,
): Finding {
  if (answer === undefined)
    return finding(
      check,
      "problem",
      `The database has not sent a call of ${what} within ${ANSWER_MS / 1000} s; is pg_net's worker running?`,
    );
  const { status_code: status, timed_out: late, error_msg: error } = answer;
  if (status !== null && status >= 200 && status < 300)
    return finding(check, "ok", `The database reaches ${what} at ${url}, and the signature was accepted.`);
  if (status === 401 || status === 403)
    return finding(
      check,
      "problem",
      `${url} rejected the signature: ${variable} there must match the secret in Vault.`,
    );
  if (status !== null)
    return finding(check, "problem", `${url} answers ${status}; is this the address of ${what}?`);
  return finding(
    check,
    "problem",
    `The database cannot reach ${url} (${late ? "no answer in time" : (error ?? "unknown reason")}); give an address that it can reach.`,
  );
}

/** What `--fix` did. */
export interface Connected {
  url_changed: boolean;
  secret_changed: boolean;
  /** A secret that was made just now; the controller must be given it. */
  secret?: string;
}

/**
 * Puts the controller's address and the webhook's secret into Vault.
 * @param secret left out: the one that is there stays, or one is made
 */
export async function connectController(
  client: Client,
  url: string,
  secret: string | undefined,
): Promise<Connected> {
  const connecting = rows<{ done: Connected }>(client, "select private.connect_controller($1, $2) as done", [
    url,
    secret ?? null,
  ]);
  const [row] = await connecting.catch((error: unknown) => {
    throw refusalOf(error);
  });
  if (!row) throw new Error("private.connect_controller answered nothing");
  return row.done;
}

/** What SQL refuses is raised for PostgREST: JSON with fields, of which people see the fields. */
function refusalOf(error: unknown): unknown {
  if (codeOf(error) === "42883")
    return new CliError("conflict", "The database lacks a migration; run `supabase db push` first.", {
      code: "NO_MIGRATIONS",
      cause: error,
    });
  if (codeOf(error) !== "PGRST" || !(error instanceof Error)) return error;
  const { code, details } = JSON.parse(error.message) as { code: string; details: string | null };
  return new CliError("invalid", "The controller's address or secret cannot be used.", {
    code,
    details: JSON.parse(details ?? "{}") as Record<string, unknown>,
    cause: error,
  });
}
