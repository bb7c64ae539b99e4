// The form of the gateway's own refusals for requests to the function `api`.

import type { ErrorForm, PlatformFunction } from "@agent-launchpad/local-supabase/gateway/extension.ts";

/** What the function says of row-level security where no statement ran. */
const UNTOUCHED = { rls_applied: false, user_isolation: "unknown" };

/** The error envelope of `/api`, with the rate-limit headers of a caller without identity. */
const apiErrors: ErrorForm = ({ code, message, field, cure }, requestId) => {
  const now = Date.now();
  const error = {
    code,
    message,
    timestamp: new Date(now).toISOString(),
    requestId,
    user_id: null,
    supabase_details: UNTOUCHED,
    ...(field !== undefined && cure !== undefined ? { details: { [field]: message } } : {}),
  };
  const headers = {
    "x-ratelimit-limit": "0",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset": String(Math.floor(now / 1000)),
    "supabase-ratelimit-remaining": "0",
    "supabase-auth-rate-limit": "0",
  };
  return { body: { error }, headers };
};

const API: PlatformFunction = { errors: apiErrors };

/** The rules of the function `api`; undefined for the others. */
export const platformFunction = (name: string): PlatformFunction | undefined =>
  name === "api" ? API : undefined;

/** The form of errors of a target that cannot be read, where it was meant for `/api`. */
export const unreadableForm = (raw: string): ErrorForm | undefined =>
  /^\/(functions\/v1\/)?api\b/.test(raw) ? apiErrors : undefined;
