/** Takes indexed files that lack vectors, and has them made in batches, until none waits. A failure delays vectors alone. */
import { type Embed, embeddingFailure } from "../_shared/embeddings.ts";
import type { EmbeddingDatabase, EmbeddingJob } from "./embedding-database.ts";
import { inPlaces } from "./in-places.ts";
import type { Log } from "./indexer.ts";

/** Files at once. */
const PLACES = 2;
/** For one batch; well within the lease. */
const TIMEOUT_MS = 30_000;

export class Embedder {
  readonly #database: EmbeddingDatabase;
  readonly #embed: Embed;
  readonly #log: Log;
  readonly #work = inPlaces<EmbeddingJob>({
    places: PLACES,
    claim: (count) => this.#database.claim(count),
    carryOut: (job) => this.#make(job),
    failed: (cause) =>
      this.#log("ERROR", "Files that lack vectors cannot be claimed", { cause: String(cause) }),
  });

  constructor(database: EmbeddingDatabase, embed: Embed, log: Log) {
    this.#database = database;
    this.#embed = embed;
    this.#log = log;
  }

  /** Looks for work; returns when all it found, here or meanwhile, is done. Never throws. */
  async wake(): Promise<void> {
    await this.#work.wake();
  }

  async #make(job: EmbeddingJob): Promise<void> {
    const facts = { fileId: job.fileId, model: `${job.framework}/${job.model}` };
    const started = performance.now();
    let made = 0;
    try {
      let { chunks } = job;
      while (chunks.length > 0) {
        const texts = chunks.map(({ text }) => text);
        const embeddings = await this.#embed(job, texts, "document", TIMEOUT_MS);
        const next = await this.#database.add(
          job,
          chunks.map(({ place }, n) => ({ place, embedding: embeddings[n] ?? [] })),
        );
        if (next === undefined) return; // it changed meanwhile, or somebody else has it
        made += chunks.length;
        chunks = next;
      }
      const milliseconds = Math.round(performance.now() - started);
      this.#log("INFO", "Vectors made", { ...facts, chunks: made, milliseconds });
    } catch (error) {
      this.#log("WARN", "Vectors could not be made; they are tried again", {
        ...facts,
        cause: String(error),
      });
      // Unheard, the lease ends and the file is claimed again.
      await this.#database.fail(job, embeddingFailure(error)).catch(() => undefined);
    }
  }
}
