/** What both kinds of secrets, an agent's and the account's, have in common. */
import type { Query } from "./http.ts";

/**
 * The query of a table of secrets.
 * @param filter whose
 */
export const secretsQuery = (filter: Query): Query => ({
  ...filter,
  select: "name,version,created_at,updated_at",
  order: "name",
});
