// The services of an elizaOS agent's plugins: started after the runtime is, awaited within a limit, and tried again when they fail
// or a fault of their plugin comes up later. elizaOS itself starts each once, and a failure there ends the process.
import type { PlatformLease } from "../../abilities/platform-lease.ts";
import { describe } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { PluginStates } from "../../plugin-states.ts";
import { asPlugin, pluginUnderway } from "../plugin-faults.ts";
import { type Connection, watchConnection } from "./platforms/connection.ts";
import type { ElizaRuntime, ElizaService, ElizaServiceClass } from "./types.ts";

/** The longest wait between two tries. */
const MOST_MS = 300_000;

/** Services of these hold a connection that a second replica with the same token would disturb. */
const PLATFORM =
  /discord|telegram|twitter|slack|farcaster|bluesky|matrix|whatsapp|nostr|reddit|instagram|twitch|xmtp|mastodon/i;

export interface ServicesOptions {
  readonly runtime: ElizaRuntime;
  readonly states: PluginStates;
  /** Called when all services of a plugin have started. */
  readonly ready: (plugin: string) => void;
  readonly log: Log;
  /** File URL of the module that plugins are looked up from. */
  readonly from: string;
  /** Which replica runs the services of platforms. */
  readonly lease: PlatformLease;
  /** How long the agent's start waits for all of them. */
  readonly limitMs: number;
  /** The wait before the second try; it doubles with each further one. */
  readonly retryMs: number;
}

export interface Services {
  /** Starts those that were registered until now; resolves when each has started or failed, or the limit has passed. */
  start(): Promise<void>;
  /** A fault of a plugin that nothing caught: its services are started again. Returns false where it has none. */
  fault(plugin: string, error: unknown): boolean;
  /** Nothing is tried any more. */
  stop(): void;
  /** Lets another replica have the platforms, once the services are stopped. */
  release(): Promise<void>;
}

interface Entry {
  readonly plugin: string;
  readonly definition: ElizaServiceClass;
  state: "waiting" | "standby" | "starting" | "started" | "failed";
  instance: ElizaService | undefined;
  error: string;
  tries: number;
  timer: NodeJS.Timeout | undefined;
  /** To its platform, where it serves one. */
  readonly connection: Connection | undefined;
}

/** Takes the starting of services over from a runtime on which no plugin is registered yet. */
export function superviseServices(options: ServicesOptions): Services {
  const { runtime, states, ready, log, from, lease, limitMs, retryMs } = options;
  const begin = runtime.registerService.bind(runtime);
  const entries: Entry[] = [];
  let started = false;
  let stopped = false;
  /** Whether this replica runs the platforms; undefined until it is asked. */
  let holds: Promise<boolean> | undefined;
  function onLease(held: boolean): void {
    holds = Promise.resolve(held);
    for (const entry of entries.filter(({ connection }) => connection !== undefined)) {
      clearTimeout(entry.timer);
      entry.timer = undefined;
      if (held) void attempt(entry);
      else {
        entry.state = "standby";
        entry.connection?.leave();
        void withdraw(entry).then(() => tell(entry.plugin));
      }
    }
  }

  runtime.registerService = async (definition) => {
    const plugin = pluginUnderway() ?? "elizaOS";
    const entry: Entry = {
      plugin,
      definition,
      state: "waiting",
      instance: undefined,
      error: "",
      tries: 0,
      timer: undefined,
      connection: connectionOf(plugin, definition, () => entry),
    };
    entries.push(entry);
    if (started) await attempt(entry);
  };

  function connectionOf(
    plugin: string,
    { serviceType }: ElizaServiceClass,
    entry: () => Entry,
  ): Connection | undefined {
    const platform = PLATFORM.exec(serviceType)?.[0] ?? PLATFORM.exec(plugin)?.[0];
    if (platform === undefined) return undefined;
    return watchConnection({
      plugin,
      platform: platform.toLowerCase(),
      from,
      onChange(state) {
        states.platform(plugin, state);
        if (entry().state === "starting") tell(plugin);
      },
      onLost: (error) => void fail(entry(), error).then(() => tell(plugin)),
      onStray: (error) => log.error(`Plugin ${plugin}: ${describe(error)}`, { plugin }),
    });
  }

  async function attempt(entry: Entry): Promise<void> {
    const { definition, plugin, connection } = entry;
    const type = definition.serviceType;
    if (connection !== undefined) holds ??= lease.start(onLease);
    if (connection !== undefined && !(await holds)) {
      entry.state = "standby";
      return tell(plugin);
    }
    entry.state = "starting";
    entry.tries += 1;
    connection?.begin();
    try {
      const before = new Set(runtime.services.get(type));
      await asPlugin(plugin, () => begin(definition));
      entry.instance = runtime.services.get(type)?.find((instance) => !before.has(instance));
      if (entry.instance !== undefined) connection?.attach(entry.instance);
      // plugin-discord logs in after its start, and reports it here.
      await entry.instance?.clientReadyPromise;
      if ((entry.state as string) === "standby") {
        await withdraw(entry); // the lease went while it started
        return tell(plugin);
      }
      connection?.settle();
      entry.state = "started";
      entry.tries = 0;
    } catch (error) {
      await fail(entry, error);
    }
    tell(plugin);
  }

  async function fail(entry: Entry, error: unknown): Promise<void> {
    const type = entry.definition.serviceType;
    entry.state = "failed";
    entry.connection?.fail(describe(error));
    entry.error = entry.connection?.state?.message ?? describe(error);
    await withdraw(entry);
    if (stopped || entry.timer !== undefined) return;
    const wait = Math.min(MOST_MS, retryMs * 2 ** Math.max(0, entry.tries - 1));
    log.error(`Plugin ${entry.plugin}: its service ${type} failed: ${entry.error}`, {
      plugin: entry.plugin,
      service: type,
      tries: entry.tries,
      againAfterMs: wait,
    });
    entry.timer = setTimeout(() => {
      entry.timer = undefined;
      void attempt(entry);
    }, wait);
    entry.timer.unref();
  }

  /** Ends what an earlier try left, so that the next one is the only one. */
  async function withdraw(entry: Entry): Promise<void> {
    const { definition, instance, plugin } = entry;
    if (instance === undefined) return;
    entry.instance = undefined;
    const type = definition.serviceType;
    for (const list of [runtime.services.get(type), runtime.serviceTypes.get(type)] as unknown[][]) {
      const at = list?.findIndex((item) => item === instance || item === definition) ?? -1;
      if (at >= 0) list.splice(at, 1);
    }
    try {
      await asPlugin(plugin, () => instance.stop());
    } catch (error) {
      log.warn(`Plugin ${plugin}: its service ${type} could not be stopped: ${describe(error)}`, { plugin });
    }
  }

  function tell(plugin: string): void {
    const own = entries.filter((entry) => entry.plugin === plugin);
    const failed = own.find(({ state }) => state === "failed");
    const pending = own.find(({ state }) => state === "waiting" || state === "starting");
    const refused = own.find(({ connection }) => connection?.state?.status === "DISCONNECTED");
    if (failed !== undefined) states.failed(plugin, failed.error);
    else if (pending !== undefined && refused?.connection?.state?.message) {
      states.failed(plugin, refused.connection.state.message);
    } else if (pending !== undefined) {
      states.late(plugin, `Its service ${pending.definition.serviceType} has not started yet`);
    } else if (own.some(({ state }) => state === "standby")) states.standby(plugin);
    else ready(plugin);
  }

  return {
    async start() {
      started = true;
      const tries = Promise.all(entries.map(attempt));
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((done) => {
        timer = setTimeout(done, limitMs);
      });
      await Promise.race([tries, late]);
      clearTimeout(timer);
      for (const plugin of new Set(entries.map((entry) => entry.plugin))) tell(plugin);
    },
    fault(plugin, error) {
      const own = entries.filter((entry) => entry.plugin === plugin && entry.state === "started");
      if (own.length === 0) return entries.some((entry) => entry.plugin === plugin);
      // A call of the plugin that failed has cost the connection nothing; logging in again would.
      const isConnected = ({ connection }: Entry) => connection?.state?.status === "CONNECTED";
      for (const entry of own.filter((entry) => !isConnected(entry))) {
        entry.tries += 1;
        void fail(entry, error).then(() => tell(plugin));
      }
      return true;
    },
    stop() {
      stopped = true;
      for (const { timer, connection } of entries) {
        clearTimeout(timer);
        connection?.end();
      }
    },
    release: () => lease.stop(),
  };
}
