// The matrix of the policies on realtime.messages: caller × topic × extension × what is tried, asked as Realtime asks: with
// the caller's role and claims, and the topic set. As in rls-matrix.ts all is rolled back, and the policies alone are judged.
import type { TestDatabase } from "./database.ts";
import type { FileCast } from "./file-matrix.ts";
import { type Client, inTransaction, judgePolicies } from "./rls-matrix.ts";

/** Two users with an agent and a swarm each; Alice has another agent that is being deleted. */
export interface TopicCast extends FileCast {
  swarmId: string;
  bobsSwarmId: string;
}

interface Caller {
  role: "anon" | "authenticated" | "service_role";
  sub?: string;
  /** A permission that an operator took. */
  taken?: string;
}

interface Topic {
  name: string;
  /** Whose it is; nobody's is open to no user. */
  owner?: string;
  /** What the owner may do: r(ead), s(end). */
  rights: "rs" | "r" | "";
}

/** Those that policies may open, and one that none does. */
const EXTENSIONS = ["broadcast", "presence", "postgres_changes"];

/** A user who is deleted while their token still holds. */
const GONE = crypto.randomUUID();

const callersOf = ({ alice, bob }: TopicCast): Record<string, Caller> => ({
  owner: { role: "authenticated", sub: alice },
  "owner without agents:read": { role: "authenticated", sub: alice, taken: "agents:read" },
  "owner without agents:write": { role: "authenticated", sub: alice, taken: "agents:write" },
  other: { role: "authenticated", sub: bob },
  "a user who is gone": { role: "authenticated", sub: GONE },
  "a token of nobody": { role: "authenticated" },
  anon: { role: "anon" },
  "anon with the owner's id": { role: "anon", sub: alice },
  service: { role: "service_role" },
});

const topicsOf = (cast: TopicCast): Topic[] => [
  { name: `agent:${cast.agentId}`, owner: cast.alice, rights: "rs" },
  { name: `agent:${cast.goneAgentId}`, owner: cast.alice, rights: "rs" },
  { name: `user:${cast.alice}`, owner: cast.alice, rights: "rs" },
  // What its agents say; nobody speaks there but the platform.
  { name: `swarm:${cast.swarmId}`, owner: cast.alice, rights: "r" },
  { name: `agent:${cast.bobsAgentId}`, owner: cast.bob, rights: "rs" },
  { name: `user:${cast.bob}`, owner: cast.bob, rights: "rs" },
  { name: `swarm:${cast.bobsSwarmId}`, owner: cast.bob, rights: "r" },
  ...[
    `user:${GONE}`,
    `user:${cast.agentId}`,
    `agent:${cast.alice}`,
    `agent:${cast.swarmId}`,
    `swarm:${cast.agentId}`,
    `x:user:${cast.alice}`,
    "agent:",
    "user:",
    "swarm:",
    "room",
    "",
  ].map((name): Topic => ({ name, rights: "" })),
];

/** Gives Alice and Bob of a cast a swarm each. */
export async function addSwarms(db: TestDatabase, cast: FileCast): Promise<TopicCast> {
  const { rows } = await db.pool.query<{ id: string }>(
    "insert into public.swarms (name, user_id) select 'team', u from unnest($1::uuid[]) with ordinality as x (u, n) order by n returning id",
    [[cast.alice, cast.bob]],
  );
  return { ...cast, swarmId: rows[0]?.id ?? "", bobsSwarmId: rows[1]?.id ?? "" };
}

/**
 * Every deviation from what the policies must allow and refuse, as sentences; [] when all holds. With a mutation it ends at
 * the first caller who deviates.
 */
export async function topicDeviations(
  db: TestDatabase,
  cast: TopicCast,
  mutation?: string,
): Promise<string[]> {
  const found: string[] = [];
  await inTransaction(db, "rollback", async (client) => {
    const topics = topicsOf(cast);
    await client.query("grant all on realtime.messages to anon, authenticated, service_role");
    await client.query(
      "insert into realtime.messages (topic, extension) select t, e from unnest($1::text[]) t, unnest($2::text[]) e",
      [[...topics.map(({ name }) => name), "elsewhere"], EXTENSIONS],
    );
    if (mutation !== undefined) await client.query(mutation);
    for (const [who, caller] of Object.entries(callersOf(cast))) {
      for (const topic of topics) {
        const may = await tries(client, cast, caller, topic.name);
        const should = expected(caller, topic);
        for (const it of new Set([...may, ...should])) {
          if (!should.includes(it)) found.push(`${who} may ${it} in '${topic.name}'`);
          else if (!may.includes(it)) found.push(`${who} may not ${it} in '${topic.name}'`);
        }
      }
      if (mutation !== undefined && found.length > 0) break;
    }
    found.push(...(await judgePolicies(client, "realtime.messages", 3)));
  });
  return found;
}

function expected({ role, sub, taken }: Caller, { owner, rights }: Topic): string[] {
  if (role === "service_role") {
    const every = [...EXTENSIONS, "elsewhere"].flatMap((what) => [`read ${what}`, `send ${what}`]);
    return [...every, "update", "delete"];
  }
  if (role === "anon" || sub === undefined || sub !== owner || taken === "agents:read") return [];
  const open = ["broadcast", "presence"];
  return [
    ...open.filter(() => rights.includes("r")).map((extension) => `read ${extension}`),
    ...open.filter(() => rights.includes("s")).map((extension) => `send ${extension}`),
  ];
}

/** What a caller may do with a topic set. A refusal that is not a policy's own is listed with its message. */
async function tries(client: Client, { alice }: TopicCast, caller: Caller, topic: string): Promise<string[]> {
  const { role, sub, taken } = caller;
  const may: string[] = [];
  await client.query("savepoint before_caller");
  if (taken !== undefined) {
    await client.query("delete from public.user_permissions where user_id = $1 and permission = $2", [
      alice,
      taken,
    ]);
  }
  await client.query(
    `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true), set_config('realtime.topic', $3, true),
       set_config('launchpad.permissions', '', true)`,
    [role, JSON.stringify({ role, sub }), topic],
  );
  await client.query("savepoint before_attempt");
  const attempt = async (what: string, text: string, values: string[] = []) => {
    try {
      const { rows, rowCount } = await client.query<{ what?: string }>(text, values);
      if (what === "read") may.push(...rows.map((row) => `read ${row.what}`));
      else if ((rowCount ?? 0) > 0) may.push(what);
    } catch (error) {
      const { message } = error as Error;
      if (!message.includes("violates row-level security policy")) may.push(`${what} (${message})`);
    }
    await client.query("rollback to savepoint before_attempt");
  };
  await attempt(
    "read",
    "select distinct case topic when $1 then extension else 'elsewhere' end as what from realtime.messages",
    [topic],
  );
  const send = "insert into realtime.messages (topic, extension) values ($1, $2)";
  for (const extension of EXTENSIONS) await attempt(`send ${extension}`, send, [topic, extension]);
  await attempt("send elsewhere", send, ["elsewhere", "broadcast"]);
  // Blind: no column is named, so that no SELECT policy takes part.
  await attempt("update", "update realtime.messages set event = 'changed'");
  await attempt("delete", "delete from realtime.messages");
  await client.query("rollback to savepoint before_caller");
  return may;
}
