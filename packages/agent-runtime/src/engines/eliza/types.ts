// The little of elizaOS 1.7 that the engine touches. Its own types are part of the optional install and cannot be relied on.

export interface ElizaPlugin {
  readonly name: string;
  readonly schema?: unknown;
  readonly dependencies?: readonly string[];
  readonly providers?: readonly unknown[];
  readonly actions?: readonly ElizaAction[];
  readonly services?: readonly unknown[];
}

/** What a plugin keeps running beside messages: a bot of a platform, a connection. */
export interface ElizaService {
  stop(): Promise<void>;
  /** Of plugin-discord: settles when it is logged in, or the login is refused. */
  readonly clientReadyPromise?: Promise<unknown> | null;
}

export interface ElizaServiceClass {
  readonly serviceType: string;
  start(runtime: ElizaRuntime): Promise<ElizaService>;
}

export interface ElizaContent {
  readonly text?: string;
  readonly actions?: readonly string[];
  readonly [key: string]: unknown;
}

export interface ElizaMemory {
  readonly id: string;
  readonly entityId: string;
  readonly agentId: string;
  readonly roomId: string;
  readonly content: ElizaContent;
  readonly createdAt: number;
}

export interface ElizaDatabase {
  init(): Promise<void>;
  runPluginMigrations(plugins: readonly { name: string; schema: unknown }[]): Promise<void>;
  createAgent(agent: Record<string, unknown>): Promise<boolean>;
  updateAgent(id: string, agent: Record<string, unknown>): Promise<boolean>;
  deleteManyMemories(ids: readonly string[]): Promise<void>;
  /** Writes a row of its log. */
  log(entry: unknown): Promise<void>;
  /** Of PGlite. */
  getConnection(): Promise<{ exec(sql: string): Promise<unknown> }>;
  close(): Promise<void>;
}

/** Makes one call of a model for a runtime. */
export type ElizaHandler = (runtime: ElizaRuntime, params: unknown) => Promise<unknown>;

/** What a model may choose to do in an answer. */
export interface ElizaAction {
  readonly name: string;
  readonly description: string;
  readonly similes: readonly string[];
  readonly examples: readonly unknown[];
  validate(): Promise<boolean>;
  handler(
    runtime: ElizaRuntime,
    message: ElizaMemory,
    state: { readonly text?: string } | undefined,
    options: unknown,
    callback: ((content: ElizaContent) => Promise<unknown>) | undefined,
    ...rest: unknown[]
  ): Promise<unknown>;
}

/** What looks back on a message when the answer is out. */
export interface ElizaEvaluator {
  readonly name: string;
  validate(runtime: ElizaRuntime, message: ElizaMemory, state?: unknown): Promise<boolean>;
  handler(runtime: ElizaRuntime, message: ElizaMemory, ...rest: unknown[]): Promise<unknown>;
}

/** Where a plugin sends a message that answers none. */
export interface ElizaTarget {
  readonly source: string;
  readonly roomId?: string;
  readonly channelId?: string;
}

/** Work that elizaOS keeps in its database and does later, once or again and again. */
export interface ElizaTask {
  readonly id: string;
  readonly roomId?: string | null;
  readonly metadata?: { readonly updatedAt?: unknown };
}

export interface ElizaTaskWorker {
  readonly name: string;
  execute(runtime: ElizaRuntime, options: unknown, task: ElizaTask): Promise<unknown>;
}

export interface ElizaRuntime {
  readonly agentId: string;
  readonly adapter: ElizaDatabase;
  readonly character: { readonly name: string };
  readonly actions: ElizaAction[];
  stateCache: Map<string, unknown>;
  getSetting(name: string): unknown;
  registerAction(action: ElizaAction): void;
  registerEvaluator(evaluator: ElizaEvaluator): void;
  /** Lets the evaluators look at a message; called when what the agent says to it is said. */
  evaluate(
    message: ElizaMemory,
    state: unknown,
    didRespond: boolean,
    callback: unknown,
    responses: readonly ElizaMemory[],
  ): Promise<unknown>;
  useModel(kind: string, params: { prompt: string }): Promise<unknown>;
  readonly plugins: readonly ElizaPlugin[];
  readonly messageService: {
    handleMessage(
      runtime: ElizaRuntime,
      message: ElizaMemory,
      callback: (content: ElizaContent) => Promise<ElizaMemory[]>,
      options: { timeoutDuration: number },
    ): Promise<{ didRespond: boolean; responseContent: ElizaContent | null }>;
  } | null;
  readonly services: Map<string, ElizaService[]>;
  readonly serviceTypes: Map<string, ElizaServiceClass[]>;
  /** Routes that plugins want served. */
  readonly routes: readonly { readonly path?: string; readonly type?: string }[];
  registerPlugin(plugin: ElizaPlugin): Promise<void>;
  registerService(definition: ElizaServiceClass): Promise<void>;
  initialize(): Promise<void>;
  getModel(type: string): unknown;
  registerModel(kind: string, handler: ElizaHandler, provider: string, priority?: number): void;
  /** Takes what is to be sent to rooms of a source. */
  registerSendHandler(
    source: string,
    handler: (runtime: ElizaRuntime, target: ElizaTarget, content: ElizaContent) => Promise<void>,
  ): void;
  /** Takes the code of tasks of one name. */
  registerTaskWorker(worker: ElizaTaskWorker): void;
  getRoom(id: string): Promise<{ readonly channelId?: string } | null>;
  registerEvent(event: string, handler: (payload: ElizaUsage) => Promise<void>): void;
  ensureConnection(connection: Record<string, unknown>): Promise<void>;
  createMemory(memory: ElizaMemory, table: string): Promise<string>;
  getMemories(of: { tableName: string; roomId: string; count: number }): Promise<ElizaMemory[]>;
  countMemories(roomId: string, unique: boolean, table: string): Promise<number>;
  getCache<T>(key: string): Promise<T | undefined>;
  setCache(key: string, value: unknown): Promise<unknown>;
  getParticipantUserState(roomId: string, entityId: string): Promise<string | null>;
  /** How many messages of a room it looks back on. */
  getConversationLength(): number;
  stop(): Promise<void>;
  close(): Promise<void>;
}

export interface ElizaUsage {
  readonly tokens?: { readonly prompt?: number; readonly completion?: number };
}

export interface ElizaCore {
  readonly AgentRuntime: new (options: {
    agentId: string;
    character: Record<string, unknown>;
    adapter: ElizaDatabase;
    settings: Record<string, string>;
  }) => ElizaRuntime;
  stringToUuid(text: string): string;
}

export interface ElizaSql {
  readonly default: ElizaPlugin;
  createDatabaseAdapter(options: { dataDir: string }, agentId: string): ElizaDatabase;
}
