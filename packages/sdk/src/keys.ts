/** `client.agents.keys`: what lets a program or a web page call one agent at its address. */
import { pathOf } from "./agent-path.ts";
import type {
  AgentKey,
  AgentKeyList,
  CreateAgentKeyRequest,
  CreatedAgentKey,
  PageQuery,
} from "./contract.ts";
import { invalid } from "./errors.ts";
import type { Http } from "./http.ts";
import type { CallOptions } from "./options.ts";
import { cursorList, type PageList } from "./page.ts";

export class AgentKeys {
  readonly #http: Http;

  /** @internal */
  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Creates a key. It is in this answer and nowhere else, so the call is not repeated after a lost connection: list the keys,
   * and revoke the one nobody holds.
   * @param key its name; its scopes (`invoke` when left out), origins (web pages that may use it) and end
   * @throws AgentLaunchpadError VALIDATION_ERROR, AGENT_NOT_FOUND, RESOURCE_LIMIT_EXCEEDED (an agent has at most 20)
   * @example const { key } = await client.agents.keys.create(agentId, { name: 'website', origins: ['https://app.example.com'] })
   */
  async create(agentId: string, key: CreateAgentKeyRequest, options?: CallOptions): Promise<CreatedAgentKey> {
    const path = pathOf(agentId, "keys");
    return await this.#http.send({ method: "POST", path, body: key, options, repeatable: false });
  }

  /** An agent's keys, newest first, without the keys themselves. Await it for one page, iterate over it for all. */
  list(agentId: string, query: PageQuery = {}, options?: CallOptions): PageList<AgentKeyList, AgentKey> {
    const path = pathOf(agentId, "keys");
    return cursorList(
      (page) => this.#http.send<AgentKeyList>({ method: "GET", path, query: page, options }),
      ({ keys }) => keys,
      { ...query },
    );
  }

  /** Revokes a key: every replica refuses it within 5 seconds. Revoking it again changes nothing. */
  async revoke(agentId: string, keyId: string, options?: CallOptions): Promise<void> {
    if (typeof keyId !== "string" || /^\.{0,2}$/.test(keyId))
      throw invalid("keyId", "Must be the id of a key");
    const path = `${pathOf(agentId, "keys")}/${encodeURIComponent(keyId)}`;
    await this.#http.send({ method: "DELETE", path, options });
  }
}
