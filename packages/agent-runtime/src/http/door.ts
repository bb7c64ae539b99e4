// The door: who calls this agent, by a key of the agent, its owner's token, the platform's signature or, where the agent is
// public, nothing. The project judges (judge_caller); without its answer every caller is refused.
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { credentialOf } from "../credential.ts";
import { AgentError } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Project, ProjectRefusal } from "../project.ts";
import { callerAddress } from "./caller-address.ts";
import { type Judgement, Judgements, Overrun } from "./judgements.ts";

/** What a caller wants to do. */
export type Need = "invoke" | "read";

/** Somebody who came in. */
export interface Visitor {
  /** `user:<id>`, `key:<id>`, `public` or `platform`. */
  readonly caller: string;
  /** The web page that may read the answer. */
  readonly origin: string | undefined;
  /**
   * Judges again, every other second, until the signal's work is over, which a revoked key cuts short.
   * @returns stops the watch
   */
  watch(onRefusal: (refusal: AgentError) => void): () => void;
}

export interface Door {
  /** @throws AgentError INVALID_API_KEY, INSUFFICIENT_PERMISSIONS, AGENT_NOT_FOUND, RATE_LIMIT_EXCEEDED, SUPABASE_CONNECTION_ERROR */
  admit(request: IncomingMessage, need: Need): Promise<Visitor>;
  /** Whether a web page of this origin may ask at all. @throws as admit */
  welcomes(origin: string): Promise<boolean>;
}

export interface DoorOptions {
  readonly agentId: string;
  readonly project: Project | undefined;
  readonly messageKey: string | undefined;
  /** Proxies of the operator's in front of this process. */
  readonly proxyHops: number;
  readonly log: Log;
}

/** Of a judgement that is watched; with the time of one question it stays below five seconds. */
const WATCH_MS = 2_000;
const KEY = /^lp_[A-Za-z0-9_-]{20,200}$/;
const TOKEN = /^[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{1,12000}\.[A-Za-z0-9_-]{1,2000}$/;

const anyone = { origin: undefined, watch: () => () => undefined };
/** The platform itself, by its signature. */
export const PLATFORM: Visitor = { ...anyone, caller: "platform" };

export function createDoor({ agentId, project, messageKey, proxyHops, log }: DoorOptions): Door {
  const judgements = new Judgements();
  // Apart: whoever makes up origins pushes no caller out.
  const origins = new Judgements();
  const turnedAway = new Map<string, number>();
  const credential = credentialOf(messageKey);

  function questionOf(request: IncomingMessage, need: Need) {
    const token = bearerOf(request.headers.authorization);
    const origin = request.headers.origin;
    const args = { agent_id: agentId, need, ...(origin !== undefined && { origin: origin.slice(0, 400) }) };
    const isKey = token !== undefined && KEY.test(token);
    if (token !== undefined && !isKey && !TOKEN.test(token)) throw unknownCaller();
    // Tokens are not kept: a digest identifies them.
    const id = createHash("sha256")
      .update(JSON.stringify([token ?? "", need, origin ?? ""]))
      .digest("base64");
    const ask = () => judge(isKey ? { ...args, key: token } : args, isKey ? undefined : token);
    return { id, ask };
  }

  async function judge(args: Record<string, unknown>, bearer: string | undefined): Promise<Judgement> {
    try {
      return await ofProject().call<{ caller: string }>("judge_caller", args, { bearer });
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal !== undefined) return { refusal };
      throw error;
    }
  }

  function ofProject(): Project {
    if (project === undefined) throw new Error("AGENT_PROJECT_URL and AGENT_PROJECT_KEY are not set");
    return project;
  }

  /** What the project cannot say is said here, once and for all. */
  async function decided(judgement: Promise<Judgement>): Promise<string> {
    const answer = await judgement.catch((cause: unknown) => {
      if (cause instanceof Overrun) {
        throw new AgentError("AGENT_BUSY", "Too many callers are being checked; try again.", {
          retryAfterSeconds: 1,
        });
      }
      log.warn("The project cannot say who calls", { cause: String(cause) });
      throw new AgentError("SUPABASE_CONNECTION_ERROR", "The project cannot be reached to check who calls.", {
        retryAfterSeconds: 2,
        cause,
      });
    });
    if ("refusal" in answer) throw answer.refusal;
    return answer.caller;
  }

  /** One message of a stranger, counted for all replicas together; who is over the limit is not asked for again. */
  async function countStranger(address: string): Promise<void> {
    const until = turnedAway.get(address);
    if (until !== undefined && until > performance.now()) throw tooMany(until);
    turnedAway.delete(address);
    const args = { agent_id: agentId, address, credential: credential?.() };
    const call = ofProject().call<{ allowed: boolean; retryAfter: number }>("count_public_message", args);
    const { allowed, retryAfter } = await call.catch((cause: unknown) => {
      log.warn("The project cannot count a caller", { cause: String(cause) });
      throw new AgentError(
        "SUPABASE_CONNECTION_ERROR",
        "The project cannot be reached to count this message.",
        {
          retryAfterSeconds: 2,
          cause,
        },
      );
    });
    if (allowed) return;
    const opens = performance.now() + Math.max(1, retryAfter) * 1000;
    if (turnedAway.size >= 10_000) turnedAway.clear();
    turnedAway.set(address, opens);
    throw tooMany(opens);
  }

  return {
    async admit(request, need) {
      const { id, ask } = questionOf(request, need);
      const caller = await decided(judgements.judge(id, ask));
      if (caller === "public" && need === "invoke") {
        const forwarded = request.headers["x-forwarded-for"];
        const listed = Array.isArray(forwarded) ? forwarded.join(",") : forwarded;
        await countStranger(callerAddress(listed, request.socket.remoteAddress, proxyHops));
      }
      return {
        caller,
        origin: request.headers.origin,
        watch(onRefusal) {
          const timer = setInterval(() => {
            decided(judgements.again(id, ask)).catch((error: unknown) => {
              clearInterval(timer);
              onRefusal(error as AgentError);
            });
          }, WATCH_MS);
          timer.unref();
          return () => clearInterval(timer);
        },
      };
    },
    async welcomes(origin) {
      const args = { agent_id: agentId, need: "preflight", origin: origin.slice(0, 400) };
      const ask = async (): Promise<Judgement> => {
        const { allowed } = await ofProject().call<{ allowed: boolean }>("judge_caller", args);
        return { caller: String(allowed) };
      };
      return (await decided(origins.judge(args.origin, ask))) === "true";
    },
  };
}

/** @throws AgentError INVALID_API_KEY where the header has another form */
function bearerOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const token = /^Bearer +(\S+) *$/i.exec(header)?.[1];
  if (token === undefined) throw unknownCaller();
  return token;
}

function unknownCaller(): AgentError {
  return new AgentError(
    "INVALID_API_KEY",
    "Send a key of this agent, or its owner's token, as Authorization: Bearer <token>.",
  );
}

function tooMany(until: number): AgentError {
  const seconds = Math.max(1, Math.ceil((until - performance.now()) / 1000));
  return new AgentError(
    "RATE_LIMIT_EXCEEDED",
    "Too many messages from this address to a public agent; try again later.",
    {
      retryAfterSeconds: seconds,
    },
  );
}

/** What the project's refusal means for the caller; undefined where it is not about the caller. */
function refusalOf(error: unknown): AgentError | undefined {
  if (!(error instanceof ProjectRefusal)) return undefined;
  const { status, code, message } = error;
  if (code === "AGENT_NOT_FOUND") return new AgentError("AGENT_NOT_FOUND", message);
  if (code === "INSUFFICIENT_PERMISSIONS" || code === "PERMISSION_DENIED") {
    return new AgentError("INSUFFICIENT_PERMISSIONS", message);
  }
  if (code === "INVALID_API_KEY") return new AgentError("INVALID_API_KEY", message);
  // A token that the project rejects, or that belongs to no user.
  return status === 401 || code === "42501" ? unknownCaller() : undefined;
}
