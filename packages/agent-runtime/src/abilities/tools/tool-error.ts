// A call of a tool that came to nothing.

/** Why a call of a tool came to nothing; in a step's error. */
export type ToolErrorCode =
  | "TOOL_ARGUMENTS_INVALID"
  | "TOOL_NOT_ALLOWED"
  | "TOOL_SECRET_MISSING"
  | "TOOL_LIMIT_REACHED"
  | "TOOL_TIMEOUT"
  | "TOOL_FAILED";

/** A call that came to nothing, with a sentence for the model and for its owner. */
export class ToolError extends Error {
  readonly code: ToolErrorCode;

  constructor(message: string, code: ToolErrorCode = "TOOL_ARGUMENTS_INVALID") {
    super(message);
    this.code = code;
  }
}
