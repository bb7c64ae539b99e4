/** A failure whose message is one sentence for the person who started the stack; no stack trace is shown for it. */
export class StackError extends Error {
  override name = "StackError";
}

/** The text of anything thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node system error (`EADDRINUSE` …), or undefined. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
