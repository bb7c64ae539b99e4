/** The project as the function sees it: its RPCs, called as service_role, and the bytes of files in Storage. */
import { z } from "zod";
import type { Chunk } from "./cut.ts";
import type { Settings } from "./settings.ts";

const TIMEOUT_MS = 15_000;
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

/** Calls an RPC as service_role. Throws CallRefused for the project's own errors, another Error when it cannot be reached. */
export type Call = (name: string, args: object) => Promise<unknown>;

/** An error of the project's own about what was asked. */
export class CallRefused extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "CallRefused";
    this.status = status;
    this.code = code;
  }
}

const headersOf = ({ secretKey }: Settings): Record<string, string> => ({
  apikey: secretKey,
  // The old key is a JWT and travels as one; the gateway makes one of the new keys.
  ...(!secretKey.startsWith("sb_") && { authorization: `Bearer ${secretKey}` }),
});

/** Makes the way to the project's RPCs. */
export function createCall(settings: Settings, send: typeof fetch = fetch): Call {
  const headers = headersOf(settings);
  return async (name, args) => {
    const response = await send(`${settings.url}/rest/v1/rpc/${name}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(args),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (response.ok) return JSON.parse(text);
    throw (
      refusalOf(response.status, text) ??
      new Error(`${name} answered ${response.status}: ${text.slice(0, 300)}`)
    );
  };
}

function refusalOf(status: number, text: string): CallRefused | undefined {
  try {
    const { code, message } = JSON.parse(text) as Record<string, unknown>;
    if (status < 500 && typeof code === "string") return new CallRefused(status, code, String(message));
  } catch {
    // no error of ours
  }
  return undefined;
}

/** Makes the client; its calls throw when the project cannot be reached or refuses. */
export function createDatabase(settings: Settings, worker: string, send: typeof fetch = fetch): Database {
  const headers = headersOf(settings);
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
