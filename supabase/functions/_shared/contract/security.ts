/** Security events and scans. */
import { z } from "zod";
import { agentId, cursor, nextCursor, timestamp, userId, whole } from "./primitives.ts";

export const severities = ["LOW", "MEDIUM", "HIGH", "CRITICAL"] as const;
const severity = z.enum(severities).meta({ id: "Severity" });

/** As SQL judges it: a day, or a day and a time, with a zone or in UTC. */
const MOMENT = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?$/;
const isMoment = (text: string) => MOMENT.test(text) && !Number.isNaN(Date.parse(text.replace(" ", "T")));

/** GET /api/security/events */
export const securityEventsQuery = z.strictObject({
  limit: whole(1, 500).default(50).meta({ description: "Number of events." }),
  severity: z
    .string()
    .transform((value) => value.toUpperCase())
    .pipe(z.enum(severities, `Must be one of: ${severities.join(", ")}`))
    .meta({ enum: [...severities], description: "Filter by severity, in any case." })
    .optional(),
  event_type: z
    .string()
    .regex(/^[A-Za-z][A-Za-z_]{0,63}$/, "Must be a name such as AUTH_FAILURE")
    .optional()
    .meta({ description: "Filter by event type, in any case.", example: "AUTH_FAILURE" }),
  since: z
    .string()
    .refine(isMoment, "Must be a time such as 2026-01-15T13:25:00Z")
    .optional()
    .meta({ description: "Only events since this time.", example: "2026-01-15T13:25:00Z" }),
  after: cursor.optional(),
});

const securityEvent = z
  .object({
    id: z.string().meta({ example: "event-456def" }),
    event_type: z.string().meta({ example: "AUTH_FAILURE" }),
    severity,
    user_id: userId,
    agent_id: z.string().nullable().meta({ description: "As the request named it." }),
    message: z.string(),
    timestamp,
    ip_address: z.string().nullable(),
    user_agent: z.string().nullable(),
    details: z
      .record(z.string(), z.unknown())
      .meta({ description: "`count` and `last_at` where repeats were counted together." }),
    automated_response: z
      .object({ action_taken: z.string(), duration: z.string() })
      .nullable()
      .meta({ description: "What was done about it, such as TEMPORARY_LOCKOUT." }),
  })
  .meta({ id: "SecurityEvent" });

/** GET /api/security/events */
export const securityEvents = z
  .object({
    events: z.array(securityEvent),
    total: z.int().min(0).meta({ description: "How many match, counted up to 10000." }),
    user_id: userId,
    nextCursor,
  })
  .meta({ id: "SecurityEvents" });

const count = z.int().min(0);
const source = z.object({ status: z.enum(["available", "unavailable"]) });

const finding = z
  .object({
    check: z
      .string()
      .meta({ description: "Name of the check, or id of the advisory.", example: "SECRET_LITERAL" }),
    source: z.enum(["posture", "npm", "trivy"]),
    severity,
    title: z.string(),
    recommendation: z.string(),
    location: z.string().optional(),
    package: z.string().optional(),
    version: z.string().optional(),
    url: z.string().nullable().optional(),
  })
  .meta({ id: "SecurityFinding" });

/** POST /api/security/scan/{agentId} */
export const securityScan = z
  .object({
    agentId,
    user_id: userId,
    scanId: z.string().meta({ example: "scan-789xyz" }),
    status: z.enum(["RUNNING", "COMPLETED", "FAILED"]),
    results: z.object({
      passed: z.boolean().meta({
        description:
          "Nothing critical or high was found, advisories were available, and every control holds.",
      }),
      vulnerabilities: z
        .object({ critical: count, high: count, medium: count, low: count })
        .meta({ description: "The findings, counted by severity." }),
      recommendations: z.array(z.string()),
      supabase_compliance: z.object({
        rls_policies_verified: z.boolean(),
        data_encryption_enabled: z
          .boolean()
          .meta({ description: "The agent's secrets are stored encrypted (Vault)." }),
        audit_logging_active: z.boolean(),
      }),
      findings: z.array(finding),
      sources: z.object({
        posture: source,
        npm_advisories: source.extend({
          packages: count,
          checked: count,
          checkedAt: timestamp.optional(),
          reason: z.string().optional(),
        }),
        container_image: source,
      }),
    }),
    security_event_logged: z.boolean(),
    scannedAt: timestamp,
  })
  .meta({ id: "SecurityScan" });

export type SecurityEvent = z.infer<typeof securityEvent>;
export type SecurityEvents = z.infer<typeof securityEvents>;
export type SecurityScan = z.infer<typeof securityScan>;
export type SecurityEventsQuery = z.input<typeof securityEventsQuery>;
