// Writes webhook targets and secrets to the Vault.

import pg from "pg";

/** Where the database's webhooks go, and how they are signed. */
export interface WebhookTarget {
  controllerUrl: string;
  webhookSecret: string;
}

/** Where the database calls the function `respond`, and how those calls are signed. */
export interface RespondTarget {
  functionsUrl: string;
  respondSecret: string;
}

/**
 * Tells the database where the controller takes webhooks, by the same call as an operator's; writes only what differs.
 * Takes a connection URL of the role `postgres`. Throws when the database refuses.
 */
export async function putWebhookTarget(dbUrl: string, target: WebhookTarget): Promise<void> {
  await call(dbUrl, "select private.connect_controller($1, $2)", [
    target.controllerUrl,
    target.webhookSecret,
  ]);
}

/** As putWebhookTarget, for the calls of the function `respond`. */
export async function putRespondTarget(dbUrl: string, target: RespondTarget): Promise<void> {
  await call(dbUrl, "select private.connect_functions($1, $2)", [target.functionsUrl, target.respondSecret]);
}

/** The server is on this machine: it refuses at once, and on a busy machine it may take its time to welcome. */
const CONNECT_MS = 60_000;

async function call(dbUrl: string, statement: string, values: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: dbUrl, connectionTimeoutMillis: CONNECT_MS });
  // A server that ends meanwhile rejects the query under way; unheard, the event would end the whole stack.
  client.on("error", () => undefined);
  await client.connect();
  try {
    await client.query(statement, [...values]);
  } finally {
    await client.end();
  }
}
