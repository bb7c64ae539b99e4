-- Health and system figures. Each is computed when asked: from the catalogue, the statistics, the tables of the
-- platform, and the heartbeats of what runs beside the database. A component nobody can see is UNKNOWN, never HEALTHY.

-- The one place of the API's version; `_shared/contract/version.ts` repeats it and a test compares them.
create function private.version() returns text
language sql immutable parallel safe set search_path = ''
return '1.0.0';

-- Parts of the platform that a supervisor vouches for (the embedded stack does, every few seconds). Hosted Supabase has
-- no such voice in the database: there a part is judged by the connections it holds.
create table private.platform_parts (
  part text primary key,
  status text not null,
  report jsonb not null default '{}',
  beat_at timestamptz not null default now(),
  constraint platform_parts_known check (part in ('auth', 'storage', 'realtime', 'edge_functions')),
  constraint platform_parts_status_known check (status in ('HEALTHY', 'DEGRADED', 'UNAVAILABLE'))
);
alter table private.platform_parts enable row level security;
comment on table private.platform_parts is 'Heartbeats of the platform''s parts, where something supervises them.';

-- Longer than this without a word, and a part counts as away; heartbeats come every 5 s or faster.
create function private.patience() returns interval
language sql immutable parallel safe set search_path = ''
return interval '8 seconds';

create function private.part_status(wanted text) returns text
language sql stable set search_path = ''
return coalesce(
  (select case when p.beat_at < clock_timestamp() - private.patience() then 'UNAVAILABLE' else p.status end
   from private.platform_parts p where p.part = wanted),
  (select 'HEALTHY' from pg_stat_activity a
   where (wanted = 'auth' and a.usename = 'supabase_auth_admin')
     or (wanted = 'storage' and a.usename = 'supabase_storage_admin')
      or (wanted = 'realtime' and (a.usename = 'supabase_realtime_admin' or a.application_name ilike 'realtime%'))
   limit 1),
  'UNKNOWN');

-- The reports of controllers whose heartbeat is fresh. A controller that beats more slowly says so (heartbeatSeconds)
-- and is waited for accordingly.
create function private.live_reports() returns setof jsonb
language sql stable set search_path = ''
begin atomic
  select c.report from private.controllers c
  where c.heartbeat_at > clock_timestamp() - greatest(private.patience(),
    make_interval(secs => least(600, coalesce((c.report ->> 'heartbeatSeconds')::double precision, 0)) * 1.6));
end;

-- What controllers report of their clusters. Several on one Kubernetes cluster tell of the same nodes; each controller
-- of the processes kind has its own machine.
create function private.cluster_state() returns jsonb
language sql stable set search_path = ''
return (
  with alive as (
    select r.report, coalesce(r.report ->> 'cluster', 'unknown') as kind,
      coalesce(r.report -> 'capacity', '{}') as capacity
    from private.live_reports() r (report)
  ), machines as (
    select * from alive where kind <> 'kubernetes'
    union all (select * from alive where kind = 'kubernetes' limit 1)
  )
  select jsonb_build_object(
    'status', case when (select count(*) from alive) = 0 then 'UNAVAILABLE'
      when exists (select from alive where (report ->> 'healthy')::boolean is false) then 'DEGRADED' else 'HEALTHY' end,
    'controllers', (select count(*) from alive),
    'message', (select max(report ->> 'message') from alive),
    'nodes', coalesce(sum((capacity ->> 'nodes')::integer), 0),
    'pods', coalesce(sum(coalesce((capacity ->> 'replicas')::integer, 0)), 0),
    'cpu', jsonb_build_object('total', sum((capacity -> 'cpu' ->> 'total')::numeric),
      'used', sum((capacity -> 'cpu' ->> 'used')::numeric)),
    'memory', jsonb_build_object('total', sum((capacity -> 'memory' ->> 'total')::numeric),
      'used', sum((capacity -> 'memory' ->> 'used')::numeric)),
    'storage', jsonb_build_object('total', sum((capacity -> 'storage' ->> 'total')::numeric),
      'used', sum((capacity -> 'storage' ->> 'used')::numeric)))
  from machines
);

-- What controllers report of the registry that images come from, the worst word first: only the cluster talks to it.
-- UNKNOWN where no cluster pulls images, or none can tell.
create function private.registry_status() returns text
language sql stable set search_path = ''
return coalesce((
  select r.report -> 'registry' ->> 'status' from private.live_reports() r (report)
  where r.report -> 'registry' ->> 'status' in ('HEALTHY', 'DEGRADED')
  order by r.report -> 'registry' ->> 'status' limit 1), 'UNKNOWN');

-- 157286400 → '150MB'; multiples of 1024, one decimal below ten.
create function private.size_words(bytes numeric) returns text
language sql immutable parallel safe set search_path = ''
return (
  select case when bytes / u.size < 10 then trim_scale(round(bytes / u.size, 1))
    else round(bytes / u.size) end || u.name
  from (values (1::numeric, 'B'), (1024, 'KB'), (1048576, 'MB'), (1073741824, 'GB'), (1099511627776, 'TB'))
    as u (size, name)
  where u.size = 1 or bytes >= u.size order by u.size desc limit 1
);

-- Live subscriptions, all or of one user; null where Realtime has not made its table.
create function private.live_subscriptions(of_user uuid default null) returns bigint
language plpgsql stable set search_path = '' as $$
declare
  n bigint;
begin
  if to_regclass('realtime.subscription') is not null then
    execute 'select count(*) from realtime.subscription s where $1 is null or s.claims ->> ''sub'' = $1::text' into n
      using of_user;
  end if;
  return n;
end
$$;

-- Clients connected to Realtime: as its supervisor tells, else those that have a subscription.
create function private.realtime_connections() returns bigint
language plpgsql stable set search_path = '' as $$
declare
  n bigint := (select (p.report ->> 'connections')::bigint from private.platform_parts p
    where p.part = 'realtime' and p.beat_at > clock_timestamp() - private.patience());
begin
  if n is null and to_regclass('realtime.subscription') is not null then
    execute 'select count(distinct s.subscription_id) from realtime.subscription s' into n;
  end if;
  return n;
end
$$;

-- When a security scan last ended, or null. The scans' table comes with a later migration.
create function private.last_scan() returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  at timestamptz;
  moment text := (select a.attname from pg_attribute a where a.attrelid = to_regclass('public.security_scans')
    and a.attname in ('scanned_at', 'finished_at', 'created_at') and not a.attisdropped
    order by array_position(array['scanned_at', 'finished_at', 'created_at'], a.attname::text) limit 1);
begin
  if moment is not null then
    execute format('select max(%I) from public.security_scans', moment) into at;
  end if;
  return at;
end
$$;

-- The database as seen by this very request: the time of a probe that reads a user's own rows, and the catalogue.
create function private.database_state(caller uuid) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  began timestamptz := clock_timestamp();
  isolated boolean := private.user_isolation();
  connections bigint;
begin
  perform from public.agents a where a.user_id = caller limit 1;
  select count(*) into connections from pg_stat_activity a where a.datname = current_database();
  return jsonb_build_object(
    'status', case when isolated then 'HEALTHY' else 'DEGRADED' end,
    'responseTime', round((extract(epoch from clock_timestamp() - began) * 1000)::numeric, 1) || 'ms',
    'connections', connections, 'rls_active', isolated);
end
$$;

insert into private.verbs (name, permission, status, idempotent) values
  ('get_health', null, 200, false),
  ('get_system_metrics', 'monitoring:read', 200, false);

-- GET /api/health.
create function private.verb_get_health(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  cluster jsonb := private.cluster_state();
  database jsonb := private.database_state(caller);
  auth text := private.part_status('auth');
  realtime text := private.part_status('realtime');
  storage text := private.part_status('storage');
  registry text := private.registry_status();
  parts text[] := array[database ->> 'status', auth, realtime, storage, private.part_status('edge_functions')];
  impaired boolean := parts && array['DEGRADED', 'UNAVAILABLE'];
  scanned timestamptz := private.last_scan();
begin
  return jsonb_build_object(
    'status', case when impaired or cluster ->> 'status' <> 'HEALTHY' or registry = 'DEGRADED' then 'DEGRADED'
      else 'HEALTHY' end,
    'timestamp', private.iso(clock_timestamp()), 'version', private.version(), 'user_id', caller,
    'components', jsonb_build_object(
      'supabase', jsonb_build_object(
        'status', case when impaired then 'DEGRADED' else 'HEALTHY' end,
        'database', database,
        'auth', jsonb_build_object('status', auth,
          'active_sessions', (select count(*) from auth.sessions s where s.not_after is null or s.not_after > now()),
          -- PostgREST verified the token before this ran; what remains to be known is whether it still holds.
          'jwt_valid', coalesce(to_timestamp((auth.jwt() ->> 'exp')::double precision) > now(), true)),
        'realtime', jsonb_build_object('status', realtime, 'active_connections', private.realtime_connections(),
          'subscriptions', private.live_subscriptions()),
        'storage', jsonb_build_object('status', storage, 'buckets', (select count(*) from storage.buckets),
          'total_size', private.size_words((select coalesce(sum((o.metadata ->> 'size')::numeric), 0)
            from storage.objects o))),
        'edge_functions', jsonb_build_object('status', parts[5])),
      'kubernetes', jsonb_build_object('status', cluster -> 'status', 'nodes', cluster -> 'nodes',
        'pods', cluster -> 'pods', 'message', cluster -> 'message',
        'user_agents', (select count(*) from private.agent_deployments d
          where d.user_id = caller and d.removed_at is null and d.ready_replicas > 0)),
      'container_registry', jsonb_build_object('status', registry,
        'available', case registry when 'HEALTHY' then true when 'DEGRADED' then false end,
        'last_scan', private.iso(scanned))),
    'user_permissions', to_jsonb(private.effective_permissions(caller)));
end
$$;

-- GET /api/system/metrics: the whole fleet. Deployments are those that settled within 30 days.
create function private.verb_get_system_metrics(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  cluster jsonb := private.cluster_state();
  resources jsonb := '{}';
  kind text;
  total numeric;
  used numeric;
begin
  foreach kind in array array['cpu', 'memory', 'storage'] loop
    total := (cluster -> kind ->> 'total')::numeric;
    used := (cluster -> kind ->> 'used')::numeric;
    resources := resources || jsonb_build_object(kind, jsonb_build_object('total', total, 'used', used,
      'percentage', round(100 * used / nullif(total, 0), 1)));
  end loop;
  return (
    select jsonb_build_object(
      'system', jsonb_build_object(
        'totalAgents', (select count(*) from public.agents a where a.deleted_at is null),
        'runningAgents', d.running, 'failedAgents', d.failed,
        'deployments', jsonb_build_object('successful', e.successful, 'failed', e.failed,
          'successRate', round(100.0 * e.successful / nullif(e.successful + e.failed, 0), 1))),
      'resources', resources, 'timestamp', private.iso(clock_timestamp()))
    from (
      select count(*) filter (where x.desired = 'running' and x.ready_replicas > 0) as running,
             count(*) filter (where x.phase = 'FAILED') as failed
      from private.agent_deployments x where x.removed_at is null
    ) d, (
      select count(*) filter (where x.to_phase = 'DEPLOYED') as successful,
        count(*) filter (where x.to_phase = 'FAILED') as failed
      from public.agent_events x
      where x.to_phase in ('DEPLOYED', 'FAILED') and x."timestamp" > now() - interval '30 days'
    ) e);
end
$$;
create index agent_events_settled_idx on public.agent_events ("timestamp") include (to_phase)
  where to_phase in ('DEPLOYED', 'FAILED');

create function public.get_health() returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('get_health', '{}'); end $$;
create function public.get_system_metrics() returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('get_system_metrics', '{}'); end $$;
revoke execute on function public.get_health(), public.get_system_metrics() from public, anon, service_role;
grant execute on function public.get_health(), public.get_system_metrics() to authenticated;
comment on function public.get_health() is 'Health of the whole system, component by component.';
comment on function public.get_system_metrics() is 'Fleet and cluster capacity.';

-- Raises INVALID_JWT_TOKEN or PERMISSION_DENIED unless the caller's account is active; returns the user.
create function private.known_caller() returns uuid
language plpgsql stable set search_path = '' as $$
declare
  caller uuid := (select auth.uid());
begin
  perform private.require_active(caller);
  return caller;
end
$$;

-- Definer: reads auth, statistics and heartbeats, which API roles may not. Authorises first; tells states, no rows.
create function private.health_facts() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  caller uuid := private.known_caller();
begin
  return jsonb_build_object(
    'supabase_health', jsonb_build_object(
      'database', case when private.user_isolation() then 'HEALTHY' else 'DEGRADED' end,
      'auth', private.part_status('auth'), 'realtime', private.part_status('realtime'),
      'storage', private.part_status('storage'), 'edge_functions', private.part_status('edge_functions')),
    'real_time_subscriptions', private.live_subscriptions(caller));
end
$$;
grant execute on function private.health_facts() to authenticated;

-- Definer: reads cron. Whether the job that erases what is past retention is scheduled and on.
create function private.erasure_scheduled() returns boolean
language sql stable security definer set search_path = ''
return exists (select from cron.job j where j.jobname = 'launchpad-retention' and j.active);
grant execute on function private.erasure_scheduled() to authenticated;

-- GET /rest/v1/rpc/health_check. Invoker: `user_data_accessible` is what the caller's own role can read. Volatile, so
-- that PostgREST lets a POST write, and private.pre_request can count it.
create function public.health_check() returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  facts jsonb := private.health_facts();
begin
  return jsonb_build_object('supabase_health', facts -> 'supabase_health',
    'user_specific', jsonb_build_object(
      'rls_policies', case when facts -> 'supabase_health' ->> 'database' = 'HEALTHY' then 'ACTIVE' else 'INACTIVE' end,
      'user_data_accessible', exists (select from public.profiles p where p.user_id = (select auth.uid())),
      'real_time_subscriptions', facts -> 'real_time_subscriptions'));
end
$$;
revoke execute on function public.health_check() from public, anon, service_role;
grant execute on function public.health_check() to authenticated;
comment on function public.health_check() is
  'States of Supabase''s parts, and what of them is the caller''s. Callable by GET.';

-- How many tables show rows of the caller's to somebody else: the live proof of isolation. Invoker: it runs as the API
-- role under the policies themselves. For its duration the token's claims name a user that does not exist; set_config
-- is allowed in a read-only transaction, and the subtransaction puts the claims back however it ends.
create function private.probe_isolation() returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  caller uuid := (select auth.uid());
  stranger jsonb := jsonb_build_object('sub', gen_random_uuid(), 'role', 'authenticated', 'aud', 'authenticated');
  target record;
  sees boolean;
  probed integer := 0;
  leaking text[] := '{}';
  verdict text;
begin
  begin
    perform set_config('request.jwt.claims', stranger::text, true), set_config('request.jwt.claim.sub', '', true);
    for target in
      select c.oid, c.relname, has_column_privilege(c.oid, 'user_id', 'SELECT') as by_owner
      from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and has_any_column_privilege(c.oid, 'SELECT')
        and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'user_id'
          and not a.attisdropped)
      order by c.relname
    loop
      -- Where a client may not read user_id, no row at all may show.
      execute format('select exists (select from public.%I %s)', target.relname,
        case when target.by_owner then 'where user_id = $1' else '' end) into sees using caller;
      probed := probed + 1;
      if sees then
        leaking := leaking || target.relname::text;
      end if;
    end loop;
    raise sqlstate 'LP001' using message = jsonb_build_object('tables', probed, 'leaking', to_jsonb(leaking))::text;
  exception when sqlstate 'LP001' then
    verdict := sqlerrm;
  end;
  return verdict::jsonb;
end
$$;
grant execute on function private.probe_isolation() to authenticated;

-- GET /rest/v1/rpc/check_rls_policies: every table of public, from the catalogue, and the live
-- proof. Volatile, as above.
create function public.check_rls_policies() returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  tables jsonb := (
    select coalesce(jsonb_object_agg(c.relname, jsonb_build_object('rls_enabled', c.relrowsecurity,
      'policies_count', (select count(*) from pg_policy p where p.polrelid = c.oid)) order by c.relname), '{}')
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p'));
  probe jsonb := private.probe_isolation();
  isolated boolean := not jsonb_path_exists(tables, '$.* ? (@.rls_enabled == false)') and probe -> 'leaking' = '[]';
begin
  return jsonb_build_object('tables', tables,
    'user_isolation', case when isolated then 'ACTIVE' else 'COMPROMISED' end,
    'compliance_status', case when isolated and private.erasure_scheduled() then 'GDPR_COMPLIANT'
      else 'NON_COMPLIANT' end,
    'probe', jsonb_build_object('identity', 'another user', 'tables', probe -> 'tables', 'leaking',
      probe -> 'leaking'));
end
$$;
revoke execute on function public.check_rls_policies() from public, anon, service_role;
grant execute on function public.check_rls_policies() to authenticated;
comment on function public.check_rls_policies() is
  'Row-level security of every table, with a live probe as another user. Callable by GET.';
