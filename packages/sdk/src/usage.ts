/** `client.usage` and `client.budgets`: what the caller's agents use, and what they may cost. */
import type {
  Budget,
  BudgetDeleted,
  BudgetList,
  PageQuery,
  PutBudgetRequest,
  UsageReport,
} from "./contract.ts";
import { invalid } from "./errors.ts";
import type { Http } from "./http.ts";
import type { CallOptions } from "./options.ts";
import { cursorList, type PageList } from "./page.ts";

/** What usage can be grouped by. */
export type UsageGroup = "day" | "agent" | "model" | "source";

export interface UsageOptions {
  /** First day (UTC), such as `2026-01-31`. Left out: 29 days before `to`. */
  from?: string | undefined;
  /** Last day (UTC). Left out: today. */
  to?: string | undefined;
  /** Left out: one group of everything. */
  groupBy?: UsageGroup | readonly UsageGroup[] | undefined;
  /** Groups of one page, 1 to 1000. Default 100. */
  limit?: number | undefined;
  offset?: number | undefined;
  /** `nextCursor` of the page before. */
  after?: string | undefined;
}

export type UsageItem = UsageReport["items"][number];

export class Usage {
  readonly #http: Http;

  /** @internal */
  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Answers, tokens and cost (millionths of a US dollar) by group, and in `total` over all groups. Await it for one page,
   * iterate over it for all groups.
   * @example const { items, total } = await client.usage.get({ groupBy: ['day', 'agent'] })
   */
  get({ groupBy, ...query }: UsageOptions = {}, options?: CallOptions): PageList<UsageReport, UsageItem> {
    const groups = groupBy === undefined ? undefined : [groupBy].flat().join(",");
    return cursorList(
      (page) => this.#http.send<UsageReport>({ method: "GET", path: "/api/usage", query: page, options }),
      ({ items }) => items,
      { ...query, groupBy: groups },
    );
  }
}

export class Budgets {
  readonly #http: Http;

  /** @internal */
  constructor(http: Http) {
    this.#http = http;
  }

  /** The caller's budgets, each with what is spent and reserved. Await it for one page, iterate over it for all. */
  list(query: PageQuery = {}, options?: CallOptions): PageList<BudgetList, Budget> {
    return cursorList(
      (page) => this.#http.send<BudgetList>({ method: "GET", path: "/api/budgets", query: page, options }),
      ({ budgets }) => budgets,
      { ...query },
    );
  }

  /**
   * Sets a budget. There is one for each scope, agent and period: the same again changes it, and answers that wait for it
   * go on at once where it now leaves room.
   * @throws AgentLaunchpadError VALIDATION_ERROR, AGENT_NOT_FOUND, MODEL_PRICE_MISSING
   * @example await client.budgets.set({ scope: 'user', period: 'month', limitMicros: 25_000_000, action: 'pause' })
   */
  async set(budget: PutBudgetRequest, options?: CallOptions): Promise<Budget> {
    return await this.#http.send({ method: "PUT", path: "/api/budgets", body: budget, options });
  }

  /** Deletes a budget: what it held back goes on. */
  async delete(budgetId: string, options?: CallOptions): Promise<BudgetDeleted> {
    if (typeof budgetId !== "string" || /^\.{0,2}$/.test(budgetId))
      throw invalid("budgetId", "Must be the id of a budget");
    return await this.#http.send({
      method: "DELETE",
      path: `/api/budgets/${encodeURIComponent(budgetId)}`,
      options,
    });
  }
}
