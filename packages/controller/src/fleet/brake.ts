// The brake: how much may go at once because the database does not know it. Pure.

/** What can be removed on the word "not known". */
export type RemovalKind = "agents" | "namespaces" | "leftovers" | "replicas";

/** A small installation may clean up so much without a person. */
const LEAST = 5;
/** A large one this share of what it has. */
const SHARE = 0.1;

/**
 * The most that may go in one look.
 * @param total how many there are
 * @param released how many a person allowed; undefined where nobody did
 */
export function brakeLimit(total: number, released: number | undefined): number {
  return Math.max(LEAST, Math.floor(total * SHARE), released ?? 0);
}
