/** The status an agent shows: one row that changes. */
import type { Query } from "../http.ts";
import type { Cursor, Verdict } from "./cursors.ts";

export interface StatusRow {
  id: string;
  status: string;
  updated_at: string;
}

export class StatusRows implements Cursor<StatusRow> {
  readonly table = "agents";
  readonly #agentId: string;
  #shown: string | undefined;
  #at = Number.NEGATIVE_INFINITY;

  constructor(agentId: string) {
    this.#agentId = agentId;
  }

  beginning(): Query {
    return this.next();
  }

  /** The present status is news too. */
  begin(): void {}

  next(): Query {
    return { id: `eq.${this.#agentId}`, select: "id,status,updated_at" };
  }

  judge({ status, updated_at }: StatusRow): Verdict {
    const at = Date.parse(updated_at);
    if (at < this.#at || status === this.#shown) return "known";
    this.#at = at;
    this.#shown = status;
    return "new";
  }
}
