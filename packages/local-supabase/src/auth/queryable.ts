// What Auth's parts need of a connection to the database.

/** A connection of supabase_auth_admin, mostly inside a transaction; one of the library pg fits. */
export interface Queryable {
  query<R extends object = Record<string, unknown>>(
    text: string,
    values?: unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }>;
}
