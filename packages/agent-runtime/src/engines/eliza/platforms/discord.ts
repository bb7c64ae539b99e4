// The connection of plugin-discord: the events of its discord.js client. After a close that Discord marks as final, discord.js says
// that it reconnects and does nothing more, so the codes are read here.
import type { Watcher } from "./watcher.ts";

/** Close codes after which Discord refuses to reconnect a bot (Discord's documentation, Gateway Close Event Codes). */
const FINAL = new Set([4004, 4010, 4011, 4012, 4013, 4014]);

interface Emitter {
  on(event: string, listener: (...args: never[]) => void): unknown;
}

interface DiscordClient extends Emitter {
  readonly user: { readonly tag: string } | null;
  readonly ws: { readonly shards: ReadonlyMap<number, Emitter> };
}

export function watchDiscord(): Watcher {
  return {
    attach(service, report) {
      const { client } = service as { client?: DiscordClient | null };
      if (client === null || client === undefined) return report.unset();
      const watched = new WeakSet<Emitter>();
      let code: number | undefined;
      const connected = () => report.connected(client.user?.tag);
      client.on("shardReady", (id: number) => {
        const shard = client.ws.shards.get(id);
        if (shard !== undefined && !watched.has(shard)) {
          watched.add(shard);
          shard.on("close", (event: { readonly code: number }) => {
            code = event.code;
          });
        }
        connected();
      });
      client.on("shardResume", connected);
      client.on("shardReconnecting", () =>
        report.connecting(code === undefined ? undefined : `The gateway closed the connection (${code})`),
      );
      client.on("shardError", (error: Error) => {
        if (code !== undefined && FINAL.has(code)) report.lost(new Error(`${error.message} (${code})`));
        else report.connecting(error.message);
      });
      client.on("invalidated", () => report.lost(new Error("Discord ended the session")));
      // The plugin listens to the first one alone; another without a listener would be thrown.
      client.on("error", (error: Error) => report.stray(error));
    },
  };
}
