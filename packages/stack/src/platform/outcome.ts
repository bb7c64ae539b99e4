import { AsyncLocalStorage } from "node:async_hooks";
import type { FetchHandler } from "../gateway/in-process.ts";

/** What was done to an object's file before its row is written: to be kept or undone when that is known. */
export interface Step {
  keep(): Promise<void>;
  undo(): Promise<void>;
}

/** A request to Storage under way. */
export interface Outcome {
  steps: Step[];
  /** The words of a rule that refused, where a policy did not. */
  refusal?: string;
}

/** The request that the present code works for. */
export const outcome = new AsyncLocalStorage<Outcome>();

/**
 * Serves a request to Storage so that files and rows agree and a refusal says why. Lite writes the bytes and then the row,
 * which a rule (the quota) may refuse although it was asked before; and it calls every refusal one of a policy.
 */
export function withOutcome(handler: FetchHandler): FetchHandler {
  return async (request) => {
    const made: Outcome = { steps: [] };
    let ok = false;
    try {
      const response = await outcome.run(made, () => handler(request));
      ok = response.ok;
      return ok || made.refusal === undefined ? response : await withWords(response, made.refusal);
    } finally {
      for (const step of made.steps.toReversed()) await (ok ? step.keep() : step.undo());
    }
  };
}

/**
 * Makes note of what the database says when it refuses: lite asks the connection what every error means, in the request
 * that met it. Takes a connection of lite.
 */
export function noteRefusals(connection: { normalizeDbError(error: unknown): unknown }): void {
  const normalize = connection.normalizeDbError.bind(connection);
  connection.normalizeDbError = (error) => {
    const meant = normalize(error);
    const under = outcome.getStore();
    // Of this code alone hosted's Storage passes the message on, and not where a policy is the reason.
    if (under && meant instanceof Error && "code" in meant && meant.code === "42501") {
      if (!meant.message.includes("row-level security")) under.refusal = meant.message;
    }
    return meant;
  };
}

async function withWords(response: Response, message: string): Promise<Response> {
  const body = (await response.json()) as { statusCode?: string };
  return Response.json(body.statusCode === "403" ? { ...body, message } : body, { status: response.status });
}
