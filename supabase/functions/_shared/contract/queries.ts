/** Query parameters. They arrive as text: a whole number is read before its schema judges it. */
import { z } from "zod";
import { PLATFORM } from "./definition.ts";
import { logLevels } from "./monitoring.ts";
import { cursor, statuses, text, whole } from "./primitives.ts";

/** Accepts any case, as the specification's filters do. */
const oneOf = (values: readonly string[]) =>
  z
    .string()
    .transform((value) => value.toUpperCase())
    .pipe(z.enum(values, `Must be one of: ${values.join(", ")}`))
    .meta({ enum: [...values] });

const offset = whole(0, 1_000_000).default(0).meta({ description: "How many to skip." });
const limit = whole(1, 100).default(20).meta({ description: "Number of results." });
const after = cursor.optional();

/** GET /api/agents */
export const listQuery = z.strictObject({
  limit,
  offset,
  after,
  status: oneOf(statuses).optional().meta({ description: "Filter by status, in any case." }),
  platform: z
    .string()
    .regex(PLATFORM, "Must be a short lower-case name")
    .optional()
    .meta({ description: "Filter by platform." }),
});

/** GET …/revisions, GET …/keys, GET /api/budgets */
export const pageQuery = z.strictObject({ limit, offset, after });

/** GET …/logs */
export const logsQuery = z.strictObject({
  lines: whole(1, 1000).default(100).meta({ description: "Number of log lines." }),
  since: z
    .string()
    .regex(/^\d{1,5}[smhd]$/, "Must be a duration such as 45s, 30m, 1h or 2d")
    .optional()
    .meta({ description: "Only lines of this last span of time.", example: "1h" }),
  level: oneOf(logLevels).optional().meta({ description: "Filter by log level." }),
  text: text(200, 1).optional().meta({
    description: "Only lines whose message has this text, in any case; of the newest 50000 lines.",
  }),
  after: after.meta({ description: "`nextCursor` of the page before: the newest lines older than it." }),
});

/** GET …/metrics */
export const metricsQuery = z.strictObject({
  range: z
    .string()
    .regex(/^\d{1,5}[smhd]$/, "Must be a duration such as 30m, 6h or 30d")
    .optional()
    .meta({ description: "Also what was in this last span of time, at most 400d.", example: "24h" }),
  resolution: z
    .string()
    .transform((value) => value.toLowerCase())
    .pipe(z.enum(["minute", "hour"], "Must be minute or hour"))
    .meta({ enum: ["minute", "hour"] })
    .optional()
    .meta({ description: "Left out: minutes up to 6h, hours beyond. Minutes reach back 1d." }),
});

export const noQuery = z.strictObject({});

export type ListQuery = z.input<typeof listQuery>;
export type PageQuery = z.input<typeof pageQuery>;
export type MetricsQuery = z.input<typeof metricsQuery>;
export type LogsQuery = z.input<typeof logsQuery>;
