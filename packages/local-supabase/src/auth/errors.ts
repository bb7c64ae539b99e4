// The errors that Auth answers with, in the form of supabase/auth.

/** A refusal: `{code, error_code, msg}`, or `{code, message}` for clients that send an API version. */
export class AuthError extends Error {
  override name = "AuthError";
  readonly status: number;
  readonly code: string;
  /** What a weak password lacks; only with `weak_password`. */
  readonly reasons: readonly string[] | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    options: { reasons?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.status = status;
    this.code = code;
    this.reasons = options.reasons;
  }
}

/** A refusal in OAuth's form, `{error, error_description}` with status 400. */
export class OAuthError extends Error {
  override name = "OAuthError";
  readonly error: string;

  constructor(error: string, description: string, options: { cause?: unknown } = {}) {
    super(description, { cause: options.cause });
    this.error = error;
  }
}

/** 400 */
export const badRequest = (code: string, message: string) => new AuthError(400, code, message);
/** 403 */
export const forbidden = (code: string, message: string) => new AuthError(403, code, message);
/** 404 */
export const notFound = (code: string, message: string) => new AuthError(404, code, message);
/** 422 */
export const unprocessable = (code: string, message: string) => new AuthError(422, code, message);
/** 429 */
export const tooMany = (code: string, message: string) => new AuthError(429, code, message);
/** 422: another user has this address. */
export const takenEmail = () =>
  unprocessable("email_exists", "A user with this email address has already been registered");
/** 500 */
export const internal = (message: string, cause?: unknown) =>
  new AuthError(500, "unexpected_failure", message, { cause });
