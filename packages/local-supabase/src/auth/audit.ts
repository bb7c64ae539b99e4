// Writes Auth's audit log, auth.audit_log_entries.

import { randomUUID } from "node:crypto";
import type { Queryable } from "./queryable.ts";
import type { AuthRequest } from "./request.ts";
import type { Json, UserRow } from "./users.ts";

const TYPES = {
  login: "account",
  logout: "account",
  invite_accepted: "account",
  user_signedup: "team",
  user_invited: "team",
  user_deleted: "team",
  token_revoked: "token",
  token_refreshed: "token",
  user_modified: "user",
  user_recovery_requested: "user",
  user_reauthenticate_requested: "user",
  user_confirmation_requested: "user",
  user_repeated_signup: "user",
  user_updated_password: "user",
  identity_linked: "user",
  identity_unlinked: "user",
  passkey_created: "user",
  passkey_updated: "user",
  passkey_deleted: "user",
  factor_in_progress: "factor",
  factor_unenrolled: "factor",
  challenge_created: "factor",
  verification_attempted: "factor",
  factor_deleted: "factor",
  factor_updated: "factor",
} as const;
export type AuditAction = keyof typeof TYPES;

/** Who acts: a user, or an administrator by their token's role. */
export type Actor =
  | Pick<UserRow, "id" | "email" | "phone" | "is_sso_user" | "raw_user_meta_data">
  | { role: string };

/** Notes an action. */
export async function recordAudit(
  on: Queryable,
  request: AuthRequest,
  actor: Actor,
  action: AuditAction,
  traits?: Json,
): Promise<void> {
  const who =
    "id" in actor
      ? {
          actor_id: actor.id,
          actor_username: actor.phone || actor.email || "",
          actor_via_sso: actor.is_sso_user,
          ...(actor.raw_user_meta_data?.full_name === undefined
            ? {}
            : { actor_name: actor.raw_user_meta_data.full_name }),
        }
      : {
          actor_id: "00000000-0000-0000-0000-000000000000",
          actor_username: actor.role,
          actor_via_sso: false,
        };
  await on.query(
    `insert into auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
      values ('00000000-0000-0000-0000-000000000000', $1, $2, now(), $3)`,
    [
      randomUUID(),
      JSON.stringify({
        ...who,
        action,
        log_type: TYPES[action],
        ...(traits === undefined ? {} : { traits }),
      }),
      request.ip,
    ],
  );
}
