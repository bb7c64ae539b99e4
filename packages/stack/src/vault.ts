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
 * Puts the webhook's target into the Vault under the names that the schema's trigger reads; writes only what differs.
 * Takes a connection URL of the role `postgres`. Throws when the database refuses.
 */
export async function putWebhookTarget(dbUrl: string, target: WebhookTarget): Promise<void> {
  await putSecrets(dbUrl, [
    ["launchpad_controller_url", target.controllerUrl, "Where the controller takes webhooks"],
    ["launchpad_webhook_secret", target.webhookSecret, "Signs the webhooks to the controller"],
  ]);
}

/** As putWebhookTarget, for the calls of the function `respond`. */
export async function putRespondTarget(dbUrl: string, target: RespondTarget): Promise<void> {
  await putSecrets(dbUrl, [
    ["launchpad_functions_url", target.functionsUrl, "Where edge functions are called"],
    ["launchpad_respond_secret", target.respondSecret, "Signs the calls of the function respond"],
  ]);
}

async function putSecrets(
  dbUrl: string,
  secrets: readonly [name: string, value: string, description: string][],
): Promise<void> {
  const client = new pg.Client({ connectionString: dbUrl, connectionTimeoutMillis: 5000 });
  await client.connect();
  try {
    for (const [name, value, description] of secrets) await putSecret(client, name, value, description);
  } finally {
    await client.end();
  }
}

async function putSecret(client: pg.Client, name: string, value: string, description: string): Promise<void> {
  const { rows } = await client.query<{ id: string; decrypted_secret: string }>(
    "select id, decrypted_secret from vault.decrypted_secrets where name = $1",
    [name],
  );
  const held = rows[0];
  if (held?.decrypted_secret === value) return;
  if (held) await client.query("select vault.update_secret($1, $2)", [held.id, value]);
  else await client.query("select vault.create_secret($1, $2, $3)", [value, name, description]);
}
