// Keeps files and rows consistent within one Storage request.

import { AsyncLocalStorage } from "node:async_hooks";
import type { FetchHandler } from "../gateway/in-process.ts";
import { refusedBy } from "../gateway/refusals.ts";

/** What was done to an object's file before its row is written: to be kept or undone when that is known. */
export interface Step {
  keep(): Promise<void>;
  undo(): Promise<void>;
}

/** A request to Storage under way. */
export interface Outcome {
  steps: Step[];
  /** What the database said when it refused. */
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
      return ok || made.refusal === undefined ? response : await refused(response, made.refusal);
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
    if (under && meant instanceof Error && "code" in meant && meant.code === "42501") {
      under.refusal = meant.message;
    }
    return meant;
  };
}

/** Hosted's Storage passes the message on, but where a policy is the reason. */
async function refused(response: Response, message: string): Promise<Response> {
  const body = (await response.json()) as { statusCode?: string };
  const { status } = response;
  if (body.statusCode !== "403") return Response.json(body, { status });
  const byPolicy = message.includes("row-level security");
  // The codes of the API stand at the beginning of what our rules say.
  const code = /^[A-Z_]+(?=: )/.exec(message)?.[0] ?? "42501";
  return refusedBy(Response.json(byPolicy ? body : { ...body, message }, { status }), {
    status: 403,
    code,
    message,
  });
}
