// The command `launchpad status`.

import type { AgentStatusReport } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import { ago, counted } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { tone } from "../output/style.ts";
import { facts } from "../output/table.ts";
import { oneLine } from "../output/text.ts";
import { AT_REST, settle } from "../wait-for-agent.ts";

interface Options {
  watch?: boolean;
  timeout?: number;
}

/** `launchpad status` */
export async function run(context: Context, [agent]: readonly string[], options: Options): Promise<Outcome> {
  const agentId = await agentIdOf(context, agent);
  if (options.watch) {
    const { outcome, report } = await settle(context, agentId, AT_REST, options);
    context.out.result(report, (look) => statusText(report, look, Date.now()));
    return outcome;
  }
  const { client } = await context.session();
  const report = await client.agents.getStatus(agentId, { signal: context.signal });
  context.out.result(report, (look) => statusText(report, look, Date.now()));
  if (context.out.interactive && !AT_REST.includes(report.status as never) && report.status !== "FAILED")
    context.out.note(`Still in progress; \`launchpad status ${agentId} --watch\` follows it.`);
  return "ok";
}

/** An agent's state for people. Pure. */
export function statusText(report: AgentStatusReport, { paint }: Look, now: number): string {
  const { kubernetes, application, supabase } = report.health;
  const replicas =
    report.generation === null
      ? "never deployed"
      : `${kubernetes.readyReplicas} of ${kubernetes.targetReplicas} ready` +
        (kubernetes.replicas > kubernetes.targetReplicas ? `, ${kubernetes.replicas} running` : "");
  const behind =
    report.generation !== null && report.observedGeneration !== report.generation
      ? ` (generation ${report.generation}, the cluster is at ${report.observedGeneration ?? 0})`
      : "";
  const troubles = report.conditions.filter(
    ({ type, status, reason }) =>
      (reason !== "STOPPED" && reason !== "ASLEEP" && type === "Available" && status === "False") ||
      (type === "ReplicaFailure" && status === "True") ||
      (type === "Exposed" && status === "False") ||
      type === "ModelReady" ||
      type === "PluginsAllowed" ||
      (type.startsWith("PluginReady:") && status === "False"),
  );
  const why = [report.reason, report.message].filter(Boolean).join(": ");
  const told = new Set([report.message]);
  const known = new Set([report.message, ...troubles.map(({ message }) => message ?? null)]);
  return facts(
    [
      ["Agent", `${paint("bold", oneLine(report.name))} (${report.agentId})`],
      ["Status", tone(paint, report.status) + behind],
      ["Reason", oneLine(why)],
      ...troubles
        .filter(({ message }) => message && !told.has(message))
        .map(({ type, message }) => [type, oneLine(message ?? "")] as const),
      ["Health", tone(paint, report.health.overall) + (troubles.length === 0 ? hint(report) : "")],
      ["Replicas", replicas],
      ...report.platforms.map((platform) => ["Platform", platformText(platform, known)] as const),
      ["Sleep", sleepText(report, now)],
      ["Uptime", application.uptime],
      ["Response", application.responseTime],
      ["Database", supabase.connection === "UNKNOWN" ? "" : tone(paint, supabase.connection)],
      ["Revision", report.revision === null ? "" : String(report.revision)],
      ["URL", report.url],
      ["Deployed", ago(report.deployedAt, now)],
      ["Updated", ago(report.lastUpdated, now)],
    ],
    paint,
  );
}

/** Since when it is asleep, or what keeps an idle agent awake; empty: neither. Pure. */
function sleepText(
  { status, sleep: { since, reason, wakes24h, lastWakeMs } }: AgentStatusReport,
  now: number,
) {
  const woken =
    wakes24h === 0
      ? ""
      : `; woken ${counted(wakes24h, "time")} in 24 h${lastWakeMs === null ? "" : `, last in ${lastWakeMs} ms`}`;
  if (since !== null)
    return `${status === "ASLEEP" ? "asleep" : "falling asleep"}, ${reason === "IDLE" ? "idle" : "requested"} ${ago(since, now)}${woken}`;
  return reason === null ? woken.slice(2) : `kept awake: ${reason}${woken}`;
}

/** One platform's connection. Pure. */
function platformText(platform: AgentStatusReport["platforms"][number], known: ReadonlySet<string | null>) {
  const { name, status, account, message } = platform;
  const as = status === "CONNECTED" && account !== null ? ` as ${account}` : "";
  const why = message === null || known.has(message) ? "" : ` (${message})`;
  return oneLine(`${name} ${status.toLowerCase()}${as}${why}`);
}

/** Why an agent whose replicas are all ready is DEGRADED; begins with a blank. Pure. */
function hint({ agentId, status, health: { application, kubernetes } }: AgentStatusReport): string {
  if (status !== "DEPLOYED" || kubernetes.status !== "HEALTHY" || application.status !== "DEGRADED")
    return "";
  return ` (the last call of a model failed, or a plugin is not ready; see \`launchpad logs ${agentId}\`)`;
}
