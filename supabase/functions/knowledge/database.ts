/** The project as the function sees it: its RPCs, called as service_role, and the bytes of files in Storage. */
import { z } from "zod";
import { createCall, serviceHeaders } from "../_shared/project-call.ts";
import type { Chunk } from "./cut.ts";
import type { Settings } from "./settings.ts";

const DOWNLOAD_MS = 30_000;
/** Renewed by every part of a file; reading one takes at most DOWNLOAD_MS and pdf.ts's limit. */
export const LEASE_SECONDS = 90;

const jobSchema = z.object({
  fileId: z.string(),
  leaseToken: z.string(),
  agentId: z.string(),
  path: z.string(),
  mimetype: z.string().nullish(),
  /** Instead of a file: the character whose knowledge is too long for the instructions. */
  character: z.record(z.string(), z.unknown()).nullish(),
});

/** A text that is to be indexed, as claim_knowledge gives it. */
export type Job = z.infer<typeof jobSchema>;

/** What became of a file. */
export type Outcome = { readonly refused?: string; readonly retry?: true };

export interface Database {
  claim(most: number): Promise<Job[]>;
  /** The file's bytes. Throws where Storage does not give them, and for more than `maxBytes`. */
  download(job: Job, maxBytes: number): Promise<Uint8Array>;
  /** Takes chunks, of which the first is number `first`. False: the file changed, is refused, or somebody else has it. */
  add(job: Job, first: number, chunks: readonly Chunk[]): Promise<boolean>;
  finish(job: Job, outcome: Outcome): Promise<void>;
}

/** Makes the client; its calls throw when the project cannot be reached or refuses. */
export function createDatabase(settings: Settings, worker: string, send: typeof fetch = fetch): Database {
  const headers = serviceHeaders(settings);
  const call = createCall(settings, send);
  const lease = (job: Job) => ({ file_id: job.fileId, lease_token: job.leaseToken });
  return {
    claim: async (most) =>
      z
        .array(jobSchema)
        .parse(await call("claim_knowledge", { worker, max_count: most, lease_seconds: LEASE_SECONDS })),
    async download({ agentId, path }, maxBytes) {
      const name = `${agentId}/${path}`.split("/").map(encodeURIComponent).join("/");
      const response = await send(`${settings.url}/storage/v1/object/agent-assets/${name}`, {
        headers,
        redirect: "manual",
        signal: AbortSignal.timeout(DOWNLOAD_MS),
      });
      if (!response.ok || response.body === null) {
        await response.body?.cancel();
        throw new Error(`Storage answered ${response.status}`);
      }
      return await readAtMost(response.body, maxBytes);
    },
    async add(job, first, chunks) {
      const body = await call("add_knowledge", {
        ...lease(job),
        first,
        chunks,
        lease_seconds: LEASE_SECONDS,
      });
      return (body as { accepted?: boolean }).accepted === true;
    },
    async finish(job, outcome) {
      await call("finish_knowledge", { ...lease(job), outcome });
    },
  };
}

async function readAtMost(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.length;
    if (size > maxBytes) throw new Error(`The file has more than ${maxBytes} bytes`);
    parts.push(part);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
