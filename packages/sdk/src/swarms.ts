/** `client.swarms`: groups of agents that talk with a person and with each other. Through `/rest/v1`. */
import { invalid } from "./errors.ts";
import type { Http, Query } from "./http.ts";
import type { CallOptions } from "./options.ts";
import { type PageList, type Paging, rowList } from "./page.ts";
import type { ReplyMode, Swarm, SwarmMember } from "./rows.ts";

export interface NewSwarm {
  name: string;
  description?: string | null | undefined;
  /** Who answers a person's message. Default `all`. */
  reply_mode?: ReplyMode | undefined;
  /** How often each agent may speak in what follows from one message, 1 to 20. Default 2. */
  max_turns?: number | undefined;
}

/** What can be changed of a swarm. */
export type SwarmChanges = { [Field in keyof NewSwarm]?: NewSwarm[Field] | undefined };

const PATH = "/rest/v1/swarms";
const MEMBERS = "/rest/v1/swarm_agents";
const DEFAULT_LIMIT = 20;
/** Answers with the row itself, not with an array. */
const ONE = { accept: "application/vnd.pgrst.object+json" };
const WRITTEN = { ...ONE, prefer: "return=representation" };

export class Swarms {
  readonly #http: Http;

  /** @internal */
  constructor(http: Http) {
    this.#http = http;
  }

  /** The caller's swarms, newest first. Await it for one page, iterate over it for all. */
  list({ limit = DEFAULT_LIMIT, offset, ...options }: Paging = {}): PageList<Swarm[], Swarm> {
    return rowList((query) => this.#http.send<Swarm[]>({ method: "GET", path: PATH, query, options }), {
      limit,
      offset,
    });
  }

  async get(swarmId: string, options?: CallOptions): Promise<Swarm> {
    return await this.#http.send({ method: "GET", path: PATH, query: named(swarmId), headers: ONE, options });
  }

  async create(swarm: NewSwarm, options?: CallOptions): Promise<Swarm> {
    return await this.#http.send({ method: "POST", path: PATH, body: swarm, headers: WRITTEN, options });
  }

  /** Changes the fields that are named. */
  async update(swarmId: string, changes: SwarmChanges, options?: CallOptions): Promise<Swarm> {
    const query = named(swarmId);
    return await this.#http.send({
      method: "PATCH",
      path: PATH,
      query,
      body: changes,
      headers: WRITTEN,
      options,
    });
  }

  /** Deletes a swarm and its messages; its agents stay. */
  async delete(swarmId: string, options?: CallOptions): Promise<void> {
    const query = named(swarmId);
    await this.#http.send({ method: "DELETE", path: PATH, query, headers: WRITTEN, options });
  }

  /** The agents of a swarm, in the order in which they speak in rounds. */
  async agents(swarmId: string, options?: CallOptions): Promise<SwarmMember[]> {
    const query = { ...membersOf(swarmId), order: "position" };
    return await this.#http.send({ method: "GET", path: MEMBERS, query, options });
  }

  /**
   * Puts an agent into a swarm.
   * @param position its place in rounds; left out: the last
   */
  async addAgent(
    swarmId: string,
    agentId: string,
    position?: number,
    options?: CallOptions,
  ): Promise<SwarmMember> {
    const body = { swarm_id: idOf("swarmId", swarmId), agent_id: idOf("agentId", agentId), position };
    return await this.#http.send({ method: "POST", path: MEMBERS, body, headers: WRITTEN, options });
  }

  /** Takes an agent out of a swarm. */
  async removeAgent(swarmId: string, agentId: string, options?: CallOptions): Promise<void> {
    const query = { ...membersOf(swarmId), agent_id: `eq.${idOf("agentId", agentId)}` };
    await this.#http.send({ method: "DELETE", path: MEMBERS, query, headers: WRITTEN, options });
  }
}

/** An id that is empty would name nothing, or everything. */
export function idOf(field: string, id: string): string {
  if (typeof id !== "string" || id === "") throw invalid(field, "Must be an id");
  return id;
}

const named = (swarmId: string): Query => ({ id: `eq.${idOf("swarmId", swarmId)}` });
const membersOf = (swarmId: string): Query => ({ swarm_id: `eq.${idOf("swarmId", swarmId)}` });
