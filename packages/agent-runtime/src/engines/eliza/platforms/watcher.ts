// What the watchers of platforms have in common: they hear of a service's starts, and report how its connection is.
import type { ElizaService } from "../types.ts";

/** What a watcher reports of one start of a service. After the next start, or the end, it is not heard any more. */
export interface ConnectionReport {
  connected(account: string | undefined): void;
  /** The library reconnects. */
  connecting(message?: string): void;
  /** Only a new start of the service helps. */
  lost(error: Error): void;
  /** No token is set: there is nothing to connect. */
  unset(): void;
  /** A failure that costs the connection nothing. */
  stray(error: unknown): void;
}

export interface Watcher {
  /** Before the service starts. */
  begin?(report: ConnectionReport): void;
  /** As soon as the service is made; it may still be connecting. */
  attach?(service: ElizaService, report: ConnectionReport): void;
}
