// The matrix of the policies on storage.objects: caller × place × what is tried. As in rls-matrix.ts the checks run in one
// transaction that is rolled back, without triggers, so that a mutant of a policy can be judged.
import type { TestDatabase } from "./database.ts";
import { type Cast, type Client, inTransaction, judgePolicies, literal } from "./rls-matrix.ts";

/** A bucket that is none of ours. */
const OTHER_BUCKET = "others";

/** Two users with an agent each; Alice has another that is being deleted. Each agent has a file in every bucket. */
export interface FileCast extends Cast {
  bobsAgentId: string;
  goneAgentId: string;
}

type Who = "owner" | "reader" | "writer" | "other" | "anon";

/** Permissions that an operator took. Who may not read an agent may not write its files either. */
const TAKEN: Partial<Record<Who, string>> = { reader: "agents:write", writer: "agents:read" };

/** One thing a caller tries, and whether it may succeed. */
interface Attempt {
  who: Who;
  what: string;
  text: string;
  allowed: boolean;
  /** A row that is not where it was when the attempt succeeds; without it, success is a row touched. */
  moves?: Place;
}

interface Place {
  bucket: string;
  agent: string;
}

/** Gives each agent of the cast a file in each bucket, and makes the third bucket. */
export async function fillBuckets(db: TestDatabase, cast: FileCast): Promise<void> {
  await inTransaction(db, "commit", async (client) => {
    await client.query("insert into storage.buckets (id, name) values ($1, $1)", [OTHER_BUCKET]);
    await client.query("update public.agents set deleted_at = now() where id = $1", [cast.goneAgentId]);
    await client.query(
      `insert into storage.objects (bucket_id, name) select b.id, a.id || '/file'
       from storage.buckets b, unnest($1::text[]) as a (id)`,
      [[cast.agentId, cast.bobsAgentId, cast.goneAgentId]],
    );
  });
}

/** Every deviation from what the policies must allow and refuse, as sentences; [] when all holds. */
export async function fileDeviations(db: TestDatabase, cast: FileCast, mutation?: string): Promise<string[]> {
  const found: string[] = [];
  await inTransaction(db, "rollback", async (client) => {
    if (mutation !== undefined) await client.query(mutation);
    found.push(...(await judgePolicies(client, "storage.objects", 4)));
    for (const attempt of attempts(cast)) {
      if ((await succeeds(client, cast, attempt)) !== attempt.allowed) {
        found.push(`${attempt.who} ${attempt.allowed ? "may not" : "may"} ${attempt.what}`);
      }
    }
  });
  return found;
}

function attempts(cast: FileCast): Attempt[] {
  const list: Attempt[] = [];
  const mine = (bucket: string): Place => ({ bucket, agent: cast.agentId });
  const places: [string, Place, boolean][] = [
    ["assets", mine("agent-assets"), true],
    ["backups", mine("agent-backups"), true],
    ["another bucket", mine(OTHER_BUCKET), false],
    ["a deleted agent's assets", { bucket: "agent-assets", agent: cast.goneAgentId }, false],
  ];
  const callers = { owner: "raud", reader: "r", writer: "", other: "", anon: "" } as const;
  for (const [who, verbs] of Object.entries(callers) as [Who, string][]) {
    for (const [name, { bucket, agent }, ours] of places) {
      const where = `where bucket_id = ${literal(bucket)} and name = ${literal(`${agent}/file`)}`;
      for (const [verb, text] of [
        ["r", `select from storage.objects ${where}`],
        ["a", `insert into storage.objects (bucket_id, name) values (${literal(bucket)}, '${agent}/new')`],
        ["u", `update storage.objects set version = '2' ${where}`],
        ["d", `delete from storage.objects ${where}`],
      ] as const) {
        list.push({ who, what: `${verb} in ${name}`, text, allowed: ours && verbs.includes(verb) });
      }
    }
  }
  // Blind ones name no column, so that no SELECT policy takes part.
  const moved = (bucket: string, agent: string) =>
    `update storage.objects set bucket_id = ${literal(bucket)}, name = ${literal(agent)} || '/' || gen_random_uuid()`;
  const assets = mine("agent-assets");
  list.push(
    {
      who: "owner",
      what: "move blindly",
      text: moved("agent-backups", cast.agentId),
      allowed: true,
      moves: assets,
    },
    {
      who: "writer",
      what: "delete blindly",
      text: "delete from storage.objects",
      allowed: false,
      moves: assets,
    },
    {
      who: "owner",
      what: "give away",
      text: moved("agent-assets", cast.bobsAgentId),
      allowed: false,
      moves: assets,
    },
    {
      who: "owner",
      what: "put into another bucket",
      text: moved(OTHER_BUCKET, cast.agentId),
      allowed: false,
      moves: assets,
    },
    ...[mine(OTHER_BUCKET), { bucket: "agent-assets", agent: cast.goneAgentId }].flatMap(
      (moves): Attempt[] => [
        {
          who: "owner",
          what: `take from ${moves.bucket}`,
          text: moved("agent-assets", cast.agentId),
          allowed: false,
          moves,
        },
        {
          who: "owner",
          what: `erase ${moves.bucket}`,
          text: "delete from storage.objects",
          allowed: false,
          moves,
        },
      ],
    ),
    {
      who: "other",
      what: "take over",
      text: moved("agent-assets", cast.bobsAgentId),
      allowed: false,
      moves: assets,
    },
    { who: "other", what: "erase", text: "delete from storage.objects", allowed: false, moves: assets },
    { who: "reader", what: "erase", text: "delete from storage.objects", allowed: false, moves: assets },
    { who: "anon", what: "erase", text: "delete from storage.objects", allowed: false, moves: assets },
  );
  return list;
}

async function succeeds(
  client: Client,
  { alice, bob }: FileCast,
  { who, text, moves }: Attempt,
): Promise<boolean> {
  await client.query("savepoint before_attempt");
  try {
    await client.query("delete from public.user_permissions where user_id = $1 and permission = $2", [
      alice,
      TAKEN[who],
    ]);
    const role = who === "anon" ? "anon" : "authenticated";
    const claims = role === "anon" ? { role } : { role, sub: who === "other" ? bob : alice };
    await client.query("select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)", [
      role,
      JSON.stringify(claims),
    ]);
    const { rowCount } = await client.query(text);
    if (!moves) return (rowCount ?? 0) > 0;
    await client.query("reset role");
    const left = await client.query("select from storage.objects where bucket_id = $1 and name = $2", [
      moves.bucket,
      `${moves.agent}/file`,
    ]);
    return left.rowCount === 0;
  } catch (error) {
    if ((error as { code?: string }).code === "42501") return false;
    throw error;
  } finally {
    await client.query("rollback to savepoint before_attempt");
  }
}
