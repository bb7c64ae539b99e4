// A stand-in for Telegram's Bot API (https://core.telegram.org/bots/api), written from its documentation: one bot, long polling,
// and the failures that a bot meets.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text as bodyOf } from "node:stream/consumers";

export const TELEGRAM_TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

/** A message that the bot sent. */
export interface SentMessage {
  readonly chatId: number;
  readonly text: string;
  readonly at: number;
}

/** How one call is refused. */
export interface Refusal {
  readonly status: number;
  readonly description: string;
  /** Seconds, as a 429 says them. */
  readonly retryAfter?: number;
}

export interface Person {
  readonly id: number;
  readonly first_name: string;
  readonly username?: string;
}

export interface TelegramDouble extends AsyncDisposable {
  /** For TELEGRAM_API_ROOT. */
  readonly url: string;
  readonly sent: SentMessage[];
  /** Names of the methods that were called, in order. */
  readonly calls: string[];
  /** Somebody writes to the bot in a private chat. */
  write(text: string, from?: Person): void;
  /** The next call of a method is refused so. */
  refuseNext(method: string, refusal: Refusal): void;
  /** The token is refused from now on (`false`), or works again. */
  accept(works: boolean): void;
  /** Another program asks for updates with the same token. */
  pollElsewhere(): void;
  /** Whether a long poll is open. */
  isPolled(): boolean;
  /** Cuts all connections, and refuses new ones until {@link TelegramDouble.up}. */
  down(): Promise<void>;
  up(): Promise<void>;
}

const GRACE: Person = { id: 4242, first_name: "Grace", username: "grace" };
const CONFLICT =
  "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";

interface Update {
  readonly update_id: number;
  readonly message: Record<string, unknown>;
}

/** Starts it on a loopback port. */
export async function startTelegram(token = TELEGRAM_TOKEN): Promise<TelegramDouble> {
  const sent: SentMessage[] = [];
  const calls: string[] = [];
  const refusals: (Refusal & { readonly method: string })[] = [];
  let updates: Update[] = [];
  let next = 1;
  let works = true;
  let poll: { readonly response: ServerResponse; readonly timer: NodeJS.Timeout } | undefined;

  const send = (response: ServerResponse, status: number, body: unknown) =>
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  const ok = (response: ServerResponse, result: unknown) => send(response, 200, { ok: true, result });
  const refuse = (response: ServerResponse, { status, description, retryAfter }: Refusal) =>
    send(response, status, {
      ok: false,
      error_code: status,
      description,
      ...(retryAfter !== undefined && { parameters: { retry_after: retryAfter } }),
    });
  const UNAUTHORIZED: Refusal = { status: 401, description: "Unauthorized" };

  /** Answers the open poll, if there is one. */
  function endPoll(answer: (response: ServerResponse) => void): void {
    if (poll === undefined) return;
    const { response, timer } = poll;
    poll = undefined;
    clearTimeout(timer);
    answer(response);
  }
  const flush = () => {
    if (updates.length > 0) endPoll((response) => ok(response, updates));
  };

  function getUpdates(args: Record<string, unknown>, response: ServerResponse): void {
    endPoll((older) => refuse(older, { status: 409, description: CONFLICT }));
    const offset = Number(args.offset ?? 0);
    if (offset > 0) updates = updates.filter(({ update_id }) => update_id >= offset);
    const seconds = Number(args.timeout ?? 0);
    if (updates.length > 0 || seconds === 0) return void ok(response, updates);
    const timer = setTimeout(() => endPoll((open) => ok(open, [])), seconds * 1000).unref();
    poll = { response, timer };
    response.on("close", () => {
      if (poll?.response !== response) return;
      clearTimeout(timer);
      poll = undefined;
    });
  }

  const me = { id: Number(token.split(":")[0]), is_bot: true, first_name: "Ada", username: "ada_bot" };
  const methods: Record<string, (args: Record<string, unknown>, response: ServerResponse) => void> = {
    getme: (_, response) => ok(response, { ...me, can_join_groups: true, supports_inline_queries: false }),
    deletewebhook({ drop_pending_updates: drop }, response) {
      if (String(drop) === "true") updates = [];
      ok(response, true);
    },
    getupdates: getUpdates,
    sendchataction: (_, response) => ok(response, true),
    sendmessage(args, response) {
      const text = String(args.text ?? "");
      if (text.trim() === "") {
        return void refuse(response, { status: 400, description: "Bad Request: message text is empty" });
      }
      if ([...text].length > 4096) {
        return void refuse(response, { status: 400, description: "Bad Request: message is too long" });
      }
      const chatId = Number(args.chat_id);
      sent.push({ chatId, text, at: Date.now() });
      const chat = { id: chatId, type: "private" };
      const date = Math.floor(Date.now() / 1000);
      ok(response, { message_id: 1000 + sent.length, from: me, chat, date, text });
    },
  };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://telegram");
    const [, given, method = ""] = /^\/bot([^/]+)\/(\w+)$/.exec(pathname) ?? [];
    const body = await bodyOf(request);
    const args = { ...Object.fromEntries(searchParams), ...(body === "" ? {} : JSON.parse(body)) };
    calls.push(method);
    // What cannot be a token is no address of the API.
    if (given === undefined || !/^\d+:/.test(given)) {
      return void refuse(response, { status: 404, description: "Not Found" });
    }
    if (!works || given !== token) return void refuse(response, UNAUTHORIZED);
    const at = refusals.findIndex((refusal) => refusal.method === method.toLowerCase());
    const [refusal] = at < 0 ? [] : refusals.splice(at, 1);
    if (refusal !== undefined) return void refuse(response, refusal);
    const run = methods[method.toLowerCase()];
    if (run === undefined) return void refuse(response, { status: 404, description: "Not Found" });
    run(args, response);
  }

  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  const listen = async (port: number) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);
  const down = async () => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    sent,
    calls,
    write(text, from = GRACE) {
      const id = next++;
      const chat = { ...from, type: "private" };
      const person = { ...from, is_bot: false };
      updates.push({
        update_id: id,
        message: { message_id: id, from: person, chat, date: Math.floor(Date.now() / 1000), text },
      });
      flush();
    },
    refuseNext: (method, refusal) => void refusals.push({ ...refusal, method: method.toLowerCase() }),
    accept(now) {
      works = now;
      if (!works) endPoll((response) => refuse(response, UNAUTHORIZED));
    },
    pollElsewhere: () => endPoll((response) => refuse(response, { status: 409, description: CONFLICT })),
    isPolled: () => poll !== undefined,
    down,
    up: async () => void (await listen(port)),
    [Symbol.asyncDispose]: down,
  };
}
