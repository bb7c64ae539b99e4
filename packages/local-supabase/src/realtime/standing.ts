// Whether the users who are connected may still be: banned and deleted accounts lose their sockets, topics are judged again.
import type pg from "pg";
import { codeOf, reasonOf } from "../errors.ts";
import type { Channel } from "./channel.ts";
import type { Connections } from "./connections.ts";
import type { Owner } from "./owners.ts";
import type { RealtimeSocket } from "./socket.ts";

/** An account as the database sees it now. */
interface Account {
  state: string;
  permissions: string;
}

/** An account as it was seen last. */
interface Known extends Account {
  seenAt: number;
  /** The permissions with which the user's topics were judged last: a look for another join in between changes nothing. */
  judgedWith: string | undefined;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ABSENT: Account = { state: "absent", permissions: "" };
const ACTIVE: Account = { state: "active", permissions: "" };
/** No such schema, no such function: the project does not judge accounts, and every valid token will do, as on hosted. */
const NOT_JUDGED = new Set(["3F000", "42883"]);

/** Why an account may not use Realtime, as a join is answered; undefined for one that may. */
function refusalOf({ state }: Account): string | undefined {
  if (state === "active") return undefined;
  return state === "banned"
    ? "Unauthorized: This account is banned"
    : "InvalidJWTToken: The account of this token does not exist";
}

export interface StandingOptions {
  pool: pg.Pool;
  connections: Connections<RealtimeSocket>;
  sockets: Iterable<RealtimeSocket>;
  /** How often accounts are looked at; a join relies on what was seen no longer ago than that. */
  everyMs: number;
  /** How often private topics are judged again though nothing is known to have changed. */
  rejudgeMs: number;
  now: () => number;
  log: (line: string) => void;
}

/**
 * Watches the accounts behind the sockets. Permissions may be revoked and accounts banned while a token is valid: within
 * `everyMs` that ends what it should, within `rejudgeMs` what any other policy no longer allows.
 */
export class Standing {
  readonly #options: StandingOptions;
  readonly #known = new Map<string, Known>();
  #judgedAt: number;
  #busy = false;

  constructor(options: StandingOptions) {
    this.#options = options;
    this.#judgedAt = options.now();
  }

  /** Why this user may not join; undefined when they may. Throws when the database is not reachable. */
  async refusal(user: string | undefined): Promise<string | undefined> {
    if (user === undefined) return undefined;
    const known = this.#known.get(user);
    if (known && this.#options.now() - known.seenAt < this.#options.everyMs) return refusalOf(known);
    await this.#look([user]);
    const seen = this.#known.get(user);
    // Its first topic is judged after this.
    if (seen !== undefined && known === undefined) seen.judgedWith ??= seen.permissions;
    return refusalOf(seen ?? ABSENT);
  }

  /** To be called at least every `everyMs`. Never throws. */
  async tick(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const users = this.#options.connections.users();
      for (const user of this.#known.keys()) if (!users.includes(user)) this.#known.delete(user);
      await this.#look(users);
      for (const user of users) await this.#apply(user);
      if (this.#options.now() - this.#judgedAt >= this.#options.rejudgeMs) {
        this.#judgedAt = this.#options.now();
        await this.#judge([...this.#options.sockets].flatMap(({ channels }) => [...channels]));
      }
    } catch (error) {
      this.#options.log(`accounts not looked at: ${reasonOf(error)}`);
    } finally {
      this.#busy = false;
    }
  }

  async #look(users: string[]): Promise<void> {
    const asked = users.filter((user) => UUID.test(user));
    if (users.length === 0) return;
    const rows = await this.#standings(asked);
    const found = new Map(rows?.map((row) => [row.id, row]));
    const seenAt = this.#options.now();
    for (const user of users) {
      const { state, permissions } = found.get(user.toLowerCase()) ?? (rows ? ABSENT : ACTIVE);
      const judgedWith = this.#known.get(user)?.judgedWith;
      this.#known.set(user, { state, permissions, seenAt, judgedWith });
    }
  }

  /** Undefined where the project does not judge accounts. */
  async #standings(users: string[]): Promise<(Account & { id: string })[] | undefined> {
    try {
      const { rows } = await this.#options.pool.query<Account & { id: string }>({
        name: "realtime_standings",
        text: "select s.user_id::text as id, s.state, s.permissions::text from private.standings($1::uuid[]) s",
        values: [users],
      });
      return rows;
    } catch (error) {
      if (NOT_JUDGED.has(codeOf(error) ?? "")) return undefined;
      throw error;
    }
  }

  async #apply(user: string): Promise<void> {
    const now = this.#known.get(user);
    if (now === undefined) return;
    const owner: Owner = `user:${user}`;
    const sockets = [...this.#options.connections.of(owner)];
    const refusal = refusalOf(now);
    if (refusal !== undefined) {
      for (const socket of sockets) socket.dismiss(refusal.replace(/^\w+: /, ""));
      return;
    }
    if (now.judgedWith === now.permissions) return;
    now.judgedWith = now.permissions;
    await this.#judge(sockets.flatMap(({ channels }) => [...channels]));
  }

  /** One after another: this is work in the background. */
  async #judge(channels: readonly Channel[]): Promise<void> {
    for (const channel of channels) await channel.judgeAgain();
  }
}
