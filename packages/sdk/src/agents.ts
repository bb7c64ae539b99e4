/** `client.agents`: launch, read, change, watch, delete. */
import { pathOf } from "./agent-path.ts";
import type {
  Agent,
  AgentBundle,
  AgentList,
  AgentLogs,
  AgentLogsQuery,
  AgentMetrics,
  AgentMetricsQuery,
  AgentStatusReport,
  AgentSummary,
  DeletedAgent,
  DeployedAgent,
  ImportedAgent,
  InitiatedChange,
  KnownAgentStatus,
  LaunchAgentRequest,
  LaunchedAgent,
  ListAgentsQuery,
  LogEntry,
  PageQuery,
  RestartedAgent,
  Revision,
  RevisionList,
  RolledBackAgent,
  ScaleAgentRequest,
  ScaledAgent,
  StoppedAgents,
  UpdateAgentRequest,
  UpdatedAgent,
} from "./contract.ts";
import type { Http, Query } from "./http.ts";
import { AgentKeys } from "./keys.ts";
import type { CallOptions, PostOptions } from "./options.ts";
import { cursorList, type PageList } from "./page.ts";
import type { Secret } from "./rows.ts";
import { secretsQuery } from "./secrets.ts";
import { type TailOptions, tailLogs } from "./tail.ts";
import { type WaitOptions, waitUntil } from "./wait.ts";
import type { Watching } from "./watching.ts";

export class Agents {
  /** Keys that call an agent at its address. */
  readonly keys: AgentKeys;
  readonly #http: Http;
  readonly #watching: Watching;

  /** @internal */
  constructor(http: Http, watching: Watching) {
    this.keys = new AgentKeys(http);
    this.#http = http;
    this.#watching = watching;
  }

  /** Creates an agent and deploys it; answers at once with QUEUED. `waitUntil` waits for DEPLOYED. */
  async create(definition: LaunchAgentRequest, options?: PostOptions): Promise<LaunchedAgent> {
    return await this.#http.send({ method: "POST", path: "/api/agents", body: definition, options });
  }

  /** The caller's agents, newest first. Await it for one page, iterate over it for all. */
  list(query: ListAgentsQuery = {}, options?: CallOptions): PageList<AgentList, AgentSummary> {
    return cursorList(
      (page) => this.#get<AgentList>("/api/agents", page, options),
      ({ agents }) => agents,
      { ...query },
    );
  }

  /** The whole definition; secrets by name. */
  async get(agentId: string, options?: CallOptions): Promise<Agent> {
    return await this.#get(pathOf(agentId), {}, options);
  }

  /** Phase, address and health. */
  async getStatus(agentId: string, options?: CallOptions): Promise<AgentStatusReport> {
    return await this.#get(pathOf(agentId, "status"), {}, options);
  }

  /** Changes an agent: a field left out stays, null clears one. A change of what runs makes a revision and rolls it out. */
  async update(agentId: string, changes: UpdateAgentRequest, options?: CallOptions): Promise<UpdatedAgent> {
    return await this.#http.send({ method: "PUT", path: pathOf(agentId), body: changes, options });
  }

  /** Deploys a definition, or deploys again after STOPPED or FAILED. */
  async deploy(agentId: string, options?: PostOptions): Promise<DeployedAgent> {
    return await this.#verb(agentId, "deploy", undefined, options);
  }

  /** Sets the number of replicas, and the scaling policy where one is given. A number alone means replicas. */
  async scale(
    agentId: string,
    scale: number | ScaleAgentRequest,
    options?: PostOptions,
  ): Promise<ScaledAgent> {
    const body = typeof scale === "number" ? { replicas: scale } : scale;
    return await this.#verb(agentId, "scale", body, options);
  }

  /** Replaces every replica, without a gap. */
  async restart(agentId: string, options?: PostOptions): Promise<RestartedAgent> {
    return await this.#verb(agentId, "restart", undefined, options);
  }

  /** Stops every replica; the agent can be started again. */
  async stop(agentId: string, options?: PostOptions): Promise<InitiatedChange> {
    return await this.#verb(agentId, "stop", undefined, options);
  }

  /** Starts a stopped agent. */
  async start(agentId: string, options?: PostOptions): Promise<InitiatedChange> {
    return await this.#verb(agentId, "start", undefined, options);
  }

  /** Ends every replica until a request, a message or {@link wake} wakes the agent. */
  async sleep(agentId: string, options?: PostOptions): Promise<InitiatedChange> {
    return await this.#verb(agentId, "sleep", undefined, options);
  }

  /** Wakes an agent that is asleep. */
  async wake(agentId: string, options?: PostOptions): Promise<InitiatedChange> {
    return await this.#verb(agentId, "wake", undefined, options);
  }

  /** Stops every agent of the caller. */
  async stopAll(options?: PostOptions): Promise<StoppedAgents> {
    return await this.#http.send({ method: "POST", path: "/api/agents/stop-all", options });
  }

  /** Runs an earlier revision again; without a number the one before the present. */
  async rollback(agentId: string, revision?: number | null, options?: PostOptions): Promise<RolledBackAgent> {
    const body = revision === undefined || revision === null ? undefined : { revision };
    return await this.#verb(agentId, "rollback", body, options);
  }

  /** The configurations an agent ran with, newest first. Await it for one page, iterate over it for all. */
  revisions(agentId: string, query: PageQuery = {}, options?: CallOptions): PageList<RevisionList, Revision> {
    const path = pathOf(agentId, "revisions");
    return cursorList(
      (page) => this.#get<RevisionList>(path, page, options),
      ({ revisions }) => revisions,
      { ...query },
    );
  }

  /** Names and versions of an agent's secrets, by name. `update` sets them (`environment`), and removes those set to null. */
  async listSecrets(agentId: string, options?: CallOptions): Promise<Secret[]> {
    pathOf(agentId);
    return await this.#get("/rest/v1/agent_secrets", secretsQuery({ agent_id: `eq.${agentId}` }), options);
  }

  /** Deletes an agent: personal data goes at once, logs and metrics after the retention, events stay. */
  async delete(agentId: string, options?: CallOptions): Promise<DeletedAgent> {
    return await this.#http.send({ method: "DELETE", path: pathOf(agentId), options });
  }

  /** The agent as one document: definition, revisions, conversations; names of secrets and of files. */
  async export(agentId: string, options?: CallOptions): Promise<AgentBundle> {
    return await this.#get(pathOf(agentId, "export"), {}, options);
  }

  /** Creates an agent from an export: a definition, not deployed yet. Secrets and files are to be added. */
  async import(bundle: AgentBundle, options?: PostOptions): Promise<ImportedAgent> {
    return await this.#http.send({ method: "POST", path: "/api/agents/import", body: bundle, options });
  }

  /** The latest figures over all replicas; with `range` or `resolution` also what was. */
  async getMetrics(
    agentId: string,
    query: AgentMetricsQuery = {},
    options?: CallOptions,
  ): Promise<AgentMetrics> {
    return await this.#get(pathOf(agentId, "metrics"), { ...query }, options);
  }

  /** The newest log lines, oldest of them first. */
  async getLogs(agentId: string, query: AgentLogsQuery = {}, options?: CallOptions): Promise<AgentLogs> {
    return await this.#get(pathOf(agentId, "logs"), { ...query }, options);
  }

  /**
   * The newest log lines, then every further one as it comes, across lost connections: `for await (const line of …)`.
   * Leaving the loop, or the signal, ends it.
   */
  tailLogs(agentId: string, options: TailOptions = {}): AsyncGenerator<LogEntry, void, undefined> {
    pathOf(agentId);
    return tailLogs(this, this.#watching, agentId, options);
  }

  /** Waits until the agent is gone. */
  waitUntil(agentId: string, phase: "DELETED", options?: WaitOptions): Promise<null>;
  /**
   * Waits until an agent shows a status, by default DEPLOYED.
   * @returns its status report
   * @throws AgentLaunchpadError DEPLOYMENT_FAILED when it fails meanwhile (its reason is in `details`), AGENT_NOT_FOUND when it
   * is deleted, TIMEOUT
   */
  waitUntil(
    agentId: string,
    phase?: Exclude<KnownAgentStatus, "DELETED"> | readonly Exclude<KnownAgentStatus, "DELETED">[],
    options?: WaitOptions,
  ): Promise<AgentStatusReport>;
  async waitUntil(
    agentId: string,
    phase: KnownAgentStatus | readonly KnownAgentStatus[] = "DEPLOYED",
    options: WaitOptions = {},
  ): Promise<AgentStatusReport | null> {
    return await waitUntil(
      this,
      this.#watching,
      agentId,
      typeof phase === "string" ? [phase] : phase,
      options,
    );
  }

  async #get<T>(path: string, query: Query, options: CallOptions | undefined): Promise<T> {
    return await this.#http.send<T>({ method: "GET", path, query, options });
  }

  async #verb<T>(agentId: string, verb: string, body: unknown, options: PostOptions | undefined): Promise<T> {
    return await this.#http.send<T>({ method: "POST", path: pathOf(agentId, verb), body, options });
  }
}
