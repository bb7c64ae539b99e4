/** POST /knowledge/embedding: the vector of a question, for the runtime of a deployed agent, which has no key for the model. */
import { z } from "zod";
import { type Embed, embeddingFailure, embeddingModelSchema, questionText } from "../_shared/embeddings.ts";
import { type Call, CallRefused } from "../_shared/project-call.ts";

/** An answer waits for it; the runtime gives up a little later. */
const TIMEOUT_MS = 2_500;

const askedSchema = z.object({
  agent_id: z.string().max(63),
  credential: z.string().max(200),
  question: z.string(),
  before: z.string().nullish(),
});

const refuse = (status: number, code: string, message: string) =>
  Response.json({ code, message }, { status });

/**
 * Answers {embedding}, null where the agent has no vectors to compare it with. The agent's credential is the proof, as for the RPCs
 * of runtimes; without it no model is asked.
 */
export async function embedQuestion(text: string, call: Call, embed: Embed): Promise<Response> {
  const asked = askedSchema.safeParse(parse(text));
  if (!asked.success) {
    return refuse(
      400,
      "VALIDATION_ERROR",
      "Send JSON with agent_id, credential, question and, if any, before.",
    );
  }
  const { agent_id, credential, question, before } = asked.data;
  try {
    const named = await call("runtime_question_model", { agent_id, credential });
    if (named === null) return Response.json({ embedding: null });
    const model = embeddingModelSchema.parse(named);
    const said = questionText(question, before ?? undefined);
    const [embedding] = await embed(model, [said], "question", TIMEOUT_MS);
    return Response.json({ embedding });
  } catch (error) {
    if (error instanceof CallRefused) return refuse(error.status, error.code, error.message);
    // 424: what this depends on failed; the runtime goes on without, and its step says why.
    return refuse(424, "MODEL_UNAVAILABLE", embeddingFailure(error));
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
