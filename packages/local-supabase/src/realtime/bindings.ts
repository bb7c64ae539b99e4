// The postgres_changes subscriptions of one channel.

import { reasonOf } from "../errors.ts";
import type { Identity } from "./claims.ts";
import { atTurn, type RealtimeContext } from "./context.ts";
import { isAway } from "./database.ts";
import { type ChangeParams, parseChangeParams } from "./filters.ts";
import type { Owner } from "./owners.ts";
import type { Listening } from "./quota.ts";
import { type ChangeTarget, type Entry, isIndexed } from "./registry.ts";
import {
  compileSubscription,
  SubscriptionError,
  type SubscriptionRow,
  subscriptionRows,
  TableCache,
  type TablePart,
} from "./subscriptions.ts";

/** Hosted tries again after 5 to 10 s when the database was down. */
const RETRY_MS = 2000;

interface Compiled {
  id: number;
  params: ChangeParams;
  parts: TablePart[];
}

/** The postgres_changes of one channel: from what the client asked to entries that changes find. */
export class ChangeBindings {
  readonly #context: RealtimeContext;
  readonly #target: ChangeTarget;
  readonly #asked: Record<string, unknown>[];
  #compiled: Compiled[] = [];
  #entries: Entry[] = [];
  #rows: SubscriptionRow[] = [];
  /** What is counted in the quota, and to whom. */
  #counted: { owner: Owner; listening: Listening } | undefined;
  #retry: NodeJS.Timeout | undefined;
  #dropped = false;

  constructor(context: RealtimeContext, target: ChangeTarget, asked: Record<string, unknown>[]) {
    this.#context = context;
    this.#target = target;
    this.#asked = asked;
  }

  /** Checks everything asked for and notes it in realtime.subscription; returns what is wrong with it. */
  async prepare(identity: Identity, owner: Owner): Promise<string | undefined> {
    if (this.#asked.length === 0) return undefined;
    const compiled: Compiled[] = [];
    const tables = new TableCache(this.#context.database.admin, identity.role);
    const ids = bindingIds(this.#asked).map(({ id }) => id);
    try {
      for (const [i, asked] of this.#asked.entries()) {
        const params = parseChangeParams(asked);
        if ("error" in params) return params.error;
        const parts = await atTurn(this.#context, owner, () =>
          compileSubscription(tables, identity, params, this.#context.limits),
        );
        compiled.push({ id: ids[i] as number, params, parts });
      }
    } catch (error) {
      if (error instanceof SubscriptionError) return error.message;
      this.#context.log(`UnableToSubscribeToPostgres: ${reasonOf(error)}`);
      if (isAway(error)) this.#later(identity, owner);
      return "Realtime was unable to connect to the project database";
    }
    if (this.#dropped) return undefined;
    const problem = this.#count(compiled, owner);
    if (problem) return problem;
    if (compiled.some((each) => each.parts.some(({ rls }) => needsPast(rls, each.params, identity))))
      await this.#context.past.open().catch((error: unknown) => this.#context.log(reasonOf(error)));
    const before = this.#rows;
    this.#compiled = compiled;
    this.#rows = compiled.flatMap(({ params, parts }) => subscriptionRows(identity, params, parts));
    this.#context.subscriptions.remove(before.map(({ subscription_id }) => subscription_id));
    await this.#context.subscriptions.add(this.#rows);
    if (this.#dropped) this.drop();
    return undefined;
  }

  /** From now on changes are delivered, seen with these claims. */
  start(identity: Identity, owner: Owner): void {
    const before = this.#entries;
    this.#entries = this.#compiled.flatMap(({ id, params, parts }) =>
      parts.map(({ table, rls, filters }) => {
        const { action, select } = params;
        const past = needsPast(rls, params, identity);
        return { table, action, filters, select, identity, owner, needsPast: past, target: this.#target, id };
      }),
    );
    // First in, then out: a change on its way holds the groups that listen, and must find somebody in them.
    for (const entry of this.#entries) this.#context.registry.add(entry);
    for (const entry of before) this.#context.registry.remove(entry);
  }

  /** The same with a new token; what it may not see counts at once. */
  async renew(identity: Identity, owner: Owner): Promise<string | undefined> {
    this.start(identity, owner);
    const problem = await this.prepare(identity, owner);
    if (!this.#dropped) this.start(identity, owner);
    return problem;
  }

  drop(): void {
    this.#dropped = true;
    clearTimeout(this.#retry);
    for (const entry of this.#entries) this.#context.registry.remove(entry);
    this.#entries = [];
    if (this.#rows.length > 0) {
      this.#context.subscriptions.remove(this.#rows.map(({ subscription_id }) => subscription_id));
    }
    this.#rows = [];
    this.#release();
  }

  #count(compiled: Compiled[], owner: Owner): string | undefined {
    const parts = compiled.flatMap(({ parts }) => parts);
    const scanned = parts.filter(({ filters }) => filters.length > 0 && !isIndexed(filters)).length;
    const listening = { all: parts.length, scanned };
    this.#release();
    const problem = this.#context.quota.take(owner, listening);
    if (problem === undefined) this.#counted = { owner, listening };
    return problem;
  }

  #release(): void {
    if (this.#counted) this.#context.quota.release(this.#counted.owner, this.#counted.listening);
    this.#counted = undefined;
  }

  #later(identity: Identity, owner: Owner): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      void this.prepare(identity, owner).then((problem) => {
        if (this.#dropped || problem !== undefined) return;
        this.start(identity, owner);
        this.#target.flows();
      });
    }, RETRY_MS);
    this.#retry.unref();
  }
}

/** Whether deletions must be looked up in a snapshot: who may see a row is asked while it is there. */
const needsPast = (rls: boolean, { action }: ChangeParams, { role }: Identity): boolean =>
  rls && action !== "INSERT" && action !== "UPDATE" && role !== "service_role";

/** Each entry as the client sent it with the id that its changes will carry: equal entries have equal ids, as on hosted. */
export function bindingIds(
  asked: readonly Record<string, unknown>[],
): (Record<string, unknown> & { id: number })[] {
  const taken = new Map<number, string>();
  return asked.map((params) => {
    const text = JSON.stringify(Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1)));
    let id = hash(text);
    while (taken.has(id) && taken.get(id) !== text) id += 1;
    taken.set(id, text);
    return { ...params, id };
  });
}

/** FNV-1a to 27 bits, never 0: the range of Erlang's phash2, which hosted uses. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return (value % ((1 << 27) - 1)) + 1;
}
