/** The RPCs by which the function makes vectors of knowledge files, called as service_role. */
import { z } from "zod";
import { embeddingModelSchema } from "../_shared/embeddings.ts";
import type { Call } from "../_shared/project-call.ts";
import { LEASE_SECONDS } from "./database.ts";

const chunksSchema = z.array(z.object({ place: z.int(), text: z.string() }));
const jobSchema = embeddingModelSchema.extend({
  fileId: z.string(),
  leaseToken: z.string(),
  /** The first batch. */
  chunks: chunksSchema,
});

/** A file whose chunks lack vectors, as claim_embeddings gives it. */
export type EmbeddingJob = z.infer<typeof jobSchema>;
export type Batch = EmbeddingJob["chunks"];

export interface EmbeddingDatabase {
  claim(most: number): Promise<EmbeddingJob[]>;
  /** Takes a batch's vectors; the next batch, empty after the last. Undefined: the file changed, or somebody else has it. */
  add(
    job: EmbeddingJob,
    items: readonly { place: number; embedding: readonly number[] }[],
  ): Promise<Batch | undefined>;
  /** Gives the file back, to be tried again later. */
  fail(job: EmbeddingJob, error: string): Promise<void>;
}

const addedSchema = z.object({ accepted: z.boolean(), chunks: chunksSchema.default([]) });

/** Makes the client; its calls throw when the project cannot be reached or refuses. */
export function createEmbeddingDatabase(call: Call, worker: string): EmbeddingDatabase {
  const lease = (job: EmbeddingJob) => ({ file_id: job.fileId, lease_token: job.leaseToken });
  return {
    claim: async (most) =>
      z
        .array(jobSchema)
        .parse(await call("claim_embeddings", { worker, max_count: most, lease_seconds: LEASE_SECONDS })),
    async add(job, items) {
      const model = `${job.framework}/${job.model}`;
      const args = { ...lease(job), model, items, lease_seconds: LEASE_SECONDS };
      const { accepted, chunks } = addedSchema.parse(await call("add_embeddings", args));
      return accepted ? chunks : undefined;
    },
    async fail(job, error) {
      await call("fail_embeddings", { ...lease(job), error });
    },
  };
}
