-- Written by `npm run migration`: what supabase/schemas say beyond the migrations before.

set local lock_timeout = '10s';
set local statement_timeout = '5min';
set local search_path = 'pg_catalog';
set local check_function_bodies = 'off';

DROP VIEW "private"."agent_tables";

CREATE TYPE "private"."agent_in_list" AS ("agentId" text, "name" text, "status" text, "user_id" uuid, "platforms" text[], "supabase_integration" boolean, "createdAt" text, "url" text);

CREATE OR REPLACE FUNCTION private.email_digest(email text)
 RETURNS bytea
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return sha256(convert_to(lower(btrim(email)), 'UTF8'));
end
$function$;

CREATE OR REPLACE FUNCTION private.handle(verb text, args jsonb)
 RETURNS json
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  -- As auth.uid() reads it; a subject that is no user's id is nobody.
  subject text := coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub');
  caller uuid := case when pg_input_is_valid(subject, 'uuid') then subject::uuid end;
  admission private.admission := private.admit(verb, caller);
  headers jsonb;
  idempotency_key text;
  hash text;
  known private.idempotency_keys;
  body json;
  failure jsonb;
  failure_message text;
  -- Takes what is assigned rather than performed (see foundation).
  ignored text;
begin
  if admission.headers is null then
    headers := private.rate_headers(caller, admission.counts);
    body := private.refuse_admission(verb, args, caller, admission, headers);
    if body is not null then
      return body;
    end if;
    admission.headers := private.header_list(headers);
  end if;
  if admission.idempotent then
    idempotency_key := private.request_header('idempotency-key');
  end if;

  begin
    if idempotency_key is not null then
      if length(idempotency_key) not between 1 and 255 then
        perform private.raise_error('VALIDATION_ERROR', 'Invalid request header',
          '{"Idempotency-Key": "Must be 1 to 255 characters"}');
      end if;
      hash := encode(sha256(convert_to(verb || args::text, 'UTF8')), 'hex');
      -- A concurrent request with the same key waits here until the first one ends.
      insert into private.idempotency_keys (user_id, key, request_hash) values (caller, idempotency_key, hash)
        on conflict do nothing;
      if not found then
        select * into strict known from private.idempotency_keys k where k.user_id = caller and k.key = idempotency_key;
        if known.request_hash <> hash then
          perform private.raise_error('IDEMPOTENCY_CONFLICT',
            'This Idempotency-Key was used for a different request', null);
        end if;
        perform private.answer(known.status, private.header_object(admission.headers)
          || '{"Idempotency-Replayed": "true"}');
        return known.response;
      end if;
    end if;

    ignored := set_config('response.status', admission.status::text, true)
      || set_config('response.headers', admission.headers, true);
    execute format('select private.%I($1, $2)::json', 'verb_' || verb) into body using caller, args;
    if hash is not null then
      update private.idempotency_keys k set status = current_setting('response.status')::integer, response = body
        where k.user_id = caller and k.key = idempotency_key;
    end if;
    return body;
  exception
    when sqlstate 'PGRST' then
      get stacked diagnostics failure_message = message_text;
      failure := failure_message::jsonb;
    -- A value that a type or constraint refuses and no check named before: the caller's, not ours, and counted too.
    when data_exception or integrity_constraint_violation then
      failure := jsonb_build_object('code', 'VALIDATION_ERROR', 'message', 'Invalid request body',
        'details', jsonb_build_object('body', sqlerrm)::text);
  end;
  return private.refuse(failure ->> 'code', failure ->> 'message', (failure ->> 'details')::jsonb,
    private.header_object(admission.headers), verb, args);
end
$function$;

CREATE OR REPLACE FUNCTION private.supabase_integration(config jsonb DEFAULT NULL::jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
  select jsonb_build_object(
    'tables_created', bool_and(t.created),
    'rls_policies_applied', coalesce(bool_and(t.guarded), false),
    'real_time_enabled', coalesce((config -> 'real_time' ->> 'enabled')::boolean, true)
      and exists (select from pg_publication p where p.pubname = 'supabase_realtime' and (p.puballtables
        or exists (select from pg_publication_rel r where r.prpubid = p.oid
          and r.prrelid = to_regclass('public.agents')))))
  from private.agent_tables t
);
end
$function$;

CREATE OR REPLACE FUNCTION private.verb_list_agents(caller uuid, args jsonb)
 RETURNS json
 LANGUAGE plpgsql
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  most integer := coalesce((args ->> 'limit')::integer, 20);
  skip integer := coalesce((args ->> 'offset')::integer, 0);
  wanted_status text := lower(args ->> 'status');
  wanted_platform text := args ->> 'platform';
  last_seen text[];
  -- Where the page begins; without a cursor before every row.
  newest timestamptz := 'infinity';
  body json;
begin
  if not (most between 1 and 100 and skip between 0 and 1000000) or args ->> 'after' is not null then
    perform private.check_page(most, skip, args ->> 'after');
  end if;
  if wanted_status not in ('idle', 'thinking', 'responding', 'error', 'queued', 'deploying', 'deployed', 'scaling',
      'updating', 'restarting', 'sleeping', 'asleep', 'waking', 'stopping', 'stopped', 'failed', 'deleting') then
    perform private.raise_query_problems('{"status": "Must be a phase such as DEPLOYED, or an activity such as idle"}');
  end if;
  if args ->> 'after' is not null then
    last_seen := private.cursor_keys(args ->> 'after', private.list_binding('agents', caller,
      jsonb_build_array(wanted_status, wanted_platform)), '{timestamptz,text}');
    newest := last_seen[1];
  end if;
  select json_build_object(
      'agents', coalesce(p.agents, '[]'),
      'nextCursor', case when p.found > most then private.cursor_of(
        private.list_binding('agents', caller, jsonb_build_array(wanted_status, wanted_platform)),
        jsonb_build_array(private.moment_key(p.last_created_at), p.last_id)) end,
      'total', case when p.found <= most and skip = 0 and last_seen is null then p.found else (
        select count(*) from private.listed_agents x
        where x.user_id = caller and (wanted_platform is null or wanted_platform = any (x.platforms))
          and (wanted_status is null or x.status = wanted_status or x.phase = upper(wanted_status))) end,
      'limit', most, 'offset', skip, 'user_id', caller)
    into body
    from (
      select count(*) as found, json_agg(row(a.id, a.name, a.phase, caller, a.platforms,
          (select bool_and(t.created and t.guarded) from private.agent_tables t),
          to_char(a.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), a.url)::private.agent_in_list)
          filter (where a.place <= most) as agents,
        max(a.created_at) filter (where a.place = most) as last_created_at,
        max(a.id) filter (where a.place = most) as last_id
      from (
        select page.*, row_number() over () as place
        from (
          select * from private.listed_agents x
          where x.user_id = caller and x.created_at <= newest and (x.created_at < newest or x.id > last_seen[2])
            and (wanted_platform is null or wanted_platform = any (x.platforms))
            and (wanted_status is null or x.status = wanted_status or x.phase = upper(wanted_status))
          order by x.created_at desc, x.id limit most + 1 offset skip
        ) page
      ) a
    ) p;
  return body;
end
$function$;

CREATE VIEW "private"."agent_tables" AS  SELECT needed.name,
    (c.oid IS NOT NULL) AS created,
    (c.relrowsecurity AND (EXISTS ( SELECT
           FROM pg_policy p
          WHERE (p.polrelid = c.oid)))) AS guarded
   FROM (unnest(ARRAY['agents'::text, 'agent_conversations'::text, 'agent_metrics'::text, 'agent_logs'::text, 'agent_events'::text, 'agent_secrets'::text]) needed(name)
     LEFT JOIN pg_class c ON (((c.relname = needed.name) AND (c.relnamespace = ('public'::regnamespace)::oid) AND (c.relkind = ANY (ARRAY['r'::"char", 'p'::"char"])))));;

GRANT USAGE ON TYPE "private"."agent_in_list" TO "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "private"."agent_tables" TO "postgres";
