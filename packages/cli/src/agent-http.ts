// Sends messages to a deployed agent at its own address.

import type { IncomingMessage } from "node:http";
import type { LookupFunction } from "node:net";
import { CliError } from "./errors.ts";
import { keyAdvice } from "./explain.ts";

export interface AgentReply {
  reply: string;
  conversationId: string;
  model?: string | null;
  messageId?: string | null;
  /** Why there is no text. */
  silence?: string | null;
}

export interface SaidToAgent {
  text: string;
  conversationId?: string | undefined;
}

/**
 * Speaks to a deployed agent at its own address.
 * @param url the agent's address
 * @param token a key of the agent, or its owner's access token
 * @param said what is said
 * @param options `timeout` in seconds; `agent`, as a command may name it
 * @throws CliError with the agent's own code when it cannot answer; the network's errors
 */
export async function say(
  url: string,
  token: string,
  said: SaidToAgent,
  options: { signal: AbortSignal; timeout: number; agent?: string },
): Promise<AgentReply> {
  const target = new URL("message", url.endsWith("/") ? url : `${url}/`);
  const { request } = target.protocol === "https:" ? await import("node:https") : await import("node:http");
  const body = JSON.stringify(said);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request(target, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    },
    lookup: localNames,
    signal: AbortSignal.any([options.signal, AbortSignal.timeout(options.timeout * 1000)]),
  });
  outgoing.on("response", resolve).on("error", reject).end(body);
  const answer = await promise;
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk as string;
  return replyOf(answer.statusCode ?? 0, text, url, options.agent);
}

/** Failures whose cause stands in the agent's log alone. */
const MORE_IN_LOGS: ReadonlySet<string> = new Set([
  "INTERNAL_ERROR",
  "MODEL_UNAVAILABLE",
  "MODEL_REQUEST_REJECTED",
  "MODEL_BAD_RESPONSE",
]);

/** The reply in an agent's answer. Throws CliError for anything else. Pure. */
export function replyOf(status: number, text: string, url: string, agent = "<agent>"): AgentReply {
  let body: Partial<AgentReply> & {
    error?: { code?: string; message?: string; messageId?: string };
  } = {};
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    // something before the agent answered: told below
  }
  if (status === 200 && typeof body.reply === "string") return body as AgentReply;
  const { code, message, messageId } = body.error ?? {};
  if (!message)
    throw new CliError("unreachable", `${url} does not answer as an agent does (status ${status}).`, {
      code: "NOT_AN_AGENT",
    });
  const said = /[.!?]$/.test(message) ? message : `${message}.`;
  const advice =
    keyAdvice(code, said, agent) ||
    (MORE_IN_LOGS.has(code ?? "") ? ` Run \`launchpad logs ${agent}\` for details.` : "");
  throw new CliError(code === "VALIDATION_ERROR" ? "invalid" : "failed", said + advice, {
    ...(code ? { code } : {}),
    // What `launchpad trace` takes.
    ...(messageId ? { details: { messageId } } : {}),
  });
}

/** *.localhost is this machine (RFC 6761), also where the system's resolver does not know it. */
const localNames: LookupFunction = (hostname, options, callback) => {
  if (hostname !== "localhost" && !hostname.endsWith(".localhost")) {
    void import("node:dns").then(({ lookup }) => lookup(hostname, options, callback));
    return;
  }
  if (options.all) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
};
