// Where a hook of config.toml leads: a function of the database, or an HTTP address.

import { StackError } from "../../errors.ts";
import type { HttpHook } from "./http-hook.ts";

export type HookTarget = { kind: "postgres"; name: string } | ({ kind: "http" } & HttpHook);

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]{0,62}$/;
const SECRET = /^v1,whsec_[A-Za-z0-9+/=]{32,88}$/;
const LOCAL = new Set(["localhost", "127.0.0.1", "[::1]", "host.docker.internal"]);

/**
 * Reads a hook's `uri` and `secrets`. Takes its name in config.toml for the message.
 * Throws a StackError of one sentence for what supabase/auth refuses as well.
 */
export function readHookTarget(
  name: string,
  { uri = "", secrets = "" }: { uri?: string | undefined; secrets?: string | undefined },
): HookTarget {
  const refuse = (field: string, reason: string) =>
    new StackError(`supabase/config.toml: auth.hook.${name}.${field} ${reason}.`);
  if (!URL.canParse(uri))
    throw refuse("uri", "must be pg-functions://postgres/<schema>/<function> or an http(s) address");
  const url = new URL(uri);
  if (url.protocol === "pg-functions:") {
    const [, schema = "", fn = ""] = url.pathname.split("/");
    if (!NAME.test(schema) || !NAME.test(fn))
      throw refuse("uri", "must name a schema and a function: pg-functions://postgres/<schema>/<function>");
    return { kind: "postgres", name: `"${schema}"."${fn}"` };
  }
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw refuse("uri", "must begin with pg-functions://, http:// or https://");
  if (url.protocol === "http:" && !LOCAL.has(url.hostname))
    throw refuse("uri", "must be https, except for localhost and 127.0.0.1");
  const all = secrets.split("|").filter((secret) => secret !== "");
  if (all.length === 0 || !all.every((secret) => SECRET.test(secret)))
    throw refuse("secrets", 'must be of the form "v1,whsec_<base64>", several separated by |');
  return { kind: "http", url: uri, secrets: all };
}
