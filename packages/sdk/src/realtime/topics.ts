/** Broadcasts of private topics. A supabase-js client has one channel per topic, so listeners share it. */
import type { SupabaseClientLike } from "../supabase.ts";
import { LiveChannel } from "./live-channel.ts";

export interface Broadcast {
  event: string;
  payload: Record<string, unknown>;
}

export interface Listener {
  take(broadcast: Broadcast): void;
  /** What is broadcast from now on is heard; or, nothing is until further notice. */
  onSettled(): void;
}

interface Topic {
  channel: LiveChannel;
  listeners: Set<Listener>;
  flowing: boolean;
}

const topicsOf = new WeakMap<SupabaseClientLike, Map<string, Topic>>();

/**
 * Listens to a private topic.
 * @returns ends it; the channel is left with its last listener
 */
export function listen(supabase: SupabaseClientLike, name: string, listener: Listener): () => void {
  const topics = topicsOf.get(supabase) ?? new Map<string, Topic>();
  topicsOf.set(supabase, topics);
  const topic = topics.get(name) ?? open(supabase, name);
  topics.set(name, topic);
  topic.listeners.add(listener);
  if (topic.flowing) listener.onSettled();
  return () => {
    if (!topic.listeners.delete(listener) || topic.listeners.size > 0) return;
    topics.delete(name);
    topic.channel.stop();
  };
}

function open(supabase: SupabaseClientLike, name: string): Topic {
  const listeners = new Set<Listener>();
  const topic: Topic = {
    listeners,
    flowing: false,
    channel: new LiveChannel({
      supabase,
      name: () => name,
      private: true,
      bind: (channel) => {
        channel.on("broadcast", { event: "*" }, ({ event, payload }: Broadcast) => {
          for (const listener of listeners) listener.take({ event, payload });
        });
      },
      onFlowing: () => {
        topic.flowing = true;
        for (const listener of listeners) listener.onSettled();
      },
      onInterrupted: () => {
        topic.flowing = false;
        for (const listener of listeners) listener.onSettled();
      },
    }),
  };
  topic.channel.start();
  return topic;
}
