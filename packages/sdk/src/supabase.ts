/**
 * What the SDK needs of a supabase-js client, by shape: any client fits, whatever its version and its type parameters.
 */

/** A session, as far as it is read. */
export interface SessionLike {
  access_token: string;
  user?: { id: string } | null | undefined;
}

/** A Realtime channel, as far as it is used. */
export interface ChannelLike {
  // biome-ignore lint/suspicious/noExplicitAny: supabase-js overloads `on` by the kind of event
  on(type: any, filter: any, callback: (payload: any) => void): ChannelLike;
  subscribe(callback?: (status: string, error?: Error) => void): ChannelLike;
  send(message: { type: "broadcast"; event: string; payload?: unknown }): Promise<unknown>;
}

/** A supabase-js client, as far as it is used. */
export interface SupabaseClientLike {
  readonly auth: {
    getSession(): Promise<{ data: { session: SessionLike | null }; error: { message: string } | null }>;
    onAuthStateChange(callback: (event: string, session: SessionLike | null) => void): {
      data: { subscription: { unsubscribe(): void } };
    };
  };
  readonly realtime: {
    setAuth(token?: string | null): Promise<void>;
    connect(): void;
    disconnect(): unknown;
  };
  getChannels(): readonly unknown[];
  // biome-ignore lint/suspicious/noExplicitAny: options differ between versions
  channel(name: string, options?: any): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: takes what `channel` gave
  removeChannel(channel: any): Promise<unknown>;
}
