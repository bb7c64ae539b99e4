// Deletes a user and keeps their row: what names them becomes a hash.

import { createHash } from "node:crypto";
import type { Queryable } from "../queryable.ts";
import { endSessions } from "../sessions.ts";
import { type UserRow, updateUser } from "../users.ts";

/** A value that shows nothing of what it was, and stays the same for the same user. */
const obfuscated = (user: UserRow, value: string): string =>
  createHash("sha256")
    .update(user.id + value)
    .digest("base64url");

/** Deletes softly, as Auth does: the id stays, everything else of the person goes. */
export async function softDelete(on: Queryable, user: UserRow, now: Date): Promise<void> {
  const hash = (value: string | null) => (value ? obfuscated(user, value) : value);
  await updateUser(on, user, {
    email: hash(user.email),
    phone: user.phone ? obfuscated(user, user.phone).slice(0, 15) : user.phone,
    email_change: hash(user.email_change),
    phone_change: user.phone_change ? obfuscated(user, user.phone_change).slice(0, 15) : user.phone_change,
    encrypted_password: "",
    confirmation_token: "",
    recovery_token: "",
    email_change_token_current: "",
    email_change_token_new: "",
    phone_change_token: "",
    reauthentication_token: "",
    raw_app_meta_data: {},
    raw_user_meta_data: {},
    deleted_at: now,
  });
  for (const identity of user.identities) {
    await on.query("update auth.identities set provider_id = $2, identity_data = '{}' where id = $1", [
      identity.id,
      obfuscated(user, `${identity.provider}:${identity.provider_id}`),
    ]);
  }
  await on.query("delete from auth.one_time_tokens where user_id = $1", [user.id]);
  await on.query("delete from auth.mfa_factors where user_id = $1", [user.id]);
  await on.query("delete from auth.webauthn_credentials where user_id = $1", [user.id]);
  await endSessions(on, user.id, "all");
}
