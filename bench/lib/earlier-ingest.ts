// How log lines were stored before ADR 0250: what today's ingestion is held against, in the same run.
import type pg from "pg";

/** The function, for calls over HTTP. */
export const EARLIER_INGEST = "bench_earlier_ingest";

/** Makes the function in the benchmark's own database, and has PostgREST read it. */
export async function createEarlierIngest(client: pg.Client): Promise<void> {
  await client.query(`
    create or replace function public.${EARLIER_INGEST}(rows jsonb) returns jsonb
    language plpgsql volatile security definer set search_path = '' as $$
    declare
      given integer := jsonb_array_length(rows);
      stored integer;
    begin
      insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, metadata, replica, sequence)
      select r."agentId", d.user_id, coalesce(r."timestamp", now()),
        case when upper(r.level) in ('DEBUG', 'INFO', 'WARN', 'ERROR') then upper(r.level) else 'INFO' end,
        left(coalesce(r.message, ''), 16384), left(coalesce(r.source, 'agent'), 100),
        private.within(coalesce(r.metadata, '{}'), 16384), left(r.replica, 100), r.sequence
      from jsonb_to_recordset(rows) as r ("agentId" text, replica text, sequence bigint, "timestamp" timestamptz,
        level text, message text, source text, metadata jsonb)
      join private.agent_deployments d on d.agent_id = r."agentId"
      on conflict (agent_id, replica, sequence) do nothing;
      get diagnostics stored = row_count;
      return jsonb_build_object('accepted', stored, 'duplicates', given - stored, 'unknown', 0);
    end
    $$;
    grant execute on function public.${EARLIER_INGEST}(jsonb) to service_role;
    notify pgrst, 'reload schema'`);
}
