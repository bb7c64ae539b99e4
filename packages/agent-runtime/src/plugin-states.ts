// How an agent's plugins are: each is ready, or has failed with its own message. A degraded plugin never ends the agent.

/** The connection of a plugin to its platform, such as a bot on Discord. */
export interface PlatformState {
  /** As `platforms` of a definition names it. */
  readonly name: string;
  readonly status: "CONNECTED" | "CONNECTING" | "DISCONNECTED" | "UNKNOWN";
  /** The platform's name of the account; null where it is not known. */
  readonly account: string | null;
  /** The platform's own words; null where all is said. */
  readonly message: string | null;
}

/** The state of one plugin. */
export interface PluginState {
  /** The package's name. */
  readonly name: string;
  readonly ready: boolean;
  readonly reason: "STARTED" | "STARTING" | "STANDBY" | "PLUGIN_FAILED";
  readonly message: string;
  /** Where it serves a platform. */
  readonly platform?: PlatformState;
  /** It runs a service or tasks: it may work without a request, so that its agent is never idle. */
  readonly worksAlone?: boolean;
}

export interface PluginStates {
  /** `message`: what there is to say of it. */
  ready(name: string, message?: string): void;
  /** Another replica runs it. */
  standby(name: string): void;
  /** It is late; the agent does not wait for it. */
  late(name: string, message: string): void;
  failed(name: string, message: string): void;
  /** How its connection is; undefined: another replica holds it. */
  platform(name: string, state: PlatformState | undefined): void;
  /** It runs a service or tasks. */
  worksAlone(name: string): void;
  list(): readonly PluginState[];
  /** Called after each change, with all states. */
  onChange(listener: (states: readonly PluginState[]) => void): void;
}

/** The longest message that the project keeps. */
const MAX_MESSAGE = 600;

/**
 * Makes the states of one runtime's plugins.
 * @param clean blanks secrets: a plugin's error may quote its token
 */
export function createPluginStates(clean: (text: string) => string = (text) => text): PluginStates {
  const states = new Map<string, Omit<PluginState, "platform" | "worksAlone">>();
  const platforms = new Map<string, PlatformState>();
  const listeners: ((states: readonly PluginState[]) => void)[] = [];
  const working = new Set<string>();
  const list = () =>
    [...states.values()].map((state) => {
      const platform = platforms.get(state.name);
      return {
        ...state,
        ...(platform === undefined ? {} : { platform }),
        ...(working.has(state.name) ? { worksAlone: true } : {}),
      };
    });
  const short = (message: string) => clean(message).slice(0, MAX_MESSAGE);
  const tell = () => {
    for (const listener of listeners) listener(list());
  };
  const set = (state: PluginState) => {
    const before = states.get(state.name);
    states.set(state.name, state);
    if (before?.reason !== state.reason || before.message !== state.message) tell();
  };
  return {
    ready: (name, message = "Started") =>
      set({ name, ready: true, reason: "STARTED", message: message.slice(0, MAX_MESSAGE) }),
    standby: (name) =>
      set({ name, ready: true, reason: "STANDBY", message: "Another replica holds the connection" }),
    late: (name, message) => set({ name, ready: false, reason: "STARTING", message: short(message) }),
    failed: (name, message) => set({ name, ready: false, reason: "PLUGIN_FAILED", message: short(message) }),
    platform(name, state) {
      const before = JSON.stringify(platforms.get(name));
      if (state === undefined) platforms.delete(name);
      else platforms.set(name, { ...state, message: state.message && short(state.message) });
      // A plugin without a state is not in the list yet.
      if (JSON.stringify(platforms.get(name)) !== before && states.has(name)) tell();
    },
    worksAlone(name) {
      if (working.has(name)) return;
      working.add(name);
      if (states.has(name)) tell();
    },
    list,
    onChange(listener) {
      listeners.push(listener);
      if (states.size > 0) listener(list());
    },
  };
}
