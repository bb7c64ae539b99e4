/** Small shapes shared by requests and responses. Bounds repeat what SQL enforces. */
import { z } from "zod";
import { isBlank } from "./blank.ts";

const KIBI = 1024;

/** Sentences for a value of the wrong kind. */
export const aText = "Must be text";
export const aTextList = "Must be a list of texts";
export const anObject = "Must be an object";
export const aBody = "Must be a JSON object";

/**
 * Text of at most `max` characters, counted as Postgres and JSON Schema count: by code point.
 * @param max the largest number of characters
 * @param min the smallest, 0 when left out
 */
export const text = (max: number, min = 0) =>
  z
    .string(aText)
    .refine((value) => within(value, min, max), {
      error:
        min > 0
          ? `Must have ${min} to ${max} characters, not all blank`
          : `Must have at most ${max} characters`,
    })
    .meta({ ...(min > 0 ? { minLength: min } : {}), maxLength: max });

function within(value: string, min: number, max: number): boolean {
  if (min > 0 && isBlank(value)) return false;
  if (value.length <= max) return true;
  return value.length <= 2 * max && [...value].length <= max;
}

/**
 * Text of at most `max` bytes of UTF-8.
 * @param max the largest number of bytes
 */
export const textBytes = (max: number) =>
  z
    .string(aText)
    .refine((value) => value.length <= max && new TextEncoder().encode(value).length <= max, {
      error: `Must be at most ${max / KIBI} KiB`,
    })
    .meta({ maxLength: max });

/**
 * A whole number in a range.
 * @param min the smallest
 * @param max the largest
 */
export const whole = (min: number, max: number) => {
  const error = `Must be a whole number from ${min} to ${max}`;
  return z.int(error).min(min, error).max(max, error);
};

/**
 * A number in a range.
 * @param min the smallest
 * @param max the largest
 */
export const numeric = (min: number, max: number) => {
  const error = `Must be a number from ${min} to ${max}`;
  return z.number(error).min(min, error).max(max, error);
};

/** What `nextCursor` of a list was: where its next page begins. SQL knows what is inside. */
export const cursor = z
  .string()
  .regex(
    /^[0-9a-f]{16}[A-Za-z0-9_-]{1,4000}$/,
    "Must be the nextCursor of this list, asked with the same filters",
  )
  .meta({
    description:
      "`nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes.",
  });

/** How a page says where the next one begins. */
export const nextCursor = z
  .string()
  .nullable()
  .meta({ description: "Pass it as `after` to read the next page; null on the last page." });

/** True or false. */
export const flag = () => z.boolean("Must be true or false");

/**
 * A list of at most `max` items.
 * @param item what each item is
 * @param max the largest number of items
 */
export const list = <T extends z.ZodType>(item: T, max: number) =>
  z.array(item, "Must be a list").max(max, `Must have at most ${max} items`);

/** An agent's id is a DNS label: it becomes the agent's host name. */
export const AGENT_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export const agentId = z
  .string()
  .regex(AGENT_ID)
  .meta({ id: "AgentId", description: "Opaque id of an agent, a DNS label.", example: "agent-4kz0tq7c2mfa" });

export const userId = z.uuid().meta({ description: "The caller's id." });

export const timestamp = z.iso.datetime({ offset: true }).meta({ example: "2026-01-15T10:30:00Z" });

export const eventId = z
  .string()
  .nullable()
  .meta({ description: "Id in agent_events.", example: "event-456def" });

/** The lifecycle of a deployment. */
export const phases = [
  "QUEUED",
  "DEPLOYING",
  "DEPLOYED",
  "SCALING",
  "UPDATING",
  "RESTARTING",
  "SLEEPING",
  "ASLEEP",
  "WAKING",
  "STOPPING",
  "STOPPED",
  "FAILED",
  "DELETING",
  "DELETED",
] as const;

/** What an agent that was never deployed shows, and what may cover the phase while it works. */
export const activities = ["IDLE", "THINKING", "RESPONDING", "ERROR"] as const;

/** What an agent's row may show: a row does not outlive DELETING. */
export const statuses = [...phases.filter((phase) => phase !== "DELETED"), ...activities] as const;

export const agentStatus = z
  .enum([...phases, ...activities])
  .meta({ id: "AgentStatus", description: "A lifecycle phase, or the activity of an agent." });

export const healthState = z
  .enum(["HEALTHY", "DEGRADED", "UNHEALTHY", "UNKNOWN"])
  .meta({ id: "HealthState" });
