-- Written by `npm run migration`: what supabase/schemas say beyond the migrations before.

set local lock_timeout = '10s';
set local statement_timeout = '5min';
set local search_path = 'pg_catalog';
set local check_function_bodies = 'off';

DROP VIEW "private"."listed_agents";

DROP FUNCTION "private"."supabase_integration"(jsonb);

CREATE UNLOGGED TABLE "private"."api_counters" ("user_id" uuid NOT NULL, "api_starts" timestamp with time zone, "api_used" integer NOT NULL, "burst_starts" timestamp with time zone, "burst_used" integer NOT NULL, CONSTRAINT "api_counters_pkey" PRIMARY KEY (user_id));

ALTER TABLE "private"."api_counters" ENABLE ROW LEVEL SECURITY;

ALTER TABLE "private"."api_counters" SET (fillfactor=50);

CREATE OR REPLACE FUNCTION private.admit(verb text, caller uuid)
 RETURNS private.admission
 LANGUAGE plpgsql
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  admission private.admission;
  asked record;
  used private.api_counters;
begin
  select v.permission, v.status, v.idempotent, coalesce(u.state, 'absent') as state, u.banned_until,
      v.permission is null or exists (
        select from public.user_permissions p where p.user_id = u.id and p.permission = v.permission
          and (jsonb_typeof(u.raw_user_meta_data -> 'permissions') is distinct from 'array'
            or u.raw_user_meta_data -> 'permissions' ? p.permission)) as permitted,
      l.api, l.burst, l.rest, l.auth, l.api_seconds, l.burst_seconds,
      date_bin(make_interval(secs => l.api_seconds), now(), 'epoch') as api_starts,
      date_bin(make_interval(secs => l.burst_seconds), now(), 'epoch') as burst_starts,
      (select x.used from private.rate_counters x where x.user_id = u.id and x.bucket = 'rest_writes'
        and x.window_start = date_bin(make_interval(secs => l.rest_seconds), now(), 'epoch')) as rest_used,
      coalesce(
        (select x.used from private.auth_counters x
         where x.email_digest = sha256(convert_to(lower(btrim(u.email)), 'UTF8'))
           and x.window_start = date_bin(make_interval(secs => l.auth_seconds), now(), 'epoch')),
        (select count(*) from auth.sessions x where x.user_id = u.id and x.created_at > now() - interval '1 hour'))
        as auth_used
    into strict asked
    from private.verbs v left join private.accounts u on u.id = caller cross join (
      select max(r.max_requests) filter (where r.bucket = 'api') as api,
        max(r.window_seconds) filter (where r.bucket = 'api') as api_seconds,
        max(r.max_requests) filter (where r.bucket = 'api_burst') as burst,
        max(r.window_seconds) filter (where r.bucket = 'api_burst') as burst_seconds,
        max(r.max_requests) filter (where r.bucket = 'rest_writes') as rest,
        max(r.window_seconds) filter (where r.bucket = 'rest_writes') as rest_seconds,
        max(r.max_requests) filter (where r.bucket = 'auth') as auth,
        max(r.window_seconds) filter (where r.bucket = 'auth') as auth_seconds
      from public.rate_limits r) l
    where v.name = verb;
  admission.permission := asked.permission;
  admission.status := asked.status;
  admission.idempotent := asked.idempotent;
  admission.state := asked.state;
  admission.banned_until := asked.banned_until;
  admission.permitted := asked.permitted;
  if asked.state = 'active' then
    insert into private.api_counters as c (user_id, api_starts, api_used, burst_starts, burst_used)
      values (caller, asked.api_starts, 1, asked.burst_starts, 1)
      on conflict on constraint api_counters_pkey do update set
        api_used = case when c.api_starts = excluded.api_starts then c.api_used + 1 else 1 end,
        api_starts = excluded.api_starts,
        burst_used = case when c.burst_starts = excluded.burst_starts then c.burst_used + 1 else 1 end,
        burst_starts = excluded.burst_starts
      returning * into used;
  end if;
  if asked.permitted and used.api_used <= asked.api and used.burst_used <= asked.burst and asked.rest is not null then
    admission.headers := format('[{"X-RateLimit-Limit": "%s"}, {"X-RateLimit-Reset": "%s"}, '
        '{"X-RateLimit-Remaining": "%s"}, {"Supabase-Auth-Rate-Limit": "%s"}, {"Supabase-RateLimit-Remaining": "%s"}]',
      asked.api, date_part('epoch', asked.api_starts)::bigint + asked.api_seconds, asked.api - used.api_used,
      greatest(0, asked.auth - asked.auth_used), greatest(0, asked.rest - coalesce(asked.rest_used, 0)));
  else
    admission.counts := private.counted_api(used, asked.api, asked.api_seconds, asked.burst, asked.burst_seconds);
  end if;
  return admission;
end
$function$;

CREATE OR REPLACE FUNCTION private.agent_tables_are_sound()
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  until text := current_setting('launchpad.agent_tables_sound_until', true);
  sound boolean := until > '' and until::double precision > date_part('epoch', now());
  -- Takes what is assigned rather than performed (see foundation).
  ignored text;
begin
  if sound is not true then
    sound := (select bool_and(t.created and t.guarded) from private.agent_tables t);
    ignored := set_config('launchpad.agent_tables_sound_until',
      case when sound then (date_part('epoch', now()) + 10)::text else '' end, false);
  end if;
  return sound;
end
$function$;

CREATE OR REPLACE FUNCTION private.blank_agent(caller uuid)
 RETURNS public.agents
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
    declare
      a public.agents := jsonb_populate_record(null::public.agents, '{"idle": null, "name": null, "role": null, "model": null, "avatar": null, "plugins": [], "replicas": 1, "settings": {}, "character": null, "framework": "openai", "platforms": [], "resources": {"cpu": "250m", "memory": "512Mi"}, "visibility": "private", "description": null, "system_prompt": null, "scaling_policy": null, "supabase_config": null, "max_tokens_per_day": null}');
    begin
      a.id := 'agent-' || private.random_base32(12);
      a.user_id := caller;
      a.status := 'idle';
      a.created_at := now();
      a.updated_at := now();
      return a;
    end $function$;

CREATE OR REPLACE FUNCTION private.counted_api(used private.api_counters, api integer, api_seconds integer, burst integer, burst_seconds integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select coalesce(jsonb_object_agg(x.bucket, jsonb_build_object('limit', x.most, 'remaining', x.most - x.used,
      'reset', extract(epoch from x.starts)::bigint + x.seconds)), '{}')
    from (values ('api', api, used.api_used, used.api_starts, api_seconds),
      ('api_burst', burst, used.burst_used, used.burst_starts, burst_seconds)) as x (bucket, most, used,
        starts, seconds)
    where x.most is not null and x.used is not null);
end
$function$;

CREATE OR REPLACE FUNCTION private.definition_shape(launching boolean)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
    begin
      return case when launching then '{"idle": "object", "role": "string", "model": "string", "avatar": "string", "plugins": "strings", "settings": "object", "agentName": "string 1 100!", "character": "object", "framework": "string", "platforms": "strings", "resources": {"cpu": "quantity", "memory": "quantity", "replicas": "integer 1 100"}, "visibility": "one private public", "description": "string", "environment": "object", "system_prompt": "string", "scaling_policy": "object", "maxTokensPerDay": "integer 0 999999999", "supabase_config": "object"}'::jsonb else '{"idle": "object", "role": "string", "model": "string", "avatar": "string", "plugins": "strings", "settings": "object", "agentName": "string 1 100", "character": "object", "framework": "string", "platforms": "strings", "resources": {"cpu": "quantity", "memory": "quantity", "replicas": "integer 0 100"}, "visibility": "one private public", "description": "string", "environment": "object", "system_prompt": "string", "scaling_policy": "object", "maxTokensPerDay": "integer 0 999999999", "supabase_config": "object"}'::jsonb end;
    end $function$;

CREATE OR REPLACE FUNCTION private.delete_expired(batch integer DEFAULT 5000, batches integer DEFAULT 10)
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  oldest timestamptz := now() - make_interval(days => private.retention_days());
  deleted bigint := 0;
  n bigint;
begin
  for i in 1 .. batches loop
    delete from public.agent_logs where ctid = any (array(
      select l.ctid from public.agent_logs l where l."timestamp" < oldest limit batch));
    get diagnostics n = row_count;
    deleted := deleted + n;
    exit when n < batch;
  end loop;
  for i in 1 .. batches loop
    delete from public.agent_metrics where ctid = any (array(
      select m.ctid from public.agent_metrics m where m."timestamp" < oldest limit batch));
    get diagnostics n = row_count;
    deleted := deleted + n;
    exit when n < batch;
  end loop;
  delete from public.agent_metrics_minute where ctid = any (array(
    select m.ctid from public.agent_metrics_minute m
    where m."timestamp" < now() - make_interval(days => private.retention_days('minute_rollups')) limit batch));
  delete from public.agent_metrics_hour where ctid = any (array(
    select m.ctid from public.agent_metrics_hour m
    where m."timestamp" < now() - make_interval(days => private.retention_days('hour_rollups')) limit batch));
  for i in 1 .. batches loop
    delete from public.answer_steps where ctid = any (array(
      select s.ctid from public.answer_steps s where s.started_at < oldest limit batch));
    get diagnostics n = row_count;
    deleted := deleted + n;
    exit when n < batch;
  end loop;
  delete from private.agent_deployments d where d.removed_at < oldest;
  delete from private.idempotency_keys k where k.created_at < now() - interval '1 day';
  delete from private.controllers c where c.expires_at < now() - interval '1 day';
  delete from private.rate_counters c where c.window_start < now() - interval '1 day';
  delete from private.api_counters c where greatest(c.api_starts, c.burst_starts) < now() - interval '1 day';
  return deleted;
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
    -- A call by name is parsed and planned each time: a thirtieth of a list.
    if verb = 'list_agents' then
      body := private.verb_list_agents(caller, args);
    else
      execute format('select private.%I($1, $2)::json', 'verb_' || verb) into body using caller, args;
    end if;
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

CREATE OR REPLACE FUNCTION private.pre_request()
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  path text := current_setting('request.path', true);
  method text := current_setting('request.method', true);
  caller uuid;
  permissions text[];
  needed text;
  bucket jsonb;
begin
  if current_setting('role', true) in ('anon', 'authenticated') then
    -- Seldom: most requests carry neither word in any header.
    if current_setting('request.headers', true) ~* 'planned|estimated|vnd\.pgrst\.plan' then
      perform private.judge_preferences();
    end if;
    -- PostgREST decodes names, this function compares them as they came. No name here needs an escape.
    if path like '%\%%' then
      perform private.raise_error('VALIDATION_ERROR', 'The path must not be percent-encoded',
        jsonb_build_object('path', 'Write the name of the table or function as it is'));
    end if;
  end if;
  if path is null or current_setting('role', true) is distinct from 'authenticated' then
    return;
  end if;
  -- Verbs judge and count their caller themselves (private.handle), so that a refusal is recorded.
  -- By the name of its function: a look into private.verbs would be a statement.
  if starts_with(path, '/rpc/')
     and to_regprocedure(format('private.%I(uuid, jsonb)', 'verb_' || substr(path, 6))) is not null then
    return;
  end if;
  caller := auth.uid();
  if caller is null then
    return;
  end if;
  perform private.require_active(caller);
  -- What is no verb counts as a direct query: tables, GraphQL (one RPC that reads and writes tables), health_check and
  -- check_rls_policies.
  permissions := private.effective_permissions(caller);
  perform set_config('launchpad.permissions', caller || ' ' || array_to_string(permissions, ' '), true);
  -- From the next statement on, for this request alone. A slow read keeps others waiting; RPCs
  -- and writes have the role's 8 s.
  if method in ('GET', 'HEAD') or path = '/rpc/graphql' then
    perform set_config('statement_timeout', '3s', true);
  end if;
  if method in ('GET', 'HEAD') then
    needed := private.read_permission(ltrim(path, '/'));
    if needed is not null and not needed = any (permissions) then
      perform private.raise_error('PERMISSION_DENIED', 'This needs the permission ' || needed,
        jsonb_build_object('required', needed));
    end if;
  -- PostgREST runs a POST to a stable function read only. None of those is for users: the privilege refuses them.
  elsif method in ('POST', 'PUT', 'PATCH', 'DELETE') and not current_setting('transaction_read_only')::boolean then
    bucket := private.count_request(caller, array['rest_writes']) -> 'rest_writes';
    if (bucket ->> 'remaining')::bigint < 0 then
      perform private.raise_error('RATE_LIMIT_EXCEEDED', 'Rate limit exceeded', jsonb_build_object(
          'limit_type', 'supabase_queries', 'limit', bucket -> 'limit', 'user_id', caller,
          'reset_time', private.iso(to_timestamp((bucket ->> 'reset')::bigint))),
        private.bucket_headers(bucket) || jsonb_build_object('Retry-After',
          greatest(1, (bucket ->> 'reset')::bigint - extract(epoch from now())::bigint)::text));
    end if;
    perform set_config('response.headers',
      (select jsonb_agg(jsonb_build_object(h.key, h.value)) from jsonb_each(private.bucket_headers(bucket)) h)::text,
        true);
  end if;
end
$function$;

CREATE OR REPLACE FUNCTION private.quantity(value text)
 RETURNS numeric
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  suffix text := ltrim(value, '0123456789');
  parts text[];
begin
  -- As nearly all are written: a launch asks for twelve, and the expression below takes eight times as long.
  if suffix in ('Mi', 'Gi', 'm') and length(value) - length(suffix) between 1 and 20 then
    return left(value, -length(suffix))::numeric
      * case suffix when 'Mi' then 1048576 when 'Gi' then 1073741824 else 0.001 end;
  end if;
  parts := regexp_match(value,
    '^([0-9]{1,20}\.?[0-9]{0,9}|\.[0-9]{1,9})([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$');
  suffix := coalesce(parts[2], '');
  return parts[1]::numeric * case
    when suffix = '' then 1
    when suffix ~ '^[eE][-+0-9]' then power(10::numeric, substring(suffix from 2)::integer)
    when suffix ~ 'i$' then power(1024::numeric, position(left(suffix, 1) in 'KMGTPE'))
    when suffix in ('n', 'u', 'm') then power(1000::numeric, position(suffix in 'mun') * -1)
    else power(1000::numeric, position(suffix in 'kMGTPE'))
  end;
end
$function$;

CREATE OR REPLACE FUNCTION private.supabase_integration(config jsonb, sound boolean DEFAULT false)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  created boolean := sound;
  guarded boolean := sound;
begin
  if sound is not true then
    select bool_and(t.created), coalesce(bool_and(t.guarded), false) into created, guarded from private.agent_tables t;
  end if;
  return jsonb_build_object('tables_created', created, 'rls_policies_applied', guarded, 'real_time_enabled',
    coalesce((config -> 'real_time' ->> 'enabled')::boolean, true) and private.is_published('public.agents'));
end
$function$;

CREATE OR REPLACE FUNCTION private.supabase_usage(caller uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  subscriptions bigint;
begin
  -- Absent where Realtime has not made its tables.
  if to_regclass('realtime.subscription') is not null then
    execute 'select count(*) from realtime.subscription s where s.claims ->> ''sub'' = $1' into subscriptions
      using caller::text;
  end if;
  return jsonb_build_object(
    'database_connections', (select count(*) from pg_stat_activity a where a.datname = current_database()),
    'real_time_subscriptions', subscriptions,
    'rls_queries_per_minute', (select coalesce(sum(c.used), 0) from (
        select r.bucket, r.window_start, r.used from private.rate_counters r where r.user_id = caller
        union all select x.bucket, x.starts, x.used from private.api_counters r, lateral (values
          ('api', r.api_starts, r.api_used), ('api_burst', r.burst_starts, r.burst_used)) as x (bucket, starts, used)
        where r.user_id = caller) c
      join public.rate_limits l using (bucket)
      where l.window_seconds = 60 and c.window_start > now() - interval '60 seconds'),
    'auth_requests_per_hour', private.auth_requests_last_hour(caller));
end
$function$;

CREATE OR REPLACE FUNCTION private.tg_agent_fields__follow()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  written text;
  running text;
  frozen text;
  shapes jsonb[] := '{}';
  shape jsonb;
  launching boolean;
  each_field private.agent_fields;
begin
  select string_agg(quote_ident(f.name), ', ' order by f.name),
      string_agg(quote_ident(f.name), ', ' order by f.name) filter (where f.effect in ('revision', 'scale')),
      string_agg(format('%L, a.%I', f.spec, f.name), ', ' order by f.name) filter (where f.spec is not null)
    into written, running, frozen from private.agent_fields f;
  if written is null then
    return null;
  end if;
  execute format('grant insert (%1$s), update (%1$s) on public.agents to authenticated', written);
  execute format('create or replace trigger _200_validate before insert or update of %s on public.agents
    for each row execute function private.tg_agents__validate()', written);
  execute format('create or replace trigger _500_request_change after update of %s on public.agents
    for each row when (new.deleted_at is null
      and new.id is distinct from current_setting(''launchpad.written_by_verb'', true))
    execute function private.tg_agents__request_change()', running);
  -- The configuration of an agent that a revision freezes.
  execute format($made$create or replace function private.agent_spec(a public.agents) returns jsonb
    language plpgsql stable set search_path = '' as $body$
    begin
      return jsonb_build_object(%s) || jsonb_build_object(
        'resources', a.resources || jsonb_build_object(
          'memoryBytes', private.run_memory_bytes(a.resources, a.plugins),
          'cpuMillicores', private.cpu_millicores(a.resources ->> 'cpu')),
        'secretVersions', (select coalesce(jsonb_object_agg(s.name, s.version), '{}')
          from public.agent_secrets s where s.agent_id = a.id));
    end $body$ $made$, frozen);
  -- Writes every field of an agent for a verb, and whether it is deleted; returns the row as it is then. While it
  -- writes, launchpad.written_by_verb names the agent: triggers that follow a direct write leave that to the verb.
  execute format($made$create or replace function private.write_agent(a public.agents) returns public.agents
    language plpgsql volatile set search_path = '' as $body$
    begin
      perform set_config('launchpad.written_by_verb', a.id, true);
      update public.agents x set %s, deleted_at = a.deleted_at where x.id = a.id returning x.* into a;
      perform set_config('launchpad.written_by_verb', '', true);
      return a;
    end $body$ $made$, (select string_agg(format('%1$I = a.%1$I', f.name), ', ' order by f.name)
      from private.agent_fields f));
  -- What a definition may say, as private.shape_problems reads it; at a launch, and later. A
  -- field comes before its parts.
  foreach launching in array '{true,false}'::boolean[] loop
    shape := '{"environment": "object"}';
    for each_field in select * from private.agent_fields x order by x.field loop
      shape := jsonb_set(shape, string_to_array(each_field.field, '.'),
        case when launching then coalesce(each_field.at_launch, each_field.takes) else each_field.takes end);
    end loop;
    shapes := shapes || shape;
  end loop;
  execute format($made$create or replace function private.definition_shape(launching boolean) returns jsonb
    language plpgsql immutable set search_path = '' as $body$
    begin
      return case when launching then %L::jsonb else %L::jsonb end;
    end $body$ $made$, shapes[1], shapes[2]);
  -- A new agent of this caller, before anything is said of it.
  execute format($made$create or replace function private.blank_agent(caller uuid) returns public.agents
    language plpgsql volatile set search_path = '' as $body$
    declare
      a public.agents := jsonb_populate_record(null::public.agents, %L);
    begin
      a.id := 'agent-' || private.random_base32(12);
      a.user_id := caller;
      a.status := 'idle';
      a.created_at := now();
      a.updated_at := now();
      return a;
    end $body$ $made$, (select jsonb_object_agg(x.name, x.empty) from private.agent_fields x));
  return null;
end
$function$;

CREATE OR REPLACE FUNCTION private.verb_launch_agent(caller uuid, args jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  definition jsonb := private.with_character(coalesce(args -> 'definition', 'null'));
  a public.agents;
  environment jsonb := coalesce(nullif(definition -> 'environment', 'null'), '{}');
  -- Takes what is assigned rather than performed (see foundation).
  ignored text;
begin
  if private.is_bare_character(definition) then
    perform private.raise_error('VALIDATION_ERROR', 'Invalid request body', jsonb_build_object('body',
      'This is a character file: send it as {"agentName": "…", "character": …}'));
  end if;
  a := private.check_definition(private.blank_agent(caller), definition, true);
  if definition -> 'resources' ->> 'memory' is null then
    a.resources := a.resources || jsonb_build_object('memory', private.default_resources(a.plugins) -> 'memory');
  end if;
  if a.replicas = 0 then
    perform private.raise_problems('{"resources.replicas": "Must be at least 1 to launch"}');
  end if;
  a.status := 'queued';
  ignored := set_config('launchpad.written_by_verb', a.id, true);
  insert into public.agents select a.* returning * into a;
  ignored := set_config('launchpad.written_by_verb', '', true);
  if environment <> '{}' then
    perform private.apply_environment(a.id, caller, environment);
  end if;
  ignored := private.begin_deployment(a, 'user:' || caller);
  return jsonb_build_object('agentId', a.id, 'status', 'QUEUED', 'user_id', caller,
    'createdAt', private.iso(a.created_at),
    'estimatedDeployTime', private.estimated_deploy_time(), 'supabase_integration',
      private.supabase_integration(a.supabase_config, private.agent_tables_are_sound()),
    'warnings', private.definition_warnings(a, args -> 'definition'));
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
  sound boolean := private.agent_tables_are_sound();
  found_rows integer;
  agents json;
  last_created_at timestamptz;
  last_id text;
  further boolean := false;
  total bigint;
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
  -- The rows come in the order of the inner query.
  select count(*), json_agg(row(a.id, a.name, a.phase, caller, a.platforms, sound,
        to_char(a.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), a.url)::private.agent_in_list),
      min(a.created_at), (array_agg(a.id))[most]
    into found_rows, agents, last_created_at, last_id
    from (
      select * from private.listed_agents x
      where x.user_id = caller and x.created_at <= newest and (x.created_at < newest or x.id > last_seen[2])
        and (wanted_platform is null or wanted_platform = any (x.platforms))
        and (wanted_status is null or x.status = wanted_status or x.phase = upper(wanted_status))
      order by x.created_at desc, x.id limit most offset skip
    ) a;
  if found_rows = most then
    further := exists (
      select from private.listed_agents x
      where x.user_id = caller and x.created_at <= last_created_at
        and (x.created_at < last_created_at or x.id > last_id)
        and (wanted_platform is null or wanted_platform = any (x.platforms))
        and (wanted_status is null or x.status = wanted_status or x.phase = upper(wanted_status)));
  end if;
  if further or skip > 0 or last_seen is not null then
    total := (
      select count(*) from private.listed_agents x
      where x.user_id = caller and (wanted_platform is null or wanted_platform = any (x.platforms))
        and (wanted_status is null or x.status = wanted_status or x.phase = upper(wanted_status)));
  else
    total := found_rows;
  end if;
  return json_build_object(
    'agents', coalesce(agents, '[]'),
    'nextCursor', case when further then private.cursor_of(
      private.list_binding('agents', caller, jsonb_build_array(wanted_status, wanted_platform)),
      jsonb_build_array(private.moment_key(last_created_at), last_id)) end,
    'total', total, 'limit', most, 'offset', skip, 'user_id', caller);
end
$function$;

CREATE VIEW "private"."listed_agents" AS  SELECT id,
    user_id,
    name,
    status,
    platforms,
    url,
    created_at,
        CASE
            WHEN (status = ANY (ARRAY['thinking'::text, 'responding'::text])) THEN COALESCE(( SELECT d.phase
               FROM private.agent_deployments d
              WHERE (d.agent_id = a.id)), upper(status))
            ELSE upper(status)
        END AS phase
   FROM public.agents a;;

COMMENT ON FUNCTION "private"."blank_agent"(uuid) IS 'A new agent before anything is said of it.';

COMMENT ON FUNCTION "private"."definition_shape"(boolean) IS 'What a definition may say, at a launch or later.';

COMMENT ON TABLE "private"."api_counters" IS 'Requests to /api in the current windows of api and api_burst; one row per user.';

COMMENT ON TABLE "private"."rate_counters" IS 'Direct requests used in the current window; one row per user and bucket.';

REVOKE ALL ON FUNCTION "private"."agent_tables_are_sound"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."agent_tables_are_sound"() TO "postgres";

REVOKE ALL ON FUNCTION "private"."counted_api"(private.api_counters, integer, integer, integer, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."counted_api"(private.api_counters, integer, integer, integer, integer) TO "postgres";

REVOKE ALL ON FUNCTION "private"."supabase_integration"(jsonb, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."supabase_integration"(jsonb, boolean) TO "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "private"."api_counters" TO "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "private"."listed_agents" TO "postgres";

-- Lists read the phase of a deployed agent from its status alone. An activity that an earlier build left there is none.
update public.agents a set status = lower(d.phase)
from private.agent_deployments d
where d.agent_id = a.id and d.phase <> 'DELETED' and a.status in ('idle', 'error');
