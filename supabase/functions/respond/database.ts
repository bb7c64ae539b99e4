/** The database as the function sees it: its RPCs, called as service_role. */
import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import { type Piece, piecesSchema } from "../../../packages/agent-runtime/src/abilities/knowledge.ts";
import type { Step } from "../../../packages/agent-runtime/src/abilities/steps.ts";
import type { Settlement } from "../../../packages/agent-runtime/src/meter.ts";
import { type Project, ProjectRefusal, storableJson } from "../../../packages/agent-runtime/src/project.ts";
import type { Settings } from "./settings.ts";
import { type Answer, readTasks, type Task } from "./task.ts";

const TIMEOUT_MS = 15_000;
/** A lease outlasts two lost heartbeats. */
export const LEASE_SECONDS = 15;

export interface Failure {
  readonly code: string;
  readonly message: string;
  /** What the agent said before it failed. */
  readonly content?: string;
  readonly retryable: boolean;
  readonly retryAfterSeconds?: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly settled?: readonly Settlement[];
  /** Steps that were not reported on the way. */
  readonly steps?: readonly Step[];
}

export interface Database {
  claim(most: number): Promise<Task[]>;
  /** Renews the lease, broadcasts text and keeps steps. False: the lease is lost. */
  report(task: Task, text: string, sequence: number, steps: readonly Step[]): Promise<boolean>;
  finish(task: Task, answer: Answer): Promise<void>;
  /** Seconds until the next attempt; undefined when absent. */
  fail(task: Task, failure: Failure): Promise<number | undefined>;
  /** What the meter reserves and settles by. */
  readonly project: Pick<Project, "call">;
  /** Whether this attempt may act: no earlier one has begun to, and its lease is not lost. */
  mayAct(task: Task): Promise<boolean>;
  search(task: Task, query: string, limit: number): Promise<unknown>;
  /**
   * What the agent's knowledge has for the message; the answer's row names it as its sources.
   * @param meaning the question's vector, or why there is none though the knowledge has vectors; left out: it has none
   */
  retrieve(task: Task, meaning?: Meaning): Promise<Piece[]>;
}

export type Meaning = { readonly embedding: readonly number[] } | { readonly unembedded: string };

/** Makes the client; its calls throw when the database cannot be reached or refuses. */
export function createDatabase(settings: Settings, worker: string): Database {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    accept: "application/json",
    apikey: settings.secretKey,
    // The old key is a JWT and travels as one; the gateway makes one of the new keys.
    ...(!settings.secretKey.startsWith("sb_") && { authorization: `Bearer ${settings.secretKey}` }),
  };
  const call = async (name: string, args: object): Promise<unknown> => {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), TIMEOUT_MS);
    try {
      const response = await fetch(`${settings.restUrl}/rpc/${name}`, {
        method: "POST",
        headers,
        body: Buffer.from(storableJson(args)),
        redirect: "manual",
        signal: deadline.signal,
      });
      const text = await response.text();
      if (!response.ok) throw refusal(name, response.status, text);
      return JSON.parse(text);
    } finally {
      clearTimeout(timer);
    }
  };
  const project: Pick<Project, "call"> = {
    async call<T>(name: string, args: Readonly<Record<string, unknown>>): Promise<T> {
      return (await call(name, args)) as T;
    },
  };
  /** For what must not be lost: reports are fenced and may be repeated. */
  const persist = async (name: string, args: object): Promise<Record<string, unknown>> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return (await call(name, args)) as Record<string, unknown>;
      } catch (error) {
        if (attempt === 4) throw error;
        await delay(100 * 3 ** attempt);
      }
    }
  };
  const lease = (task: Task) => ({ job_id: task.jobId, lease_token: task.leaseToken });
  return {
    claim: async (most) =>
      readTasks(await call("claim_replies", { worker, max_count: most, lease_seconds: LEASE_SECONDS })),
    async report(task, text, sequence, steps) {
      const body = await call("report_reply", {
        ...lease(task),
        text,
        sequence,
        ...(steps.length > 0 && { steps }),
        lease_seconds: LEASE_SECONDS,
      });
      return (body as { accepted?: boolean }).accepted === true;
    },
    async finish(task, answer) {
      await persist("finish_reply", { ...lease(task), answer });
    },
    async fail(task, failure) {
      const { retryInSeconds } = await persist("fail_reply", { ...lease(task), failure });
      return typeof retryInSeconds === "number" ? retryInSeconds : undefined;
    },
    project,
    mayAct: async (task) => ((await call("reply_acts", lease(task))) as { may?: boolean }).may === true,
    retrieve: async (task, meaning) =>
      piecesSchema.parse(await call("retrieve_for_reply", { ...lease(task), ...meaning })),
    search: (task, query, limit) => call("search_conversation", { ...lease(task), query, limit }),
  };
}

function refusal(name: string, status: number, text: string): Error {
  try {
    const { code, message, details } = JSON.parse(text) as Record<string, unknown>;
    if (status < 500 && typeof code === "string") {
      const facts = typeof details === "string" ? JSON.parse(details) : undefined;
      return new ProjectRefusal(status, code, `${name} answered ${status}: ${message}`, facts);
    }
  } catch {
    // no error of ours
  }
  return new Error(`${name} answered ${status}: ${text.slice(0, 300)}`);
}
