/** What was used and what it may cost: usage and budgets. */
import { z } from "zod";
import { aBody, agentId, aText, cursor, nextCursor, numeric, timestamp, whole } from "./primitives.ts";

/** Through which door a call of a model came; SQL's private.usage_sources() holds the same list. */
export const usageSources = [
  "message",
  "address",
  "schedule",
  "trigger",
  "completions",
  "a2a",
  "mcp",
] as const;

const MOST_MICROS = 1_000_000_000_000_000;
const count = z.int().min(0);
const micros = count.meta({ description: "Millionths of a US dollar." });
const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}$/, "Must be a day such as 2026-01-31")
  .meta({ example: "2026-01-31" });

const figures = z.object({
  answers: count,
  inputTokens: count,
  cachedInputTokens: count.meta({ description: "Those of the input that the provider read from its cache." }),
  outputTokens: count,
  costMicros: micros,
});

/** GET /api/usage */
export const usageReport = z
  .object({
    items: z.array(
      figures.extend({
        day: day.optional(),
        agentId: agentId.optional(),
        model: z.string().optional(),
        source: z.enum(usageSources).optional(),
      }),
    ),
    count: count.meta({ description: "How many groups there are." }),
    total: figures.meta({ description: "Of all groups, also those of other pages." }),
    currency: z.literal("USD"),
    nextCursor,
  })
  .meta({ id: "UsageReport" });

const offset = whole(0, 1_000_000).default(0).meta({ description: "How many to skip." });

/** GET /api/usage */
export const usageQuery = z.strictObject({
  from: day.optional().meta({ description: "First day (UTC); left out: 29 days before `to`." }),
  to: day.optional().meta({ description: "Last day (UTC); left out: today." }),
  groupBy: z
    .string()
    .regex(
      /^(?:day|agent|model|source)(?:,(?:day|agent|model|source))*$/,
      "Must be a list of: day, agent, model, source",
    )
    .max(40, "Must be a list of: day, agent, model, source")
    .optional()
    .meta({ description: "One or more of day, agent, model, source.", example: "day,agent" }),
  limit: whole(1, 1000).default(100).meta({ description: "Number of groups." }),
  offset,
  after: cursor.optional(),
});

const scope = z.enum(["user", "agent"], "Must be user or agent");
const period = z.enum(["day", "month"], "Must be day or month");
const action = z.enum(["pause", "notify"], "Must be pause or notify").meta({
  description: "`pause` holds answers back once the budget is used up; `notify` only writes events.",
});

export const budget = z
  .object({
    id: z.uuid(),
    scope,
    agentId: agentId.nullable(),
    period,
    limitMicros: micros,
    warnAt: z.number(),
    action,
    spentMicros: micros,
    reservedMicros: micros.meta({ description: "What calls under way may cost." }),
    reached: z.boolean(),
    resetsAt: timestamp,
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: "Budget" });

/** GET /api/budgets */
export const budgetList = z
  .object({ budgets: z.array(budget), total: count, nextCursor })
  .meta({ id: "BudgetList" });

/** PUT /api/budgets: one budget for each scope and period; the same again changes it. */
export const putBudgetRequest = z
  .strictObject(
    {
      scope,
      agentId: z.string(aText).max(100, "Must have at most 100 characters").nullish(),
      period,
      limitMicros: whole(0, MOST_MICROS),
      warnAt: numeric(0, 1)
        .refine((value) => value > 0, "Must be above 0 and at most 1")
        .nullish()
        .meta({ description: "The part of the limit at which BUDGET_WARNING comes; 0.8 when left out." }),
      action,
    },
    aBody,
  )
  .refine((value) => (value.scope === "agent") === (typeof value.agentId === "string"), {
    error: "Required for the scope agent, and only there",
    path: ["agentId"],
    when: ({ issues }) => issues.length === 0,
  })
  .meta({ id: "PutBudgetRequest" });

/** DELETE /api/budgets/{budgetId} */
export const budgetDeleted = z
  .object({ id: z.uuid(), deleted: z.literal(true) })
  .meta({ id: "BudgetDeleted" });

export type UsageReport = z.infer<typeof usageReport>;
export type UsageQuery = z.input<typeof usageQuery>;
export type Budget = z.infer<typeof budget>;
export type BudgetList = z.infer<typeof budgetList>;
export type PutBudgetRequest = z.input<typeof putBudgetRequest>;
export type BudgetDeleted = z.infer<typeof budgetDeleted>;
