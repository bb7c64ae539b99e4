/** `client.health`, `client.system` and `client.users`. */
import type {
  AccountDeleted,
  Health as HealthReport,
  SystemMetrics,
  UpdateProfileRequest,
  UserExport,
  UserProfile,
} from "./contract.ts";
import type { Http } from "./http.ts";
import type { CallOptions } from "./options.ts";
import type { Secret } from "./rows.ts";
import { secretsQuery } from "./secrets.ts";

/** What the database alone can tell of the project's health. */
export interface SupabaseHealth {
  supabase_health: Record<"database" | "auth" | "realtime" | "storage" | "edge_functions", string>;
  user_specific: {
    rls_policies: string;
    user_data_accessible: boolean;
    real_time_subscriptions: number | null;
  };
}

/** What became of an account's secret. */
export interface StoredSecret {
  name: string;
  version: number;
  createdAt: string;
  updatedAt: string;
  /** False where it had this value already. */
  changed: boolean;
}

export class Health {
  readonly #http: Http;

  /** @internal */
  constructor(http: Http) {
    this.#http = http;
  }

  /** The health of every component, measured now. A degraded system is an answer, not an error. */
  async get(options?: CallOptions): Promise<HealthReport> {
    return await this.#http.send({ method: "GET", path: "/api/health", options });
  }

  /** The same from the database, without `/api`. */
  async supabase(options?: CallOptions): Promise<SupabaseHealth> {
    return await this.#http.send({ method: "GET", path: "/rest/v1/rpc/health_check", options });
  }
}

export class System {
  readonly #http: Http;

  /** @internal */
  constructor(http: Http) {
    this.#http = http;
  }

  /** The figures of the fleet and the capacity of its cluster. */
  async getMetrics(options?: CallOptions): Promise<SystemMetrics> {
    return await this.#http.send({ method: "GET", path: "/api/system/metrics", options });
  }
}

export class Users {
  readonly #http: Http;

  /** @internal */
  constructor(http: Http) {
    this.#http = http;
  }

  /** The caller's account and profile. */
  async getProfile(options?: CallOptions): Promise<UserProfile> {
    return await this.#http.send({ method: "GET", path: "/api/users/profile", options });
  }

  /** Changes the profile: a field left out stays, null clears one. Permissions can only be narrowed. */
  async updateProfile(changes: UpdateProfileRequest, options?: CallOptions): Promise<UserProfile> {
    return await this.#http.send({ method: "PUT", path: "/api/users/profile", body: changes, options });
  }

  /** Everything the caller owns, in one document. */
  async export(options?: CallOptions): Promise<UserExport> {
    return await this.#http.send({ method: "GET", path: "/api/users/export", options });
  }

  /** Names and versions of the account's secrets, by name: model keys of agents without a deployment. */
  async listSecrets(options?: CallOptions): Promise<Secret[]> {
    const query = secretsQuery({});
    return await this.#http.send({ method: "GET", path: "/rest/v1/user_secrets", query, options });
  }

  /** Stores or replaces one of the account's secrets. */
  async setSecret(name: string, value: string, options?: CallOptions): Promise<StoredSecret> {
    const body = { name, value };
    return await this.#http.send({ method: "POST", path: "/rest/v1/rpc/set_user_secret", body, options });
  }

  /** Removes one of the account's secrets; NOT_FOUND where there is none of this name. */
  async removeSecret(name: string, options?: CallOptions): Promise<void> {
    const body = { name };
    await this.#http.send({ method: "POST", path: "/rest/v1/rpc/remove_user_secret", body, options });
  }

  /**
   * Deletes the caller's account and personal data.
   * @param confirm the account's e-mail address
   */
  async deleteAccount(confirm: string, options?: CallOptions): Promise<AccountDeleted> {
    return await this.#http.send({
      method: "DELETE",
      path: "/api/users/profile",
      query: { confirm },
      options,
    });
  }
}
