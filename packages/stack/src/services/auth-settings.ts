// What the embedded stack changes of config.toml's [auth], which is written for the hosted project.

import type { AuthSettings } from "@agent-launchpad/local-supabase/config/auth-settings.ts";
import { atHome } from "@agent-launchpad/local-supabase/services/auth.ts";

/** So many that one laptop's programs, which share an address, never meet it. */
const PLENTY = 1_000_000;

/**
 * The settings of Auth on one machine. Pure.
 * @param settings as config.toml has them
 * @param gatewayUrl where the stack answers: its port may be any
 */
export function authSettings(settings: AuthSettings, gatewayUrl: string): AuthSettings {
  return {
    ...atHome(settings, gatewayUrl),
    // By address of the client, and all clients are on this machine. The gateway counts by e-mail address.
    rate_limit: Object.fromEntries(
      Object.keys(settings.rate_limit).map((name) => [name, PLENTY]),
    ) as AuthSettings["rate_limit"],
    email: { ...settings.email, max_frequency: 0 },
    // The gateway locks accounts, unknown addresses included.
    hook: {
      ...settings.hook,
      password_verification_attempt: { ...settings.hook.password_verification_attempt, enabled: false },
    },
  };
}
