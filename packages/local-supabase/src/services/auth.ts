// The service `auth`, inside this process.

import { startAuth } from "../auth/service.ts";
import type { AuthSettings } from "../config/auth-settings.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { type ProjectContext, running } from "./context.ts";

export function authService(context: ProjectContext): ServiceSpec {
  const { keys, projectFolder, environment, mailbox, live, state, extension, log } = context;
  return {
    name: "auth",
    needs: ["gateway", "postgres", "schema"],
    async start() {
      delete live.auth;
      const { gatewayUrl } = state;
      const adjust = extension.auth?.adjust ?? atHome;
      const started = await startAuth({
        dbUrl: running(live.postgres, "postgres").url("supabase_lite"),
        keys,
        root: projectFolder,
        env: environment.functions,
        gatewayUrl,
        mailbox,
        adjust: (settings) => adjust(settings, gatewayUrl),
        hideAccounts: extension.auth?.hideAccounts ?? false,
        log,
      });
      live.auth = started;
      return { stop: () => started.stop() };
    },
  };
}

/** Links in mails lead to this machine, whatever its port, and programs on it may be redirected to. Pure. */
export function atHome(settings: AuthSettings, gatewayUrl: string): AuthSettings {
  const local = ["http://localhost:*/**", "http://127.0.0.1:*/**"];
  return {
    ...settings,
    site_url: gatewayUrl,
    additional_redirect_urls: [...settings.additional_redirect_urls, ...local],
  };
}
