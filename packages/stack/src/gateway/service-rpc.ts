// Calls database functions as service_role.

import { Agent, request } from "node:http";
import type { Address } from "@agent-launchpad/local-supabase/gateway/proxy.ts";
import type { ApiRole } from "@agent-launchpad/local-supabase/tokens.ts";

export interface ServiceRpc {
  /** Calls a function of the database that only service_role may call. Throws when it does not answer with 200 in time. */
  call<T>(name: string, args: object): Promise<T>;
  close(): void;
}

const TIMEOUT_MS = 3000;

/** Takes where PostgREST is at the moment, and what mints a token of a role. */
export function createServiceRpc(
  rest: () => Address | undefined,
  tokenFor: (role: ApiRole) => string,
): ServiceRpc {
  const agent = new Agent({ keepAlive: true, maxSockets: 4, timeout: 4000 });
  return {
    call<T>(name: string, args: object): Promise<T> {
      const address = rest();
      if (!address) return Promise.reject(new Error("PostgREST is down"));
      const { promise, resolve, reject } = Promise.withResolvers<T>();
      const outgoing = request({
        ...address,
        agent,
        method: "POST",
        path: `/rpc/${name}`,
        timeout: TIMEOUT_MS,
        headers: { authorization: `Bearer ${tokenFor("service_role")}`, "content-type": "application/json" },
      });
      outgoing.on("timeout", () => outgoing.destroy(new Error("PostgREST does not answer")));
      outgoing.on("error", reject);
      outgoing.on("response", async (answer) => {
        try {
          let text = "";
          for await (const chunk of answer.setEncoding("utf8")) text += chunk;
          if (answer.statusCode === 200) resolve(JSON.parse(text) as T);
          else reject(new Error(`${name} answered ${answer.statusCode}`));
        } catch (error) {
          reject(error);
        }
      });
      outgoing.end(JSON.stringify(args));
      return promise;
    },
    close: () => agent.destroy(),
  };
}
