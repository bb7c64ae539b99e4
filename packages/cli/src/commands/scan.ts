// The command `launchpad scan`.

import type { SecurityScan } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import type { Look } from "../output/output.ts";
import { tone } from "../output/style.ts";
import { facts, table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";

/** `launchpad scan` */
export async function run(context: Context, [agent]: readonly string[]): Promise<Outcome> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const scan = await client.security.scan(agentId, { signal: context.signal });
  context.out.result(scan, (look) => scanText(scan, look));
  return scan.results.passed ? "ok" : "refuted";
}

/** Without a critical finding a scan fails where it could not look. Pure. */
function doubt({ passed, vulnerabilities: { critical, high } }: SecurityScan["results"]): string {
  return passed || critical + high > 0 ? "" : ": nothing critical was found, but some checks could not run";
}

/** A scan for people: the verdict, what it rests on, the findings. Pure. */
export function scanText({ results, scanId }: SecurityScan, look: Look): string {
  const { paint } = look;
  const { vulnerabilities: found, supabase_compliance: compliance, sources } = results;
  const says = (holds: boolean) => (holds ? paint("green", "yes") : paint("red", "no"));
  const npm = sources.npm_advisories;
  const summary = facts(
    [
      ["Scan", scanId],
      ["Passed", says(results.passed) + doubt(results)],
      [
        "Findings",
        `${found.critical} critical, ${found.high} high, ${found.medium} medium, ${found.low} low`,
      ],
      [
        "Advisories",
        npm.status === "available"
          ? `${npm.checked} of ${npm.packages} packages checked`
          : paint("yellow", `unavailable${npm.reason ? `: ${oneLine(npm.reason)}` : ""}`),
      ],
      ["Image", sources.container_image.status],
      ["Row-level security", says(compliance.rls_policies_verified)],
      ["Secrets encrypted", says(compliance.data_encryption_enabled)],
      ["Audit log active", says(compliance.audit_logging_active)],
    ],
    paint,
  );
  if (results.findings.length === 0) return summary;
  const findings = table(
    results.findings,
    [
      {
        title: "SEVERITY",
        value: ({ severity }) => severity,
        style: (text, { severity }) => tone(paint, severity) + text.slice(severity.length),
      },
      { title: "CHECK", value: ({ check }) => check },
      {
        title: "WHERE",
        value: ({ location, package: name, version }) =>
          location ?? [name, version].filter(Boolean).join("@"),
        shrinks: true,
      },
      { title: "WHAT TO DO", value: ({ recommendation }) => recommendation, shrinks: true },
    ],
    look,
  );
  return `${summary}\n${findings}`;
}
