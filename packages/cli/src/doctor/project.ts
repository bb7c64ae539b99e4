// The checks of `launchpad doctor` that any signed-in user can make.

import type { Health } from "@agent-launchpad/sdk";
import type { Project } from "../config/project.ts";
import type { Context } from "../context.ts";
import { type CliError, codeOf } from "../errors.ts";
import { explain } from "../explain.ts";
import { VERSION } from "../version.ts";
import { type Finding, finding } from "./check.ts";
import { judgeVersions } from "./versions.ts";

const TIMEOUT_MS = 10_000;
/** What takes a login. */
const AS_USER = ["health", "controller", "row-level security"] as const;

/**
 * The checks that any signed-in user can make. Each asks the project itself; what cannot be asked is `skipped`.
 */
export async function checkProject(context: Context, project: Project): Promise<Finding[]> {
  const place = { url: project.url, local: project.local };
  let keyStatus: number;
  try {
    keyStatus = (await ask(context, project, `${project.url}/auth/v1/settings`)).status;
  } catch (error) {
    return [finding("project", "problem", explain(error, place).message)];
  }
  const reached = finding("project", "ok", `${project.url} answers.`);
  if (keyStatus === 401 || keyStatus === 403)
    return [
      reached,
      finding(
        "key",
        "problem",
        "The key is not one of this project; copy its publishable key and give it with --key.",
      ),
    ];
  const key =
    keyStatus < 400
      ? finding("key", "ok", "The publishable key is accepted.")
      : finding("key", "warning", `Auth answers ${keyStatus}; it may be starting, or be down.`);
  return [reached, key, ...(await checkApi(context, project)), ...(await checkAsUser(context))];
}

async function ask({ signal }: Context, project: Project, url: string): Promise<Response> {
  return await fetch(url, {
    headers: { apikey: project.key },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
}

async function checkApi(context: Context, project: Project): Promise<Finding[]> {
  const where = `${project.apiUrl}/api`;
  try {
    const response = await ask(context, project, `${where}/openapi.json`);
    const document = (await response.json().catch(() => undefined)) as
      | { info?: { version?: string; "x-release"?: string } }
      | undefined;
    if (response.ok && document?.info?.version)
      return [
        finding("api", "ok", "The function `api` answers."),
        judgeVersions(VERSION, [{ name: "the functions", version: document.info["x-release"] }]),
      ];
    if (response.status === 404)
      return [
        finding(
          "api",
          "problem",
          `The function \`api\` was not found at ${where}; run \`supabase functions deploy api\`.`,
        ),
      ];
    return [finding("api", "problem", `${where} answers ${response.status}; see the function's logs.`)];
  } catch (error) {
    return [finding("api", "problem", explain(error, { url: where }).message)];
  }
}

async function checkAsUser(context: Context): Promise<Finding[]> {
  const skipped = () => AS_USER.map((check) => finding(check, "skipped", "Sign in first: launchpad login."));
  try {
    const { client, user } = await context.session();
    const health = await client.health.get({ signal: context.signal });
    const login = finding(
      "login",
      "ok",
      `Signed in as ${user.email ?? user.id}; may ${health.user_permissions.join(", ") || "nothing"}.`,
    );
    return [login, ...judgeHealth(health), await checkRls(context)];
  } catch (error) {
    const explained = explain(error, context.place);
    if (explained.outcome === "unauthenticated") {
      const state = codeOf(explained) === "NOT_SIGNED_IN" ? "warning" : "problem";
      return [finding("login", state, explained.message), ...skipped()];
    }
    return unasked(explained);
  }
}

/** The findings where the question about health failed: a caller that asked too often has learned nothing of the project. Pure. */
export function unasked({ outcome, message }: CliError): Finding[] {
  if (outcome !== "limited") return [finding("health", "problem", message)];
  return AS_USER.map((check) => finding(check, "skipped", message));
}

/** The findings in a report of the API's health. Pure. */
export function judgeHealth({ components }: Health): Finding[] {
  const { supabase, kubernetes } = components;
  const parts = {
    database: supabase.database.status,
    auth: supabase.auth.status,
    realtime: supabase.realtime.status,
    storage: supabase.storage.status,
    "edge functions": supabase.edge_functions.status,
  };
  const bad = Object.entries(parts).filter(([, status]) => status === "DEGRADED" || status === "UNAVAILABLE");
  const unknown = Object.entries(parts).filter(([, status]) => status === "UNKNOWN");
  const health =
    bad.length > 0
      ? finding(
          "health",
          "problem",
          `${bad.map(([part, status]) => `${part} is ${status}`).join(", ")}; see its log, or the platform's status page.`,
        )
      : finding(
          "health",
          "ok",
          `${Object.keys(parts).length - unknown.length} parts are healthy${unknown.length > 0 ? `; ${unknown.map(([part]) => part).join(", ")} cannot be seen from the database` : ""}.`,
        );
  return [health, judgeController(kubernetes)];
}

function judgeController({ status, nodes, pods, message }: Health["components"]["kubernetes"]): Finding {
  const said = message ? ` It says: ${message}` : "";
  if (status === "HEALTHY")
    return finding(
      "controller",
      "ok",
      `A controller reports ${nodes} node${nodes === 1 ? "" : "s"}, ${pods} replica${pods === 1 ? "" : "s"}.`,
    );
  if (status === "DEGRADED")
    return finding("controller", "problem", `The controller reports a problem.${said}`);
  return finding("controller", "problem", "No controller has reported lately; start one, or see its log.");
}

async function checkRls(context: Context): Promise<Finding> {
  const { client } = await context.session();
  try {
    return judgeRls(await client.security.checkRlsPolicies({ signal: context.signal }));
  } catch (error) {
    return finding("row-level security", "problem", explain(error, context.place).message);
  }
}

/** The finding in what the database says of its policies. Pure. */
export function judgeRls(report: {
  tables: Record<string, { rls_enabled: boolean; policies_count: number }>;
  user_isolation: string;
}): Finding {
  const tables = Object.entries(report.tables);
  const open = tables.filter(([, { rls_enabled }]) => !rls_enabled).map(([name]) => name);
  if (open.length > 0)
    return finding(
      "row-level security",
      "problem",
      `It is off for ${open.join(", ")}; run \`alter table public.${open[0]} enable row level security\`${open.length > 1 ? " for each" : ""}.`,
    );
  if (report.user_isolation !== "ACTIVE")
    return finding(
      "row-level security",
      "problem",
      "A probe saw rows of others; compare the policies with the migrations.",
    );
  return finding(
    "row-level security",
    "ok",
    `It is on for ${tables.length} tables, and a probe saw nothing of others.`,
  );
}
