// DELETE /user/identities/:id, and what allows links to be changed by hand.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { forbidden, internal, notFound } from "../errors.ts";
import { notify } from "../mail/send.ts";
import type { Answer, AuthRequest } from "../request.ts";
import { unlinkIdentity } from "./identities.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Throws 404 while [auth] enable_manual_linking is off. */
export function checkManualLinking({ settings }: AuthContext): void {
  if (!settings.enable_manual_linking)
    throw notFound("manual_linking_disabled", "Manual linking is disabled");
}

/** Removes one of the caller's identities. */
export async function removeIdentity(
  context: AuthContext,
  request: AuthRequest,
  [id = ""]: string[],
): Promise<Answer> {
  checkManualLinking(context);
  const { user, claims } = request;
  if (!user || !claims) throw internal("Could not read claims");
  if (!UUID.test(id)) throw notFound("validation_failed", "identity_id must be an UUID");
  if ([claims.aud].flat()[0] !== AUDIENCE)
    throw forbidden("unexpected_audience", "Token audience doesn't match request audience");
  const removed = await context.database.transaction(async (on) => {
    const autoconfirm = !context.settings.email.enable_confirmations;
    const { provider, provider_id } = await unlinkIdentity(on, user.id, id, { autoconfirm });
    await recordAudit(on, request, user, "identity_unlinked", { identity_id: id, provider, provider_id });
    return provider;
  });
  // To the address of before: another identity's may have become the user's.
  await notify(context, "identity_unlinked", { to: user.email ?? "", data: { Provider: removed } });
  return { body: {} };
}
