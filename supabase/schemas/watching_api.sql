-- The verbs that read: status, one agent, list, revisions (logs and metrics: watching).
-- POSTed, because a GET cannot count a request.

insert into private.verbs (name, permission, status, idempotent) values
  ('get_agent', 'agents:read', 200, false),
  ('get_agent_status', 'agents:read', 200, false),
  ('list_agents', 'agents:read', 200, false),
  ('list_agent_revisions', 'agents:read', 200, false);

-- 8132 → '2h 15m'; 42 → '42s'.
create function private.uptime_words(seconds double precision) returns text
language sql immutable set search_path = ''
return case
  when seconds is null then null
  when seconds < 60 then format('%ss', floor(greatest(seconds, 0)))
  when seconds < 3600 then format('%sm %ss', floor(seconds / 60), floor(seconds)::bigint % 60)
  when seconds < 86400 then format('%sh %sm', floor(seconds / 3600), floor(seconds / 60)::bigint % 60)
  else format('%sd %sh', floor(seconds / 86400), floor(seconds / 3600)::bigint % 24)
end;

-- GET /api/agents/{id}/status.
create function private.verb_get_agent_status(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  wanted text := args ->> 'agent_id';
  a public.agents;
  d private.agent_deployments;
  kubernetes text;
  application text;
  integration jsonb;
  hindered boolean;
begin
  select * into a from public.agents x where x.id = wanted and x.user_id = caller;
  select * into d from private.agent_deployments x where x.agent_id = wanted and x.user_id = caller
    and x.phase <> 'DELETED';
  if a.id is null and d.agent_id is null then
    perform private.own_agent(caller, wanted);
  end if;
  integration := private.supabase_integration(a.supabase_config);
  hindered := d.generation > d.observed_generation and d.last_error is not null;
  kubernetes := case
    when d.agent_id is null or d.desired <> 'running' or (d.observed_generation = 0 and d.ready_replicas = 0)
      then 'UNKNOWN'
    when d.phase = 'FAILED' and d.ready_replicas = 0 then 'UNHEALTHY'
    -- What was seen is told only while the controller that saw it still looks.
    when not exists (select from private.controllers c where c.worker = d.lease_holder and c.expires_at > now())
      then 'UNKNOWN'
    when d.ready_replicas >= d.target_replicas then 'HEALTHY'
    when d.ready_replicas > 0 then 'DEGRADED'
    else 'UNHEALTHY' end;
  application := case when kubernetes = 'UNKNOWN' or (d.target_replicas = 0 and d.ready_replicas = 0) then 'UNKNOWN'
    when d.ready_replicas = 0 then 'UNHEALTHY' else coalesce(d.application ->> 'status', 'UNKNOWN') end;
  return jsonb_build_object(
    'agentId', wanted, 'name', coalesce(a.name, wanted), 'status', coalesce(d.phase, upper(a.status)),
    'activity', case
      when a.status in ('thinking', 'responding', 'error') then a.status
      when d.phase = 'DEPLOYED' and private.last_answer_failed(a) then 'error'
      else 'idle' end,
    'user_id', caller, 'visibility', coalesce(a.visibility, 'private'), 'url', d.url,
    -- Two ways to one door; the path is there where a gateway of the stack serves it.
    'addresses', jsonb_build_object('host', d.url, 'path', case when d.url is not null then (
      select replace(c.report ->> 'agentPathTemplate', '{agentId}', wanted) from private.controllers c
      order by (c.worker = d.lease_holder) desc nulls last, c.heartbeat_at desc limit 1) end),
    -- What hinders the controller before it has anything to report: it tries again by itself.
    'reason', coalesce(d.reason, case when hindered then 'RETRYING' end),
    'message', coalesce(d.message, case when hindered then d.last_error end),
    'conditions', coalesce(d.conditions, '[]') || private.model_conditions(a) || private.plugin_conditions(a)
      || private.plugin_rule_conditions(a, d.revision),
    'platforms', private.platform_states(a),
    'sleep', private.sleep_state(a, d),
    'generation', d.generation, 'observedGeneration', d.observed_generation, 'revision', d.revision,
    'health', jsonb_build_object(
      'overall', case
        when 'UNHEALTHY' in (kubernetes, application) then 'UNHEALTHY'
        when 'DEGRADED' in (kubernetes, application) or d.phase = 'FAILED' then 'DEGRADED'
        when 'UNKNOWN' in (kubernetes, application) then 'UNKNOWN'
        else 'HEALTHY' end,
      'kubernetes', jsonb_build_object('status', kubernetes, 'replicas', coalesce(d.current_replicas, 0),
        'readyReplicas', coalesce(d.ready_replicas, 0), 'targetReplicas', coalesce(d.target_replicas, 0)),
      'application', jsonb_build_object('status', application,
        'uptime', case when d.ready_replicas > 0 then
          private.uptime_words(extract(epoch from now() - (d.application ->> 'startedAt')::timestamptz)) end,
        'responseTime', case when d.ready_replicas > 0
          then round((d.application ->> 'responseTimeMs')::numeric) || 'ms' end),
      'supabase', jsonb_build_object(
        -- This very query ran on the database.
        'connection', case when (integration ->> 'tables_created')::boolean then 'HEALTHY' else 'DEGRADED' end,
        'real_time_active', integration -> 'real_time_enabled',
        'rls_policies', case when (integration ->> 'rls_policies_applied')::boolean then 'ACTIVE' else 'INACTIVE' end)),
    'supabase_config', jsonb_build_object('project_ref', a.supabase_config -> 'project_ref',
      'tables', '{"conversations": "agent_conversations", "metrics": "agent_metrics", "logs": "agent_logs"}'::jsonb),
    'deployedAt', private.iso(a.deployed_at), 'lastUpdated', private.iso(greatest(a.updated_at, d.updated_at)));
end
$$;

-- GET /api/agents/{id}: the whole definition; secrets by name alone.
create function private.verb_get_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  a public.agents;
  d private.agent_deployments;
begin
  select * into a from public.agents x where x.id = args ->> 'agent_id' and x.user_id = caller;
  if not found then
    perform private.own_agent(caller, args ->> 'agent_id');
  end if;
  select * into d from private.agent_deployments x where x.agent_id = a.id;
  return private.as_definition(to_jsonb(a)) - 'agentName' || jsonb_build_object('agentId', a.id, 'name', a.name,
    'status', coalesce(d.phase, upper(a.status)), 'user_id', a.user_id, 'url', d.url,
    'environment', (select coalesce(jsonb_agg(s.name order by s.name), '[]') from public.agent_secrets s
      where s.agent_id = a.id),
    'generation', d.generation, 'revision', d.revision, 'createdAt', private.iso(a.created_at),
    'updatedAt', private.iso(a.updated_at), 'deployedAt', private.iso(a.deployed_at));
end
$$;

-- Agents with the phase that lists show. Of a deployed one agents.status holds it, except where it answers: then the
-- activity covers it (private.status_of). Of a definition it is the activity.
create view private.listed_agents as
  select a.id, a.user_id, a.name, a.status, a.platforms, a.url, a.created_at,
    case when a.status in ('thinking', 'responding')
      then coalesce((select d.phase from private.agent_deployments d where d.agent_id = a.id), upper(a.status))
      else upper(a.status) end as phase
  from public.agents a;

-- One agent as a list shows it. Rows of a type become JSON in 0.7 of the time of json_build_object.
create type private.agent_in_list as ("agentId" text, name text, status text, user_id uuid, platforms text[],
  supabase_integration boolean, "createdAt" text, url text);

-- GET /api/agents, newest first: the request that comes most. One statement for a page that holds all there are; a full
-- one asks once more whether it is the last, and agents are counted only where the page does not hold them all.
create function private.verb_list_agents(caller uuid, args jsonb) returns json
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
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
$$;

-- GET /api/agents/{id}/revisions, newest first.
create function private.verb_list_agent_revisions(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  most integer := coalesce((args ->> 'limit')::integer, 20);
  skip integer := coalesce((args ->> 'offset')::integer, 0);
  binding text := private.list_binding('revisions', caller, jsonb_build_array(a.id));
  before integer;
  page jsonb;
begin
  perform private.check_page(most, skip, args ->> 'after');
  before := coalesce((private.cursor_keys(args ->> 'after', binding, '{integer}'))[1]::integer, 2147483647);
  select private.page('revisions',
      jsonb_agg(jsonb_build_object('revision', r.revision, 'reason', r.reason, 'createdBy', r.created_by,
        'createdAt', private.iso(r.created_at), 'current', r.revision = d.revision, 'spec', r.spec)
          order by r.revision desc),
      jsonb_agg(jsonb_build_array(r.revision) order by r.revision desc), most, binding)
    into page
    from (
      select * from public.agent_revisions x where x.agent_id = a.id and x.revision < before
      order by x.revision desc limit most + 1 offset skip) r
    left join private.agent_deployments d on d.agent_id = r.agent_id;
  return page || jsonb_build_object('agentId', a.id, 'user_id', caller,
    'total', (select count(*) from public.agent_revisions x where x.agent_id = a.id), 'limit', most, 'offset', skip);
end
$$;

-- Agents whose telemetry the caller may read: own ones, and own ones that are gone but not yet past retention.
create function private.own_telemetry(caller uuid, wanted text) returns text
language plpgsql volatile set search_path = '' as $$
begin
  if not exists (select from public.agents a where a.id = wanted and a.user_id = caller)
     and not exists (select from private.agent_deployments d where d.agent_id = wanted and d.user_id = caller) then
    perform private.own_agent(caller, wanted);
  end if;
  return wanted;
end
$$;

-- What a user takes of Supabase right now, from the server's own statistics.
create function private.supabase_usage(caller uuid) returns jsonb
language plpgsql volatile set search_path = '' as $$
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
$$;

create function public.get_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('get_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.get_agent_status(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('get_agent_status', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.list_agents("limit" integer default 20, "offset" integer default 0, status text default null,
  platform text default null, "after" text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('list_agents', jsonb_build_object('limit', "limit", 'offset', "offset", 'status', status,
    'platform', platform, 'after', "after"));
end $$;
create function public.list_agent_revisions(agent_id text, "limit" integer default 20, "offset" integer default 0,
  "after" text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('list_agent_revisions', jsonb_build_object('agent_id', agent_id, 'limit', "limit",
    'offset', "offset",
    'after', "after"));
end $$;
revoke execute on function public.get_agent(text), public.get_agent_status(text),
  public.list_agents(integer, integer, text, text, text),
  public.list_agent_revisions(text, integer, integer, text) from public, anon, service_role;
grant execute on function public.get_agent(text), public.get_agent_status(text),
  public.list_agents(integer, integer, text, text, text),
  public.list_agent_revisions(text, integer, integer, text) to authenticated;
comment on function public.get_agent(text) is 'One agent''s definition; secrets by name alone.';
comment on function public.get_agent_status(text) is 'Phase, health and replicas of an agent.';
comment on function public.list_agents(integer, integer, text, text, text) is 'The caller''s agents, newest first.';
comment on function public.list_agent_revisions(text, integer, integer, text) is
  'Every configuration an agent ran with.';
