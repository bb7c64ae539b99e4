// The default engine: the character as instructions, the conversation as given or from memory, one call to the provider.
import type { ToolSet } from "ai";
import type { Abilities } from "../../abilities/runtime-abilities.ts";
import type { Config } from "../../config.ts";
import { AgentError, describe } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Meter } from "../../meter.ts";
import type { PluginStates } from "../../plugin-states.ts";
import { stackOf } from "../../stack.ts";
import type { Engine } from "../engine.ts";
import { listenToFaults } from "../plugin-faults.ts";
import type { Answer } from "./answer.ts";
import { DEFAULT_MODELS } from "./default-models.ts";
import type { ModelPlugin, PluginContext } from "./plugins.ts";

/** Starts the engine: loads plugins; the provider comes with the first message. Throws ConfigurationError. */
export async function startModelEngine(
  config: Config,
  log: Log,
  meter: Meter,
  abilities: Abilities,
  states: PluginStates,
): Promise<Engine> {
  listenToFaults({
    plugins: config.plugins,
    onFault(plugin, error) {
      log.error(`Plugin ${plugin}: ${describe(error)}`, { plugin, stack: stackOf(error) });
    },
  });
  const context = { agentId: config.agentId, environment: config.environment, log: log.named("plugin") };
  const plugins = config.plugins.length === 0 ? [] : await load(config, context);
  for (const name of config.plugins) states.ready(name);
  const base = {
    name: "model",
    plugins: [...plugins.map(({ name }) => name), ...config.builtInPlugins],
    close: async () => undefined,
  } as const;
  if (config.provider.apiKey === undefined) {
    const message = `No model key: set ${config.provider.keyVariable} in the agent's environment or where the stack starts.`;
    log.warn(message, { framework: config.framework });
    const reply = async () => {
      throw new AgentError("MODEL_UNCONFIGURED", message);
    };
    return { ...base, model: undefined, reply };
  }
  const id = config.model ?? DEFAULT_MODELS[config.framework];
  const tools: ToolSet = Object.assign({}, ...plugins.map((plugin) => plugin.tools ?? {}));
  let answering: Promise<Answer> | undefined;
  const prepared = () => {
    answering ??= import("./answer.ts").then(({ createAnswer }) =>
      createAnswer(config, id, tools, meter, abilities, log),
    );
    return answering;
  };
  return {
    ...base,
    model: id,
    prepare: () => void prepared().catch(() => undefined),
    reply: async (message, signal, listener) => (await prepared())(message, signal, listener),
  };
}

async function load(config: Config, context: PluginContext): Promise<ModelPlugin[]> {
  const { loadPlugins } = await import("./plugins.ts");
  return await loadPlugins(config.plugins, context, config.pluginStartMs, config.elizaDir);
}
