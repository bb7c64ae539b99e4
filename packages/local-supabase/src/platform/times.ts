/** A time as Postgres writes it, under a key that names a time. Inside a string the quotes would be escaped. */
const POSTGRES_TIME = /"([a-z_]+_at)":"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)\+00"/g;

/**
 * Hosted Auth writes times as RFC 3339 has them, lite as Postgres does (`2026-01-15 10:30:00.5+00`); clients that read
 * times strictly, such as supabase-py, take only the former.
 */
export async function withRfcTimes(response: Response): Promise<Response> {
  if (response.headers.get("content-type")?.startsWith("application/json") !== true) return response;
  const text = (await response.text()).replace(POSTGRES_TIME, '"$1":"$2T$3Z"');
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return new Response(text, { status: response.status, statusText: response.statusText, headers });
}
