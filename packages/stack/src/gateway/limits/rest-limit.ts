/**
 * The budget of direct queries, 1000 a minute and user. PostgREST's pre-request counts writes in SQL; a GET runs read only
 * there and cannot be counted, so the gateway counts it here and adds it to the same counter some times a second.
 * rate_limits holds the limit; what this file knows of it is as old as the last answer.
 */

/** What SQL last told of a user's counter. */
export interface Counted {
  limit: number;
  used: number;
  /** Unix seconds. */
  reset: number;
}

export interface Verdict extends Counted {
  allowed: boolean;
}

export interface RestLimit {
  /** Counts one read of a user, and says whether it may pass; undefined while the limit is not known. */
  read(userId: string): Verdict | undefined;
  /** Sends what waits; for tests. */
  flush(): Promise<void>;
  close(): void;
}

export interface RestLimitOptions {
  /** Adds reads by user to SQL's counters. */
  count: (reads: Record<string, number>) => Promise<Record<string, Counted>>;
  now?: () => number;
  flushMs?: number;
}

/** Users that are remembered: beyond that, those whose window is over are forgotten. */
const MANY = 10_000;

export function createRestLimit({ count, now = Date.now, flushMs = 100 }: RestLimitOptions): RestLimit {
  const known = new Map<string, Counted>();
  let pending = new Map<string, number>();
  let sent = new Map<string, number>();
  let window: Pick<Counted, "limit" | "reset"> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> | undefined;

  const waiting = (userId: string) => (pending.get(userId) ?? 0) + (sent.get(userId) ?? 0);

  async function send(): Promise<void> {
    sent = pending;
    pending = new Map();
    try {
      const answer = await count(Object.fromEntries(sent));
      for (const [userId, counted] of Object.entries(answer)) {
        known.set(userId, counted);
        window = counted;
      }
    } catch {
      // The database is down, and with it what these reads asked for: they are not counted.
    } finally {
      sent = new Map();
    }
    if (known.size > MANY) {
      for (const [userId, { reset }] of known) if (reset * 1000 <= now()) known.delete(userId);
    }
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    flushing ??= send().finally(() => {
      flushing = undefined;
      if (pending.size > 0) schedule();
    });
    return flushing;
  }

  function schedule(): void {
    timer ??= setTimeout(() => void flush(), flushMs).unref();
  }

  return {
    read(userId) {
      const open = (counted: Counted | undefined) => counted && counted.reset * 1000 > now();
      const mine = known.get(userId);
      // A user not yet heard of in this window has used only what waits here.
      const state = open(mine) ? mine : window && { ...window, used: 0 };
      if (state && state.reset * 1000 > now() && state.used + waiting(userId) >= state.limit) {
        // Asked for again, so that a limit an operator raises counts at once; a refused read is not counted.
        if (!pending.has(userId) && !sent.has(userId)) {
          pending.set(userId, 0);
          schedule();
        }
        return { ...state, used: state.limit, allowed: false };
      }
      pending.set(userId, (pending.get(userId) ?? 0) + 1);
      if (!flushing) schedule();
      if (!state || state.reset * 1000 <= now()) return undefined;
      return { ...state, used: state.used + waiting(userId), allowed: true };
    },
    flush,
    close: () => clearTimeout(timer),
  };
}
