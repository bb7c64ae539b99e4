// The connection of a plugin's service to its platform, as the library behind the plugin sees it: a service that started says nothing
// of it, and plugins do not say that it was lost. One watcher per platform whose library is known; others are UNKNOWN.
import type { PlatformState } from "../../../plugin-states.ts";
import type { ElizaService } from "../types.ts";
import { withCure } from "./cures.ts";
import { watchDiscord } from "./discord.ts";
import { watchTelegram } from "./telegram.ts";
import type { ConnectionReport, Watcher } from "./watcher.ts";

export interface ConnectionOptions {
  /** The package's name. */
  readonly plugin: string;
  readonly platform: string;
  /** File URL of the module that the plugin is looked up from. */
  readonly from: string;
  onChange(state: PlatformState | undefined): void;
  /** The connection ended for good while the service ran. */
  onLost(error: Error): void;
  onStray(error: unknown): void;
}

export interface Connection {
  readonly state: PlatformState | undefined;
  begin(): void;
  attach(service: ElizaService): void;
  /** The service says that it has started. Throws the platform's refusal where it is none. */
  settle(): void;
  /** The service failed; nothing it still reports is heard. */
  fail(message: string): void;
  /** Another replica has it. */
  leave(): void;
  /** The agent stops: later reports of the service are not failures. */
  end(): void;
}

/** Watches one service of a platform, over all its starts. */
export function watchConnection(options: ConnectionOptions): Connection {
  const { plugin, platform, from, onChange } = options;
  const watcher: Watcher | undefined = watcherOf(platform, plugin, from);
  let state: PlatformState | undefined;
  let report: ConnectionReport | undefined;
  /** The start that is heard. */
  let underway: object | undefined;
  let isSettled = false;
  /** How that start was refused so far. */
  let refusal: string | undefined;

  const set = (status: PlatformState["status"], message: string | null = null, account?: string) => {
    state = { name: platform, status, account: account ?? state?.account ?? null, message };
    onChange(state);
  };

  function begin(): void {
    const mine = {};
    underway = mine;
    isSettled = false;
    refusal = undefined;
    const heard = (work: () => void) => {
      if (underway === mine) work();
    };
    // What refused it last is shown until it is connected, or refused otherwise.
    if (state?.status !== "DISCONNECTED") set("CONNECTING");
    report = {
      connected: (account) => heard(() => set("CONNECTED", null, account)),
      connecting: (message) =>
        heard(() => {
          refusal = undefined;
          if (message !== undefined || state?.status !== "DISCONNECTED") set("CONNECTING", message);
        }),
      lost: (error) =>
        heard(() => {
          refusal = withCure(platform, error.message);
          set("DISCONNECTED", refusal);
          if (isSettled) options.onLost(error);
        }),
      unset: () => heard(() => set("DISCONNECTED", withCure(platform, "No token is set"))),
      stray: options.onStray,
    };
    watcher?.begin?.(report);
  }

  return {
    get state() {
      return state;
    },
    begin,
    attach(service) {
      if (report !== undefined) watcher?.attach?.(service, report);
    },
    settle() {
      isSettled = true;
      if (watcher === undefined) return set("UNKNOWN", "Started; the plugin does not report its connection");
      if (refusal !== undefined) throw new Error(refusal);
    },
    fail(message) {
      underway = undefined;
      set("DISCONNECTED", withCure(platform, message));
    },
    leave() {
      underway = undefined;
      state = undefined;
      onChange(undefined);
    },
    end() {
      underway = undefined;
    },
  };
}

function watcherOf(platform: string, plugin: string, from: string): Watcher | undefined {
  if (platform === "discord") return watchDiscord();
  if (platform === "telegram") return watchTelegram(plugin, from);
  return undefined;
}
