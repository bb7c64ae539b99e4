/** `client.security`: what happened, and what is wrong. */
import type {
  SecurityEvent,
  SecurityEvents,
  SecurityEventsQuery,
  SecurityScan,
  Severity,
} from "./contract.ts";
import { invalid } from "./errors.ts";
import type { Http } from "./http.ts";
import type { CallOptions, PostOptions } from "./options.ts";
import { cursorList, type PageList } from "./page.ts";
import type { SecuritySubscribeOptions, SecurityUpdate, Unsubscribe, Watching } from "./watching.ts";

/** What the database says about row-level security. */
export interface RlsPolicies {
  tables: Record<string, { rls_enabled: boolean; policies_count: number }>;
  user_isolation: string;
  compliance_status: string;
}

export class Security {
  readonly #http: Http;
  readonly #watching: Watching;

  /** @internal */
  constructor(http: Http, watching: Watching) {
    this.#http = http;
    this.#watching = watching;
  }

  /** The caller's security events, newest first. Await it for one page, iterate over it for all. */
  events(query: SecurityEventsQuery = {}, options?: CallOptions): PageList<SecurityEvents, SecurityEvent> {
    const path = "/api/security/events";
    return cursorList(
      (page) => this.#http.send<SecurityEvents>({ method: "GET", path, query: page, options }),
      ({ events }) => events,
      { ...query },
    );
  }

  /** Scans an agent: posture, known vulnerabilities, the database's controls. */
  async scan(agentId: string, options?: PostOptions): Promise<SecurityScan> {
    if (typeof agentId !== "string" || /^\.{0,2}$/.test(agentId))
      throw invalid("agentId", "Must be the id of an agent");
    const path = `/api/security/scan/${encodeURIComponent(agentId)}`;
    return await this.#http.send({ method: "POST", path, options });
  }

  /** Whether row-level security is on, table by table. */
  async checkRlsPolicies(options?: CallOptions): Promise<RlsPolicies> {
    return await this.#http.send({ method: "GET", path: "/rest/v1/rpc/check_rls_policies", options });
  }

  /**
   * Calls back with every new security event, across lost connections.
   * @returns ends the subscription
   */
  subscribe(callback: (update: SecurityUpdate) => void, options: SecuritySubscribeOptions = {}): Unsubscribe {
    return this.#watching.security(callback, options);
  }
}

export type { SecurityEvent, Severity };
