// The CLI's own error type.

import type { Outcome } from "./exit-codes.ts";

export interface Facts {
  /** The API's code, or one of the program's own in the same form. */
  code?: string;
  /** Field → problem. */
  details?: Readonly<Record<string, unknown>> | undefined;
  /** Field → `file:line`. */
  locations?: Readonly<Record<string, string>> | undefined;
  requestId?: string | undefined;
  cause?: unknown;
}

/** A failure told in one sentence that says what to do. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly outcome: Outcome;
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly locations: Readonly<Record<string, string>> | undefined;
  readonly requestId: string | undefined;

  constructor(outcome: Outcome, message: string, facts: Facts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.outcome = outcome;
    this.code = facts.code ?? outcome.replace(/[A-Z]/g, "_$&").toUpperCase();
    this.details = facts.details;
    this.locations = facts.locations;
    this.requestId = facts.requestId;
  }
}

/** The `code` of a system or API error, where it has one. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
