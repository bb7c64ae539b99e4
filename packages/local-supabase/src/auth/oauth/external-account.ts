// Finds or makes the account of somebody who signed in with a provider.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { CommitWithError } from "../database.ts";
import { badRequest, forbidden, internal, notFound, unprocessable } from "../errors.ts";
import {
  adoptEmail,
  createIdentity,
  type IdentityRow,
  keepOnly,
  noteMetadata,
  noteProviders,
  refreshIdentity,
} from "../identities/identities.ts";
import { linkingOf } from "../identities/linking.ts";
import { notify, sendActionMail } from "../mail/send.ts";
import { confirmUser } from "../one-time-tokens.ts";
import type { Queryable } from "../queryable.ts";
import type { AuthRequest } from "../request.ts";
import {
  draftUser,
  findUser,
  findUserBy,
  insertUser,
  isBanned,
  isConfirmed,
  type UserRow,
  updateUser,
} from "../users.ts";
import { type ProviderProfile, withPrimaryEmail } from "./profile.ts";

/** Somebody at a provider. */
export interface External {
  provider: string;
  profile: ProviderProfile;
  emailOptional: boolean;
}

/** What signing in with a provider works with. */
export interface ExternalWork {
  context: AuthContext;
  /** The transaction under way. */
  on: Queryable;
  request: AuthRequest;
}

const dataOf = ({ profile }: External) => withPrimaryEmail(profile).metadata;
const autoconfirms = ({ settings }: AuthContext) => !settings.email.enable_confirmations;

const linkingFor = async (context: AuthContext, on: Queryable, { profile, provider }: External) =>
  await linkingOf(on, {
    emails: profile.emails,
    provider,
    sub: profile.metadata.sub,
    autoconfirm: autoconfirms(context),
  });

/**
 * The account that this sign-in would make, for the hook before it; undefined when the account exists already.
 * Throws 422 when sign-ups are off.
 */
export async function draftOf(context: AuthContext, external: External): Promise<UserRow | undefined> {
  const linking = await linkingFor(context, context.database, external);
  return linking.decision === "create" ? newUser(context, external, linking.email) : undefined;
}

function newUser(context: AuthContext, external: External, email: string): UserRow {
  if (!context.settings.enable_signup)
    throw unprocessable("signup_disabled", "Signups not allowed for this instance");
  const { provider } = external;
  return draftUser(
    {
      aud: AUDIENCE,
      email: email || undefined,
      userMetaData: dataOf(external),
      appMetaData: { provider, providers: [provider] },
    },
    context.now(),
  );
}

/**
 * Signs somebody in: their account, linked or made.
 * Throws in supabase/auth's words; what must stay in spite of it is thrown as CommitWithError.
 */
export async function accountOf(
  work: ExternalWork,
  external: External,
): Promise<{ user: UserRow; created: boolean }> {
  const { context, on, request } = work;
  const { provider } = external;
  const data = dataOf(external);
  const linking = await linkingFor(context, on, external);
  if (linking.decision === "several")
    throw internal(
      "Multiple accounts with the same email address in the same linking domain detected: default",
    );
  const created = linking.decision === "create";
  const userId = created
    ? (await insertUser(on, newUser(context, external, linking.email))).id
    : linking.userId;
  let identityId: string;
  if (linking.decision === "exists") {
    identityId = linking.identityId;
    await refreshIdentity(on, identityId, data);
  } else identityId = (await createIdentity(on, userId, provider, data)).id;
  if (!created) {
    await noteMetadata(on, userId, data);
    await noteProviders(on, userId);
  }
  const user = await known(on, userId);
  const identity = user.identities.find(({ id }) => id === identityId)!;
  if (linking.decision === "link") await noteLink(work, user, identity);
  if (isBanned(user, context.now())) throw forbidden("user_banned", "User is banned");
  if (isConfirmed(user) || (external.emailOptional && linking.email === "")) {
    await recordAudit(on, request, user, "login", { provider });
    return { user, created };
  }
  await keepOnly(on, identity);
  const alone = await known(on, userId);
  if (!linking.verified && !autoconfirms(context)) {
    if (linking.email !== "") await sendActionMail(context, on, request, alone, "signup");
    throw new CommitWithError(
      unprocessable("provider_email_needs_verification", unverified(provider, linking.email !== "")),
    );
  }
  await recordAudit(on, request, alone, "user_signedup", { provider });
  await confirmUser(on, alone, context.now());
  return { user: alone, created };
}

const unverified = (provider: string, sent: boolean) =>
  sent
    ? `Unverified email with ${provider}. A confirmation email has been sent to your ${provider} email`
    : `Unverified email with ${provider}. Verify the email with ${provider} in order to sign in`;

async function known(on: Queryable, userId: string): Promise<UserRow> {
  const user = await findUser(on, userId);
  if (!user) throw internal("Database error finding user");
  return user;
}

async function noteLink({ on, request }: ExternalWork, user: UserRow, identity: IdentityRow): Promise<void> {
  const { id, provider, provider_id } = identity;
  await recordAudit(on, request, user, "identity_linked", { identity_id: id, provider, provider_id });
}

/**
 * Adds a provider's identity to a user who is signed in.
 * Throws 422 when somebody has it already.
 */
export async function linkTo(work: ExternalWork, userId: string, external: External): Promise<UserRow> {
  const { context, on } = work;
  const { provider, profile } = external;
  const before = await findUser(on, userId);
  if (!before) throw unprocessable("user_not_found", "Linking target user not found");
  const { rows } = await on.query<{ user_id: string }>(
    "select user_id from auth.identities where provider_id = $1 and provider = $2",
    [profile.metadata.sub, provider],
  );
  if (rows[0])
    throw unprocessable(
      "identity_already_exists",
      rows[0].user_id === userId
        ? "Identity is already linked"
        : "Identity is already linked to another user",
    );
  const data = dataOf(external);
  await noteLink(work, before, await createIdentity(on, userId, provider, data));
  await noteProviders(on, userId);
  if (!before.email) {
    await adoptEmail(on, userId, {
      autoconfirm: autoconfirms(context),
      code: "email_exists",
      message: "A user with this email address has already been registered",
    });
    const user = await known(on, userId);
    if (data.email_verified !== true) {
      await sendActionMail(context, on, work.request, user, "signup");
      throw new CommitWithError(unprocessable("email_not_confirmed", unverified(provider, true)));
    }
    await confirmUser(on, user, context.now());
    if (user.is_anonymous) await updateUser(on, user, { is_anonymous: false });
  }
  const linked = await known(on, userId);
  await notify(context, "identity_linked", { to: linked.email ?? "", data: { Provider: provider } });
  return linked;
}

/** Accepts an invitation by signing in with a provider that has the invited address. */
export async function acceptInvite(
  { context, on, request }: ExternalWork,
  inviteToken: string,
  external: External,
): Promise<UserRow> {
  const invited = await findUserBy(on, ["confirmation_token"], inviteToken);
  if (!invited) throw notFound("invite_not_found", "Invite not found");
  if (!external.profile.emails.some(({ email }) => email.toLowerCase() === invited.email))
    throw badRequest("validation_failed", "Invited email does not match emails from external provider");
  const identity = await createIdentity(on, invited.id, external.provider, dataOf(external));
  await recordAudit(on, request, invited, "invite_accepted", { provider: external.provider });
  await keepOnly(on, identity);
  const user = await known(on, invited.id);
  await confirmUser(on, user, context.now());
  return user;
}
