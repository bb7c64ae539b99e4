// The connection of plugin-telegram: what its library, telegraf, is answered. telegraf has no events, and the plugin neither waits for
// its polling nor notices its end, so two of its methods are wrapped for the life of the process.
import { createRequire, findPackageJSON } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectionReport, Watcher } from "./watcher.ts";

/** How often, and after which wait at most, a call that Telegram's rate limit refused is made again. */
const REPEATS = 3;
const MOST_SECONDS = 60;
/** A poll lasts up to 50 s; one that is open for so long after a failure has reached Telegram. */
const OPEN_MS = 3_000;

interface Telegram {
  callApi(method: string, ...rest: unknown[]): Promise<unknown>;
}

interface Bot {
  readonly telegram: Telegram;
  readonly botInfo?: { readonly username: string };
  catch(handler: (error: unknown) => void): unknown;
  launch(...args: unknown[]): Promise<void>;
}

interface Telegraf {
  readonly Telegraf: { readonly prototype: Bot };
  readonly Telegram: { readonly prototype: Telegram };
}

interface Polling {
  readonly report: ConnectionReport;
  readonly bot: Bot;
  /** Whether the last poll failed. */
  failed: boolean;
}

interface Refusal extends Error {
  readonly code?: number;
  readonly parameters?: { readonly retry_after?: number };
}

/** Undefined where the plugin does not use telegraf. */
export function watchTelegram(plugin: string, from: string): Watcher | undefined {
  const telegraf = libraryOf(plugin, from);
  if (telegraf === undefined) return undefined;
  let current: ConnectionReport | undefined;
  wrap(telegraf, () => current);
  return {
    begin(report) {
      current = report;
    },
    attach(service, report) {
      if ((service as { bot?: unknown }).bot === null) report.unset();
    },
  };
}

function libraryOf(plugin: string, from: string): Telegraf | undefined {
  try {
    const manifest = findPackageJSON(plugin, from);
    return manifest === undefined ? undefined : createRequire(manifest)("telegraf");
  } catch {
    return undefined;
  }
}

function wrap({ Telegraf, Telegram }: Telegraf, current: () => ConnectionReport | undefined): void {
  /** Whose polling it is, by the client that polls. */
  const polling = new WeakMap<Telegram, Polling>();
  const { launch } = Telegraf.prototype;
  const { callApi } = Telegram.prototype;

  Telegraf.prototype.launch = async function (this: Bot, ...args) {
    const report = current();
    if (report === undefined) return launch.apply(this, args);
    polling.set(this.telegram, { report, bot: this, failed: false });
    report.connecting();
    // telegraf's own handler ends the polling of all messages for a failure with one.
    this.catch((error) => report.stray(error));
    try {
      await launch.apply(this, args);
      report.lost(new Error("The polling of messages ended"));
    } catch (error) {
      report.lost(error as Error); // what telegraf does not repeat ends the launch
    }
  };

  Telegram.prototype.callApi = async function (this: Telegram, method, ...rest) {
    const call = () => callApi.call(this, method, ...rest);
    if (method !== "getUpdates") return repeated(call);
    const polled = polling.get(this);
    if (polled === undefined) return call();
    const { report, bot } = polled;
    const connected = () => report.connected(bot.botInfo && `@${bot.botInfo.username}`);
    if (!polled.failed) connected();
    const timer = setTimeout(connected, OPEN_MS).unref();
    try {
      const updates = await call();
      polled.failed = false;
      connected();
      return updates;
    } catch (error) {
      polled.failed = true;
      if (isRepeated(error as Refusal)) report.connecting((error as Error).message);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  };
}

/** Whether telegraf polls again after it. */
const isRepeated = ({ name, code }: Refusal) =>
  name === "FetchError" || (typeof code === "number" && (code === 429 || code >= 500));

/** The plugin drops an answer that is refused by a rate limit; Telegram says when it may come again. */
async function repeated<T>(call: () => Promise<T>): Promise<T> {
  for (let turn = 0; ; turn++) {
    try {
      return await call();
    } catch (error) {
      const { code, parameters } = error as Refusal;
      const seconds = parameters?.retry_after ?? 1;
      if (code !== 429 || turn === REPEATS || seconds > MOST_SECONDS) throw error;
      await sleep(seconds * 1000);
    }
  }
}
