// A model of the rollouts that SQL keeps (supabase/schemas/rollouts.sql), for one class of users.
import { createHash } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Platform, Rollout } from "../contract.ts";
import type { Row } from "./memory-database.ts";

/** What a controller's heartbeat says of the pods that it is set to make. */
export interface Announcement {
  content: Omit<Platform, "id">;
  percent: number;
  maxFailures: number;
  soakSeconds: number;
}

const digest = (text: string) => createHash("md5").update(text).digest("hex").slice(0, 16);

/** Rows get their platform here; who is in a wave follows from the rollout's number and the agent's name. */
export class MemoryRollouts {
  readonly #clock: Clock;
  readonly #rows: ReadonlyMap<string, Row>;
  #number = 0;
  #status: "running" | "paused" | "halted" | "undone" | "finished" = "finished";
  #reason: string | undefined;
  #announced: Announcement | undefined;
  #target: Platform | undefined;
  #previous: Platform | undefined;
  #wave = 0;
  #waveAt = 0;
  #accepted = 0;

  constructor(clock: Clock, rows: ReadonlyMap<string, Row>) {
    this.#clock = clock;
    this.#rows = rows;
  }

  get stable(): Platform | undefined {
    return this.#status === "finished" ? this.#target : (this.#previous ?? this.#target);
  }

  /** What the living controllers are set to begins a rollout, once they agree. */
  hear(said: readonly Announcement[]): void {
    const [first] = said;
    if (first === undefined || new Set(said.map((one) => JSON.stringify(one))).size !== 1) return;
    const before = JSON.stringify(this.#announced?.content);
    this.#announced = first;
    if (before !== JSON.stringify(first.content)) this.#begin(first.content);
  }

  #begin(content: Omit<Platform, "id">): void {
    if (this.#status === "finished") this.#previous = this.#target;
    this.#target = { ...content, id: digest(JSON.stringify(content)) } as Platform;
    this.#number += 1;
    this.#status = "running";
    this.#reason = undefined;
    this.#wave = 0;
    this.#waveAt = this.#clock.now();
    this.#accepted = 0;
    if (this.#previous === undefined || this.#previous.id === this.#target.id) this.#finish();
  }

  #finish(): void {
    for (const row of this.#rows.values()) row.platform = this.#target;
    this.#status = "finished";
  }

  advance(id: string, wave: number, decision: string, reason?: string): void {
    if (id !== String(this.#number) || wave !== this.#wave || this.#status !== "running") return;
    if (decision === "finish") this.#finish();
    else if (decision === "admit") {
      const outdated = this.#concerned().filter((row) => row.platform?.id !== this.#target?.id);
      const share = Math.max(
        1,
        Math.ceil((this.#concerned().length * (this.#announced?.percent ?? 10)) / 100),
      );
      const rank = (row: Row) =>
        `${row.platformSeen?.state === "stuck" ? 0 : 1}${row.phase === "DEPLOYED" && row.readyReplicas > 0 ? 0 : 1}${digest(id + row.agentId)}`;
      for (const row of outdated.sort((a, b) => (rank(a) < rank(b) ? -1 : 1)).slice(0, share)) {
        row.platform = this.#target;
        row.rollout = id;
      }
      this.#wave += 1;
      this.#waveAt = this.#clock.now();
    } else {
      this.#status = decision === "halt" ? "halted" : "paused";
      this.#reason = reason;
    }
  }

  /** What operators do. */
  operate(action: "pause" | "resume" | "undo"): void {
    const state = this.state;
    if (state === null) return;
    if (action === "pause") this.#status = "paused";
    else if (action === "undo") {
      for (const row of this.#rows.values()) row.platform = this.#previous;
      this.#status = "undone";
    } else {
      this.#accepted = state.failed;
      this.#status = "running";
      this.#waveAt = this.#clock.now();
    }
  }

  get state(): Rollout | null {
    const target = this.#target;
    if (this.#status === "finished" || target === undefined) return null;
    const now = this.#clock.now();
    const rows = this.#concerned();
    const stands = rows.map((row) => this.#stand(row, target));
    const count = (what: string) => stands.filter((stand) => stand === what).length;
    const readyAt = rows
      .filter(({ platform }) => platform?.id === target.id)
      .map(({ platformAt }) => platformAt);
    const [stuck] = rows.filter((_, index) => stands[index] === "failed");
    return {
      id: String(this.#number),
      state: this.#status,
      reason: this.#reason ?? null,
      image: target.image,
      previousImage: this.#previous?.image ?? null,
      wave: this.#wave,
      waveSeconds: (now - this.#waveAt) / 1000,
      quietSeconds: (now - Math.max(this.#waveAt, ...readyAt)) / 1000,
      soakSeconds: this.#announced?.soakSeconds ?? 30,
      maxFailures: (this.#announced?.maxFailures ?? 0) + this.#accepted,
      percent: this.#announced?.percent ?? 10,
      canaryPauses: false,
      total: rows.length,
      waiting: count("waiting"),
      updating: count("updating"),
      ready: count("ready"),
      idle: count("idle"),
      failed: count("failed"),
      problem: stuck?.platformSeen?.problem ?? null,
      examples: rows.filter((_, index) => stands[index] === "failed").map(({ agentId }) => agentId),
    };
  }

  #concerned(): Row[] {
    return [...this.#rows.values()].filter(
      (row) =>
        row.desired === "running" &&
        (row.rollout === String(this.#number) || row.platform?.id !== this.#target?.id),
    );
  }

  #stand(row: Row, target: Platform): "waiting" | "updating" | "ready" | "idle" | "failed" {
    if (row.platform?.id !== target.id) return "waiting";
    const seen = row.platformSeen?.id === target.id ? row.platformSeen.state : undefined;
    if (row.phase === "FAILED")
      return seen !== undefined && row.platformAt > row.changedAt ? "failed" : "idle";
    return seen === "stuck" ? "failed" : (seen ?? "updating");
  }
}
