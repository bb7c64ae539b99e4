/** The client: what the parts share, put together. */
import { Agents } from "./agents.ts";
import { invalid } from "./errors.ts";
import { Http } from "./http.ts";
import { Messages } from "./messages.ts";
import type { ClientOptions, RateLimit } from "./options.ts";
import { Plugins } from "./plugins.ts";
import { RealtimeWatching } from "./realtime/index.ts";
import { Security } from "./security.ts";
import { addressOf, apiKeyOf, projectUrlOf, tokenOf } from "./session.ts";
import { Swarms } from "./swarms.ts";
import { Health, System, Users } from "./system.ts";
import { Budgets, Usage } from "./usage.ts";
import type { AgentUpdate, SubscribeOptions, Unsubscribe } from "./watching.ts";

/**
 * A client of Agent Launchpad for the user of a supabase-js client.
 *
 * ```js
 * const client = new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: 'https://api.example.com' })
 * const { agentId } = await client.agents.create({ agentName: 'my-bot' })
 * await client.agents.waitUntil(agentId)
 * ```
 */
export class AgentLaunchpadClient {
  readonly agents: Agents;
  readonly security: Security;
  readonly health: Health;
  readonly system: System;
  readonly users: Users;
  readonly swarms: Swarms;
  readonly messages: Messages;
  readonly plugins: Plugins;
  readonly usage: Usage;
  readonly budgets: Budgets;
  readonly #http: Http;
  readonly #watching: RealtimeWatching;

  /** @throws AgentLaunchpadError VALIDATION_ERROR where an option cannot be used */
  constructor(options: ClientOptions) {
    const supabase = options?.supabaseClient;
    if (typeof supabase?.channel !== "function") {
      throw invalid("supabaseClient", "Must be a client made by createClient() of @supabase/supabase-js");
    }
    const given = options.supabaseUrl ?? projectUrlOf(supabase);
    const projectUrl = given === undefined ? undefined : addressOf("supabaseUrl", given);
    const apiKey = options.apiKey ?? apiKeyOf(supabase);
    if (apiKey === undefined) throw invalid("apiKey", "Must be the project's publishable key");
    const otherFetch = options.fetch;
    this.#http = new Http({
      apiUrl: apiUrlOf(options.baseUrl, projectUrl),
      projectUrl,
      apiKey,
      token: () => tokenOf(supabase),
      // Looked up at each call: a program may replace the global one, and browsers take it only without a receiver.
      fetch: (input, init) => (otherFetch === undefined ? fetch(input, init) : otherFetch(input, init)),
      timeout: options.timeout ?? 30_000,
      totalTimeout: options.totalTimeout ?? 0,
      onRetry: options.onRetry,
      maxRetries: options.maxRetries ?? 3,
      maxRetryWait: options.maxRetryWait ?? 65_000,
    });
    this.#watching = new RealtimeWatching(supabase, this.#http);
    this.agents = new Agents(this.#http, this.#watching);
    this.security = new Security(this.#http, this.#watching);
    this.health = new Health(this.#http);
    this.system = new System(this.#http);
    this.users = new Users(this.#http);
    this.swarms = new Swarms(this.#http);
    this.messages = new Messages(this.#http, this.#watching);
    this.plugins = new Plugins(this.#http);
    this.usage = new Usage(this.#http);
    this.budgets = new Budgets(this.#http);
  }

  /** What the API said of the caller's limit in its last answer. */
  get rateLimit(): RateLimit | undefined {
    return this.#http.rateLimit;
  }

  /**
   * Calls back with what happens to an agent: its status (the present one first), its events, log lines and figures. Goes on
   * across lost connections without a gap or a repeat, and waits where nobody is signed in yet.
   * @returns ends the subscription
   */
  subscribeToAgent(
    agentId: string,
    callback: (update: AgentUpdate) => void,
    options: SubscribeOptions = {},
  ): Unsubscribe {
    return this.#watching.agent(agentId, callback, options);
  }
}

/** Below which `/api` is. `…/api` itself is understood too. */
function apiUrlOf(baseUrl: string | undefined, projectUrl: string | undefined): string {
  if (baseUrl !== undefined) return addressOf("baseUrl", baseUrl).replace(/\/api$/, "");
  if (projectUrl === undefined) throw invalid("baseUrl", "Must be the URL below which /api is");
  return `${projectUrl}/functions/v1`;
}
