// The command `launchpad logout`.

import type { Context } from "../context.ts";

/** `launchpad logout` */
export async function run(
  context: Context,
  _args: readonly string[],
  options: { everywhere?: boolean },
): Promise<void> {
  // What a login is kept for may be gone; then its name is the default one.
  await context.project().catch(() => undefined);
  const profile = await context.store.profile(context.profile);
  if (!profile?.session) {
    context.out.note(`No user is signed in with the profile ${context.profile}.`);
    context.out.result({ signedOut: false }, () => "");
    return;
  }
  const told = await tellAuth(context, options.everywhere ? "global" : "local");
  // The address stays: the next login goes there again.
  await context.store.update(context.profile, (before) =>
    before ? { ...before, session: undefined } : before,
  );
  if (!told) context.out.warn("The project could not be reached; the session ends when its tokens expire.");
  context.out.note(`Signed out ${profile.session.user.email ?? profile.session.user.id}.`);
  context.out.result({ signedOut: true }, () => "");
}

/** Ends the session at the project too. The login is forgotten here whatever comes of it. */
async function tellAuth(context: Context, scope: "local" | "global"): Promise<boolean> {
  try {
    const { supabase } = await context.session();
    const { error } = await supabase.auth.signOut({ scope });
    return error === null;
  } catch {
    return false; // expired, offline: nothing to end there, or nobody to tell
  }
}
