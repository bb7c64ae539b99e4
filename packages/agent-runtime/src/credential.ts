// What proves an agent's runtime to the database. The key it is made of never leaves the process.
import { createHmac } from "node:crypto";

/** Makes the proof when it is first sent: an agent that only waits does without Node's crypto (ADR 0262). */
export type Credential = () => string;

/**
 * The credential of the agent with this key.
 * @returns undefined without a key: then the database knows no such runtime
 */
export function credentialOf(messageKey: string | undefined): Credential | undefined {
  if (messageKey === undefined) return undefined;
  let made: string | undefined;
  return () => {
    made ??= createHmac("sha256", messageKey).update("runtime").digest("hex");
    return made;
  };
}
