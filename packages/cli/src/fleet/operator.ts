// What operators ask of the whole project, with its secret key. The key comes from the environment alone.
import { Context } from "../context.ts";
import { CliError } from "../errors.ts";

export interface Operator {
  /** Calls a function of the database. Throws CliError. */
  call<T>(name: string, args?: Record<string, unknown>): Promise<T>;
}

/** Removals that a controller's brake stopped, by kind. */
export type Stopped = Record<string, { count: number; total: number; examples: string[] }>;

/** How far a new image is; null when every agent has it. */
export interface Rollout {
  state: "running" | "paused" | "halted" | "undone";
  reason: string | null;
  image: string;
  previousImage: string | null;
  wave: number;
  percent: number;
  total: number;
  waiting: number;
  updating: number;
  ready: number;
  idle: number;
  failed: number;
  problem: string | null;
  examples: string[];
}

/** What `fleet_status` answers. */
export interface FleetStatus {
  installation: string;
  adopted: string[];
  hold: "removals" | "everything" | null;
  holdReason: string | null;
  release: { removals: number; seconds: number } | null;
  rollout: Rollout | null;
  controllers: {
    worker: string;
    alive: boolean;
    drained: boolean;
    heartbeatAt: string;
    version: string | null;
    cluster: string | null;
    held: number;
    fleet: { trouble?: string; foreign?: Record<string, number>; stopped?: Stopped };
  }[];
  phases: Record<string, number>;
  actions: { at: string; action: string; details: Record<string, unknown> }[];
}

/**
 * The project with its secret key.
 * @throws CliError where LAUNCHPAD_SECRET_KEY is missing, or no project is named
 */
export async function openOperator(context: Context): Promise<Operator> {
  const key = context.env.LAUNCHPAD_SECRET_KEY;
  if (!key) {
    throw new CliError(
      "usage",
      "Set LAUNCHPAD_SECRET_KEY to a secret key (sb_secret_…) of the project: this command acts for all users.",
      { code: "NO_SECRET_KEY" },
    );
  }
  // The publishable key is never sent here: an operator need not have it.
  const env = { ...context.env, LAUNCHPAD_KEY: context.env.LAUNCHPAD_KEY || "not-needed" };
  const { url } = await new Context({ ...context, out: context.out, env }).project();
  const { createClient } = await import("@supabase/supabase-js");
  const client = createClient(url, key, { auth: { persistSession: false, autoRefreshToken: false } });
  return {
    async call<T>(name: string, args: Record<string, unknown> = {}): Promise<T> {
      const { data, error, status } = await client.rpc(name, args).abortSignal(context.signal);
      if (error === null) return data as T;
      throw refusal(name, error, status);
    },
  };
}

function refusal(name: string, error: { code?: string; message: string; details?: string }, status: number) {
  const facts = { code: error.code ?? "", cause: error };
  if (status === 401 || status === 403) {
    return new CliError(
      "unauthenticated",
      "The project rejected LAUNCHPAD_SECRET_KEY; set it to one of its secret keys (sb_secret_…).",
      facts,
    );
  }
  if (error.code === "PGRST202") {
    return new CliError("conflict", `The project has no ${name}; run \`supabase db push\` first.`, facts);
  }
  const details = error.details ? (JSON.parse(error.details) as Record<string, unknown>) : undefined;
  if (status === 400 && details !== undefined) {
    return new CliError("invalid", "The request was rejected.", { ...facts, details });
  }
  if (error.code === "CONFLICT") {
    const where = name.includes("rollout") ? "; `launchpad fleet rollout status` shows it" : "";
    return new CliError("conflict", `${error.message}${where}.`, facts);
  }
  if (status === 404 && error.code === "NOT_FOUND") {
    const list = name.includes("model")
      ? "models list --retired"
      : name.includes("plugin")
        ? "plugins rules list"
        : "fleet status";
    const where = name.includes("class") ? "" : `; \`launchpad ${list}\` lists them`;
    return new CliError("notFound", `${error.message}${where}.`, { ...facts, details });
  }
  return Object.assign(new Error(error.message), { ...facts, status });
}
