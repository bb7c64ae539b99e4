/**
 * The edge function `knowledge`: the only file that knows Deno. The database calls it when files of agents wait to be indexed;
 * it says yes at once and works on afterwards. Runtimes of deployed agents ask it for vectors of questions. Apart from `respond`, because what it reads are strangers' files: a file that
 * exhausts it delays other files, never an answer (docs/adr/0191). What it needs is loaded with the first call: most of the time
 * it is idle.
 */
import { readCall, readSignedCall, refuse } from "../_shared/signed-call.ts";

declare const Deno: {
  env: { toObject(): Record<string, string> };
  serve(handler: (request: Request) => Response | Promise<Response>): unknown;
};
declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void } | undefined;

const worker = `knowledge-${crypto.randomUUID()}`;

type Level = "INFO" | "WARN" | "ERROR";
const log = (level: Level, message: string, metadata: Record<string, unknown> = {}) => {
  console.log(
    JSON.stringify({ timestamp: new Date().toISOString(), level, message, source: "knowledge", metadata }),
  );
};

const load = async () => {
  const [{ Indexer }, { createDatabase }, { createCall }, { readSettings }, embedding, shared, question] =
    await Promise.all([
      import("./indexer.ts"),
      import("./database.ts"),
      import("../_shared/project-call.ts"),
      import("./settings.ts"),
      Promise.all([import("./embedder.ts"), import("./embedding-database.ts")]),
      import("../_shared/embeddings.ts"),
      import("./question.ts"),
    ]);
  const settings = readSettings(Deno.env.toObject());
  const call = createCall(settings);
  const embed = shared.createEmbed(settings.embedding);
  const [{ Embedder }, { createEmbeddingDatabase }] = embedding;
  const embedder = new Embedder(createEmbeddingDatabase(call, worker), embed, log);
  const indexer = new Indexer(createDatabase(settings, worker), log);
  return {
    /** Indexes what waits, then makes the vectors that are missing. */
    async wake() {
      await Promise.all([indexer.wake().then(() => embedder.wake()), embedder.wake()]);
    },
    embedQuestion: (body: string) => question.embedQuestion(body, call, embed),
  };
};
let loaded: ReturnType<typeof load> | undefined;

Deno.serve(async (request) => {
  const forRuntime = new URL(request.url).pathname.endsWith("/embedding");
  const call = forRuntime
    ? await readCall(request)
    : await readSignedCall(request, Deno.env.toObject().LAUNCHPAD_RESPOND_SECRET);
  if ("refused" in call) return call.refused;
  loaded ??= load().catch((error: unknown) => {
    loaded = undefined; // the next call tries again
    throw error;
  });
  if (forRuntime) {
    return await loaded
      .then((parts) => parts.embedQuestion(new TextDecoder().decode(call.body)))
      .catch((error: unknown) => {
        log("ERROR", "The function cannot start", { cause: String(error) });
        return refuse(503, "INTERNAL_ERROR", "The function cannot start; its log says why.");
      });
  }
  const work = loaded.then((parts) => parts.wake());
  if (typeof EdgeRuntime === "undefined") void work.catch((error: unknown) => log("ERROR", String(error)));
  else EdgeRuntime.waitUntil(work);
  return Response.json({ accepted: true }, { status: 202 });
});
