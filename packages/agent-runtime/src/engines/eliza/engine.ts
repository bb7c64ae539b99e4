// The real elizaOS AgentRuntime, without elizaOS's server: one agent, its plugins and its own PGlite database.
import type { Abilities } from "../../abilities/runtime-abilities.ts";
import type { Config } from "../../config.ts";
import { AgentError, describe } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { compileWasmOnce } from "../../memory.ts";
import type { Meter } from "../../meter.ts";
import type { PluginStates } from "../../plugin-states.ts";
import { stackOf } from "../../stack.ts";
import type { Engine } from "../engine.ts";
import { logModelWarnings } from "../model-warnings.ts";
import { listenToFaults } from "../plugin-faults.ts";
import { missingSecrets } from "../requirements.ts";
import { watchActions } from "./actions.ts";
import { createAnswers, toUuid } from "./answer.ts";
import { sendBegunMessages } from "./begun-messages.ts";
import {
  elizaModel,
  modelOfProvider,
  PROVIDER_PLUGINS,
  SETTING_NAMES,
  toElizaCharacter,
  toElizaSettings,
} from "./character.ts";
import { characterSettings } from "./character-settings.ts";
import { boundGrowth } from "./growth.ts";
import { BOOTSTRAP, CORE, type ElizaPart, openPart, SQL } from "./installation.ts";
import { createKnowledgePart } from "./knowledge.ts";
import { meterModels } from "./metered.ts";
import { loadElizaPlugins, registerPlugins } from "./plugins.ts";
import { paceReflection } from "./reflection.ts";
import { superviseServices } from "./services.ts";
import { watchTasks } from "./task-runs.ts";
import type { ElizaCore, ElizaDatabase, ElizaPlugin, ElizaSql } from "./types.ts";
import { openWorkspace, type Workspace } from "./workspace.ts";

const TEXT_MODEL = "TEXT_LARGE";

/** Starts elizaOS with the agent's plugins. Throws ConfigurationError. */
export async function startElizaEngine(
  config: Config,
  log: Log,
  meter: Meter,
  abilities: Abilities,
  states: PluginStates,
): Promise<Engine> {
  compileWasmOnce();
  const part = await openPart(config.elizaDir, config.plugins);
  const workspace = openWorkspace(config, process.env);
  const provider = PROVIDER_PLUGINS[config.framework];
  const used = config.provider.apiKey === undefined ? undefined : provider;
  const wanted =
    used !== undefined && !config.plugins.includes(used) ? [...config.plugins, used] : config.plugins;
  const limitMs = config.pluginStartMs;
  const plugins = await loadElizaPlugins(part, wanted, { log, limitMs });
  logModelWarnings(log);

  const core = (await part.load(CORE)) as unknown as ElizaCore;
  const sql = (await part.load(SQL)) as unknown as ElizaSql;
  const bootstrap = (await part.load(BOOTSTRAP)).default as ElizaPlugin;
  const agentId = core.stringToUuid(config.agentId);
  const adapter = await openDatabase(sql, workspace, agentId);

  const settings = toElizaSettings(config);
  const character = toElizaCharacter(config);
  const runtime = new core.AgentRuntime({ agentId, character, adapter, settings });
  const ready = (name: string) => {
    const missing = config.plugins.includes(name) ? missingSettings(name, part, settings) : [];
    if (missing.length === 0) states.ready(name);
    else states.failed(name, `Set ${missing.join(" and ")} in the agent's environment`);
  };
  const retryMs = config.pluginRetryMs;
  const services = superviseServices({
    runtime,
    states,
    ready,
    log,
    from: part.from,
    lease: abilities.platforms,
    limitMs,
    retryMs,
  });
  listenToFaults({
    plugins: [SQL, BOOTSTRAP, ...plugins.keys()],
    onFault(plugin, error) {
      log.error(`Plugin ${plugin}: ${describe(error)}`, { plugin, stack: stackOf(error) });
      services.fault(plugin, error);
    },
  });
  const { unset } = characterSettings(config.character, config.environment);
  if (unset.length > 0) {
    log.warn(`The character's settings mention ${unset.join(", ")}: set it in the agent's environment`, {
      unset,
    });
  }
  for (const message of unheeded(config)) log.warn(message, { framework: config.framework });
  const count = meterModels(runtime, meter, {
    nameOf: (provider) => modelOfProvider(config, provider),
    framework: config.framework,
    system: String(character.system ?? ""),
    settings: config.settings,
    secrets: config.provider.apiKey === undefined ? [] : [config.provider.apiKey],
  });
  const knowledge = createKnowledgePart();
  const own = knowledge.plugin;
  const all = new Map([[SQL, sql.default], [BOOTSTRAP, bootstrap], [own.name, own], ...plugins]);
  boundGrowth(runtime, adapter);
  const { begin } = abilities;
  const giveUpBegun = sendBegunMessages({ runtime, begin, toUuid: toUuid(config, core), log });
  // What arrives on a connection that a service holds would not wake the agent; a task may be due at any time.
  const alone = new Set(
    [...plugins].flatMap(([name, { services = [] }]) => (services.length > 0 ? [name] : [])),
  );
  for (const name of alone) states.worksAlone(name);
  watchTasks(runtime, [SQL, BOOTSTRAP, own.name], (name) => {
    alone.add(name);
    states.worksAlone(name);
  });
  watchActions(runtime, all, config.secrets);
  paceReflection(runtime, config.settings.reflection === "off");
  await registerPlugins(runtime, all, limitMs);
  await runtime.initialize();
  for (const name of plugins.keys()) ready(name);
  await services.start();
  if (runtime.routes.length > 0) {
    const paths = runtime.routes.map(({ path }) => path).slice(0, 20);
    log.warn("Routes of plugins are not served: send messages to POST /message", { paths });
  }

  const others = [...plugins.keys()].filter((name) => name !== provider);
  const configured =
    used !== undefined || (runtime.getModel(TEXT_MODEL) !== undefined && others.length === plugins.size);
  if (!configured) log.warn(unconfigured(config), { framework: config.framework });
  runtime.registerEvent("MODEL_USED", async (used) => count(used));
  const answers = createAnswers({ config, core, runtime, knowledge, abilities, meter, log });
  return {
    name: "eliza",
    model: configured ? elizaModel(config) : undefined,
    plugins: [SQL, BOOTSTRAP, ...plugins.keys(), ...config.builtInPlugins],
    reply: async (message, signal, listener) => {
      if (!configured) throw new AgentError("MODEL_UNCONFIGURED", unconfigured(config));
      return answers.reply(message, signal, listener);
    },
    mayWork: () => alone.size > 0,
    async close() {
      services.stop();
      giveUpBegun();
      await answers.end();
      try {
        await runtime.stop();
      } finally {
        await services.release();
      }
      await runtime.close();
      workspace.dispose();
    },
  };
}

/** The secrets that a plugin needs and the agent has not, by the names that people set them by; the model itself reports a missing model key. */
function missingSettings(name: string, part: ElizaPart, settings: Record<string, string>): string[] {
  if (Object.values(PROVIDER_PLUGINS).includes(name)) return [];
  return missingSecrets(name, part.from, settings).map((key) => SETTING_NAMES[key] ?? key);
}

async function openDatabase(sql: ElizaSql, workspace: Workspace, agentId: string): Promise<ElizaDatabase> {
  try {
    const adapter = sql.createDatabaseAdapter({ dataDir: workspace.databaseDir }, agentId);
    await adapter.init();
    // Before initialize(): it reads tables that only its own migrations make.
    await adapter.runPluginMigrations([{ name: sql.default.name, schema: sql.default.schema }]);
    workspace.databaseMade();
    return withoutSettings(adapter);
  } catch (error) {
    const cause = describe((error as Error).cause ?? error);
    // A full disk is not the fault of the database.
    const aside = /ENOSPC|no space left/i.test(cause) ? undefined : workspace.setDatabaseAside();
    const kept = aside === undefined ? "" : ` It is kept in ${aside}; the next start makes a new one.`;
    const message = `elizaOS's database cannot be opened: ${cause}.${kept}`;
    throw new Error(message, { cause: error });
  }
}

/** elizaOS stores its character; of the settings, which may hold secrets of the environment, nothing is stored. */
function withoutSettings(adapter: ElizaDatabase): ElizaDatabase {
  const { createAgent, updateAgent } = adapter;
  adapter.createAgent = (agent) => createAgent.call(adapter, { ...agent, settings: {} });
  adapter.updateAgent = (id, agent) => updateAgent.call(adapter, id, { ...agent, settings: {} });
  return adapter;
}

/** Settings that mean nothing in this engine; the launch warns of the same (private.definition_warnings). */
function unheeded({ framework, settings }: Config): string[] {
  const penalties = framework === "openai" && (settings.presence_penalty || settings.frequency_penalty);
  return [
    ...(settings.stop?.length
      ? ["elizaOS does not use stop: its answers have a form that a stop would cut."]
      : []),
    ...(penalties ? ["elizaOS does not use penalties with OpenAI: it calls the responses API."] : []),
  ];
}

function unconfigured({ framework, provider }: Config): string {
  if (framework === "echo") return "elizaOS cannot use echo: name another framework, and set its key.";
  return `No model key: set ${provider.keyVariable} in the agent's environment or where the stack starts.`;
}
