/** What the function reads from its environment; index.ts alone reads the secret that signs its calls. */
import type { EmbeddingProviders } from "../_shared/embeddings.ts";
import { readSettings as readRespondSettings } from "../respond/settings.ts";

export interface Settings {
  /** The project's address, without a slash at the end. */
  readonly url: string;
  /** The project's secret key: the function acts as service_role. */
  readonly secretKey: string;
  readonly embedding: EmbeddingProviders;
}

/**
 * Reads the configuration: the same variables as `respond` has.
 * @param variables the environment: what hosted Supabase injects, and the project's own secrets
 * @throws Error naming every variable that is missing or wrong
 */
export function readSettings(variables: Readonly<Record<string, string>>): Settings {
  const { restUrl, secretKey, embedding } = readRespondSettings(variables);
  return { url: restUrl.replace(/\/rest\/v1$/, ""), secretKey, embedding };
}
