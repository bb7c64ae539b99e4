/** What the function reads from its environment; index.ts alone reads the secret that signs its calls. */
import { z } from "zod";
import type { Project } from "../_shared/project-call.ts";
import { readSettings as readRespondSettings } from "../respond/settings.ts";

export interface Settings extends Project {
  /** npm's bulk endpoint for known vulnerabilities; undefined: look nothing up. */
  readonly advisoryUrl: string | undefined;
}

const NPM = "https://registry.npmjs.org/-/npm/v1/security/advisories/bulk";

const advisoryUrl = z.preprocess(
  (value) => (value === "" ? undefined : value),
  z.union([z.literal("off"), z.url({ protocol: /^https?$/ })]).optional(),
);

/**
 * Reads the configuration: the variables that `respond` has, and LAUNCHPAD_ADVISORY_URL.
 * @param variables the environment: what hosted Supabase injects, and the project's own secrets
 * @throws Error naming every variable that is missing or wrong
 */
export function readSettings(variables: Readonly<Record<string, string | undefined>>): Settings {
  const { restUrl, secretKey } = readRespondSettings(variables);
  const parsed = advisoryUrl.safeParse(variables.LAUNCHPAD_ADVISORY_URL);
  if (!parsed.success) {
    throw new Error("The function cannot start: LAUNCHPAD_ADVISORY_URL: must be an address, or off");
  }
  const url = parsed.data ?? NPM;
  return {
    url: restUrl.replace(/\/rest\/v1$/, ""),
    secretKey,
    advisoryUrl: url === "off" ? undefined : url,
  };
}
