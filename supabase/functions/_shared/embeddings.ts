/** Vectors of texts, made by the embedding model of the installation. */
import { z } from "zod";

/** The model that the database names (private.embedding_model). */
export const embeddingModelSchema = z.object({ framework: z.enum(["openai", "google"]), model: z.string() });

export type EmbeddingModel = z.infer<typeof embeddingModelSchema>;

export interface EmbeddingAccess {
  readonly apiKey: string | undefined;
  readonly baseUrl: string | undefined;
  /** The name under which a person sets the key. */
  readonly keyVariable: string;
}

export type EmbeddingProviders = Readonly<Record<EmbeddingModel["framework"], EmbeddingAccess>>;

/** What a text is: some models make other vectors of questions. */
export type Purpose = "document" | "question";

export type Embed = (
  model: EmbeddingModel,
  texts: readonly string[],
  purpose: Purpose,
  timeoutMs: number,
) => Promise<number[][]>;

/** Within what models take (OpenAI: 8,192 tokens), in any script. */
const MAX_QUESTION = 6_000;
/** As in private.find_knowledge: a question of fewer words is read together with what was said before it. */
const SHORT_WORDS = 6;
/** What the database keeps (private.to_embedding). */
const MAX_DIMENSIONS = 4096;
const LARGEST = 1e6;

/** The text that stands for a question: a short one needs what was said before ("And in Austria?"). */
export function questionText(question: string, before: string | undefined): string {
  const short = question.trim().split(/\s+/).length < SHORT_WORDS;
  const text = short && before !== undefined ? `${before.slice(-MAX_QUESTION / 2)}\n${question}` : question;
  return text.slice(-MAX_QUESTION).toWellFormed();
}

/**
 * Makes the client; its calls throw where the key is missing or the provider does not give a vector for each text in time.
 * @param providers how each provider is reached
 */
export function createEmbed(providers: EmbeddingProviders): Embed {
  return async (named, texts, purpose, timeoutMs) => {
    const { apiKey, baseUrl, keyVariable } = providers[named.framework];
    if (apiKey === undefined) throw new Error(`${keyVariable} is not set.`);
    const [{ embedMany }, model] = await Promise.all([import("ai"), load(named, apiKey, baseUrl)]);
    const { embeddings, responses } = await embedMany({
      model,
      values: [...texts],
      // Whoever asks has an answer to give, or comes back.
      maxRetries: 0,
      abortSignal: AbortSignal.timeout(timeoutMs),
      providerOptions: {
        google: { taskType: purpose === "question" ? "RETRIEVAL_QUERY" : "RETRIEVAL_DOCUMENT" },
      },
    });
    const vectors = inOrder(embeddings, responses?.[0]?.body);
    if (!vectors.every(isVector)) throw new Error("The provider sent something else than a vector.");
    return vectors;
  };
}

const isVector = (vector: readonly number[]): boolean =>
  vector.length > 0 && vector.length <= MAX_DIMENSIONS && vector.every((x) => Math.abs(x) <= LARGEST);

const numberedSchema = z.object({ data: z.array(z.object({ index: z.int() })) });

/** Servers of OpenAI's form number their vectors, and some send them in another order; the provider's package does not look. */
function inOrder(vectors: number[][], body: unknown): number[][] {
  const numbered = numberedSchema.safeParse(body);
  if (!numbered.success) return vectors;
  const places = numbered.data.data.map(({ index }) => index);
  const sorted = vectors.map((_, place) => vectors[places.indexOf(place)]);
  // All zero, or numbered from one: as they come.
  return sorted.every((vector) => vector !== undefined) ? sorted : vectors;
}

async function load({ framework, model }: EmbeddingModel, apiKey: string, baseUrl: string | undefined) {
  const access = { apiKey, ...(baseUrl !== undefined && { baseURL: baseUrl }) };
  if (framework === "openai") {
    const { createOpenAI } = await import("@ai-sdk/openai");
    return createOpenAI(access).embedding(model);
  }
  const { createGoogleGenerativeAI } = await import("@ai-sdk/google");
  return createGoogleGenerativeAI(access).embedding(model);
}

/** One sentence about a failure, for a step and a log: the provider's status, and none of its text, which may repeat a key. */
export function embeddingFailure(error: unknown): string {
  if (!(error instanceof Error)) return "The embedding model failed.";
  if (error.name === "TimeoutError" || error.name === "AbortError") {
    return "The embedding model did not answer in time.";
  }
  const { statusCode } = error as { statusCode?: unknown };
  if (typeof statusCode === "number") return `The embedding model answered with HTTP ${statusCode}.`;
  if (/^\w+ is not set\.$/.test(error.message)) return error.message;
  return "The embedding model could not be reached, or did not send a vector for each text.";
}
