// How an agent's plugins are: each is ready, or has failed in its own words. What is degraded here is no reason to end the agent.

/** The state of one plugin. */
export interface PluginState {
  /** The package's name. */
  readonly name: string;
  readonly ready: boolean;
  readonly reason: "STARTED" | "STARTING" | "STANDBY" | "PLUGIN_FAILED";
  readonly message: string;
}

export interface PluginStates {
  ready(name: string): void;
  /** Another replica runs it. */
  standby(name: string): void;
  /** It takes longer than it may; the agent does not wait for it. */
  late(name: string, message: string): void;
  failed(name: string, message: string): void;
  list(): readonly PluginState[];
  /** Called after each change, with all states. */
  onChange(listener: (states: readonly PluginState[]) => void): void;
}

/** The longest message that the project keeps. */
const MAX_MESSAGE = 600;

/** Makes the states of one runtime's plugins. */
export function createPluginStates(): PluginStates {
  const states = new Map<string, PluginState>();
  const listeners: ((states: readonly PluginState[]) => void)[] = [];
  const list = () => [...states.values()];
  const set = (state: PluginState) => {
    const before = states.get(state.name);
    states.set(state.name, state);
    if (before?.reason === state.reason && before.message === state.message) return;
    for (const listener of listeners) listener(list());
  };
  return {
    ready: (name) => set({ name, ready: true, reason: "STARTED", message: "Started" }),
    standby: (name) =>
      set({ name, ready: true, reason: "STANDBY", message: "Another replica holds the connection" }),
    late: (name, message) =>
      set({ name, ready: false, reason: "STARTING", message: message.slice(0, MAX_MESSAGE) }),
    failed: (name, message) =>
      set({ name, ready: false, reason: "PLUGIN_FAILED", message: message.slice(0, MAX_MESSAGE) }),
    list,
    onChange(listener) {
      listeners.push(listener);
      if (states.size > 0) listener(list());
    },
  };
}
