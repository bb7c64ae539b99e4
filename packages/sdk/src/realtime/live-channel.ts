/** One Realtime channel that stays joined: across lost connections, sign-in, sign-out and a server that closes it. */
import { AgentLaunchpadError } from "../errors.ts";
import { fixedTokenOf, hasTokenSource, notSignedIn, tokenOf } from "../session.ts";
import type { ChannelLike, SessionLike, SupabaseClientLike } from "../supabase.ts";

export interface LiveChannelOptions {
  supabase: SupabaseClientLike;
  /** The channel's name; asked again for each channel. */
  name(): string;
  /** Whether its topic is guarded by the policies on realtime.messages. */
  private: boolean;
  /** Registers what to listen to, before each join. */
  bind(channel: ChannelLike): void;
  /**
   * Everything is delivered from now on, or soon; what came before must be read. May be called again at any time.
   * `sure`: the server has said that changes of tables flow.
   */
  onFlowing(sure: boolean): void;
  /** Nothing is delivered until the next `onFlowing`. */
  onInterrupted(error: AgentLaunchpadError): void;
}

interface SystemMessage {
  extension: string;
  status: string;
  message: string;
}

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;

export class LiveChannel {
  readonly #options: LiveChannelOptions;
  #channel: ChannelLike | undefined;
  #joining = false;
  #stopped = false;
  #failures = 0;
  #user: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ignoreAuth: () => void = () => {};

  constructor(options: LiveChannelOptions) {
    this.#options = options;
  }

  start(): void {
    const { supabase } = this.#options;
    if (fixedTokenOf(supabase) !== undefined) {
      // supabase-js gives Realtime the session's token or the key, never this one.
      this.#options.onInterrupted(unfitForRealtime());
      return;
    }
    if (!hasTokenSource(supabase)) {
      // supabase-js holds its lock while it calls back: what we do must come after.
      const { data } = supabase.auth.onAuthStateChange((event, session) => {
        setTimeout(() => this.#authChanged(event, session), 0);
      });
      this.#ignoreAuth = () => data.subscription.unsubscribe();
    }
    void this.#join();
  }

  stop(): void {
    this.#stopped = true;
    this.#ignoreAuth();
    clearTimeout(this.#timer);
    this.#leave();
  }

  #authChanged(event: string, session: SessionLike | null): void {
    if (this.#stopped) return;
    const user = session?.user?.id;
    if (session === null) {
      // At the start nobody may be signed in; `join` tells that.
      if (event !== "INITIAL_SESSION" && this.#channel !== undefined) this.#interrupt(notSignedIn());
      return;
    }
    if (this.#channel !== undefined && user !== this.#user) this.#leave();
    this.#user = user;
    if (this.#channel === undefined) void this.#join();
  }

  async #join(): Promise<void> {
    if (this.#stopped || this.#joining || this.#channel !== undefined) return;
    this.#joining = true;
    clearTimeout(this.#timer);
    const { supabase, bind, name } = this.#options;
    try {
      const token = await tokenOf(supabase);
      if (token === undefined) throw notSignedIn();
      this.#user ??= subjectOf(token);
      await supabase.realtime.setAuth();
      if (this.#stopped) return;
      const channel = supabase.channel(name(), { config: { private: this.#options.private } }) as ChannelLike;
      this.#channel = channel;
      bind(channel);
      channel.on("system", {}, (message: SystemMessage) => this.#heed(channel, message));
      channel.subscribe((status, error) => this.#report(channel, status, error));
    } catch (error) {
      if (this.#stopped) return;
      this.#options.onInterrupted(asRealtimeError(error));
      if (!waitsForSignIn(error) || hasTokenSource(supabase)) this.#again();
    } finally {
      this.#joining = false;
    }
  }

  /** Hosted Realtime says SUBSCRIBED before changes of tables flow; a system message tells when they do, or why not. */
  #heed(channel: ChannelLike, { extension, status, message }: SystemMessage): void {
    if (this.#stopped || channel !== this.#channel || extension !== "postgres_changes") return;
    if (status === "error") this.#options.onInterrupted(asRealtimeError(new Error(message)));
    else this.#options.onFlowing(true);
  }

  #report(channel: ChannelLike, status: string, error: Error | undefined): void {
    if (this.#stopped || channel !== this.#channel) return;
    if (status === "SUBSCRIBED") {
      this.#failures = 0;
      this.#options.onFlowing(false);
      return;
    }
    // After an error supabase-js joins again on its own; a channel that is closed it forgets.
    this.#options.onInterrupted(asRealtimeError(error, status));
    if (status === "CLOSED") {
      this.#channel = undefined;
      this.#again();
    }
  }

  #interrupt(error: AgentLaunchpadError): void {
    this.#leave();
    this.#options.onInterrupted(error);
  }

  #again(): void {
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures);
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#join(), wait * (0.5 + Math.random() / 2));
  }

  #leave(): void {
    const channel = this.#channel;
    this.#channel = undefined;
    this.#user = undefined;
    if (channel !== undefined) void remove(this.#options.supabase, channel);
  }
}

/** A connection without channels is closed after this; whoever subscribes again before it finds it open. */
const IDLE = 1_000;
const idle = new WeakMap<SupabaseClientLike, ReturnType<typeof setTimeout>>();

/** supabase-js keeps a connection without channels for most of a minute, and with it the process that wants to end. */
async function remove(supabase: SupabaseClientLike, channel: ChannelLike): Promise<void> {
  await supabase.removeChannel(channel).catch(() => {});
  clearTimeout(idle.get(supabase));
  if (supabase.getChannels().length > 0) return;
  // Not at once: a channel that joins while the connection closes is told of an error before it is heard.
  idle.set(
    supabase,
    setTimeout(() => void closeUnused(supabase), IDLE),
  );
}

async function closeUnused(supabase: SupabaseClientLike): Promise<void> {
  if (supabase.getChannels().length > 0) return;
  await supabase.realtime.disconnect();
  // Who subscribed while it closed was not heard: supabase-js does not connect then.
  if (supabase.getChannels().length > 0) supabase.realtime.connect();
}

const unfitForRealtime = () =>
  new AgentLaunchpadError({
    code: "REAL_TIME_SUBSCRIPTION_FAILED",
    message:
      "A client with a fixed Authorization header has no real-time connection: give createClient() the option accessToken instead",
  });

const waitsForSignIn = (error: unknown) =>
  error instanceof AgentLaunchpadError && error.code === "INVALID_JWT_TOKEN";

function asRealtimeError(error: unknown, status = "CHANNEL_ERROR"): AgentLaunchpadError {
  if (error instanceof AgentLaunchpadError) return error;
  const reason = error instanceof Error && error.message !== "" ? error.message : status;
  return new AgentLaunchpadError({
    code: "REAL_TIME_SUBSCRIPTION_FAILED",
    message: `The real-time connection was lost: ${reason}`,
    cause: error,
  });
}

/** Whom a token names; undefined where it is not a JWT. */
function subjectOf(token: string): string | undefined {
  try {
    const payload = token.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? "";
    const { sub } = JSON.parse(atob(payload)) as { sub?: unknown };
    return typeof sub === "string" ? sub : undefined;
  } catch {
    return undefined;
  }
}
