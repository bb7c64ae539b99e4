/**
 * Fair shares of what stands behind the gateway: how many requests of one caller are under way at once. Further ones wait
 * for a place of their caller; beyond that they are refused.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type StackKeys, verifyingKeys } from "../../keys.ts";
import { judgeToken } from "../../tokens.ts";
import { bearerOf } from "../well-formed.ts";

export interface Shares {
  /**
   * Waits until `caller` has a place.
   * @returns what gives the place back, to be called once; undefined where too many wait, for too long, or the client left
   */
  enter(caller: string, response: ServerResponse): Promise<(() => void) | undefined>;
}

export interface ShareLimits {
  /** Requests of one caller that run at once. */
  most: number;
  /** Requests of one caller that wait. */
  mostWaiting: number;
  patienceMs: number;
}

interface Share {
  running: number;
  waiting: (() => void)[];
}

export function createShares({ most, mostWaiting, patienceMs }: ShareLimits): Shares {
  const shares = new Map<string, Share>();

  function leave(caller: string, share: Share): void {
    const next = share.waiting.shift();
    if (next) {
      next(); // the place is handed on
      return;
    }
    share.running -= 1;
    if (share.running === 0) shares.delete(caller);
  }

  return {
    async enter(caller, response) {
      if (response.destroyed) return undefined;
      const mine = shares.get(caller) ?? { running: 0, waiting: [] };
      shares.set(caller, mine);
      if (mine.running < most) mine.running += 1;
      else if (mine.waiting.length >= mostWaiting || !(await turn(mine, response, patienceMs)))
        return undefined;
      return () => leave(caller, mine);
    },
  };
}

/** Waits for a place that another request hands on. */
function turn(share: Share, response: ServerResponse, patienceMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const end = (got: boolean) => {
    clearTimeout(timer);
    response.off("close", giveUp);
    resolve(got);
  };
  const take = () => end(true);
  const giveUp = () => {
    share.waiting.splice(share.waiting.indexOf(take), 1);
    end(false);
  };
  const timer = setTimeout(giveUp, patienceMs);
  timer.unref();
  response.once("close", giveUp);
  share.waiting.push(take);
  return promise;
}

/**
 * Whose share a request takes: its user's, where the token is genuine; else what `anonymous` knows it by; else its
 * address's. Undefined for the secret key, whose calls are the platform's own.
 * @param authorization as the upstream gets it
 */
export function callerOf(
  request: Pick<IncomingMessage, "headers" | "socket">,
  authorization: string | undefined,
  keys: Pick<StackKeys, "jwtSecret" | "signingKeys">,
  anonymous?: (request: Pick<IncomingMessage, "headers">) => string | undefined,
): string | undefined {
  const judged = judgeToken(bearerOf(authorization) ?? "", verifyingKeys(keys));
  const { role, sub } = judged?.genuine ? judged.claims : {};
  if (role === "service_role") return undefined;
  if (role === "authenticated" && sub !== undefined) return `user ${sub}`;
  return anonymous?.(request) ?? `address ${request.socket.remoteAddress ?? ""}`;
}
