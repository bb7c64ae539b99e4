-- How the plugins of a deployed agent are: ready, or failed and in which words. Its runtime reports it
-- (report_plugins); shown by the condition PluginReady:<name> and the events PLUGIN_FAILED and PLUGIN_READY. Plugins of
-- platforms (a bot on Discord or Telegram) also report their connection, which `platforms` of the status shows.

create table private.plugin_states (
  agent_id text not null references public.agents (id) on delete cascade,
  -- The package's name, without a version.
  plugin text not null,
  ready boolean not null,
  reason text not null,
  message text not null,
  changed_at timestamptz not null default now(),
  -- When an event last reported a failure.
  event_at timestamptz,
  -- The platform that it serves, and its connection there as the platform's library sees it; null: it serves none.
  platform text,
  connection text,
  account text,
  connection_message text,
  connection_at timestamptz,
  -- It runs a service or tasks of its own, so that its agent is never idle (private.sleep_state).
  works_alone boolean not null default false,
  primary key (agent_id, plugin),
  constraint plugin_states_connection_whole check ((platform is null) = (connection is null)),
  constraint plugin_states_connection_known check (connection in ('CONNECTED', 'CONNECTING', 'DISCONNECTED', 'UNKNOWN'))
);
alter table private.plugin_states enable row level security;
comment on table private.plugin_states is 'What each agent''s runtime last reported of each of its plugins.';

-- Keeps one plugin's state. A failure is an event when it begins, at most every ten minutes for one plugin.
create function private.note_plugin(a public.agents, said jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  named constant text := said ->> 'name';
  is_ready constant boolean := (said ->> 'ready')::boolean;
  words constant text := left(coalesce(said ->> 'message', ''), 600);
  reached constant jsonb := case when jsonb_typeof(said -> 'platform') = 'object' then said -> 'platform' end;
  known private.plugin_states;
begin
  select * into known from private.plugin_states s where s.agent_id = a.id and s.plugin = named for update;
  insert into private.plugin_states as s (agent_id, plugin, ready, reason, message, platform, connection, account,
      connection_message, connection_at, works_alone)
    values (a.id, named, is_ready, said ->> 'reason', words, reached ->> 'name', reached ->> 'status',
      left(reached ->> 'account', 200), left(reached ->> 'message', 600), case when reached is not null then now() end,
      coalesce((said ->> 'worksAlone')::boolean, false))
    on conflict (agent_id, plugin) do update set ready = excluded.ready, reason = excluded.reason,
      message = excluded.message,
      changed_at = case when s.ready <> excluded.ready then now() else s.changed_at end,
      platform = excluded.platform, connection = excluded.connection, account = excluded.account,
      works_alone = excluded.works_alone,
      connection_message = excluded.connection_message,
      connection_at = case when s.connection is distinct from excluded.connection then excluded.connection_at
        else s.connection_at end;
  if not is_ready and known.ready is distinct from false
    and coalesce(known.event_at < now() - interval '10 minutes', true) then
    update private.plugin_states s set event_at = now() where s.agent_id = a.id and s.plugin = named;
    perform private.record_event(a.id, a.user_id, 'PLUGIN_FAILED', 'system', left(format('%s: %s', named, words), 600),
      details => jsonb_build_object('plugin', named, 'reason', said ->> 'reason'));
  elsif is_ready and known.ready = false and known.event_at >= known.changed_at then
    perform private.record_event(a.id, a.user_id, 'PLUGIN_READY', 'system', format('%s is ready again', named),
      details => jsonb_build_object('plugin', named));
  end if;
end
$$;
comment on function private.note_plugin(public.agents, jsonb) is 'Keeps what a runtime says of one plugin.';

-- Whether a report's `platform` is none, or {name, status, account, message} of a platform.
create function private.is_platform_report(said jsonb) returns boolean
language sql immutable set search_path = ''
return case
  when said is null or jsonb_typeof(said) = 'null' then true
  when jsonb_typeof(said) <> 'object' then false
  else coalesce(said ->> 'name', '') ~ '^[a-z0-9][a-z0-9-]{0,39}$'
    and coalesce(said ->> 'status', '') in ('CONNECTED', 'CONNECTING', 'DISCONNECTED', 'UNKNOWN')
    and coalesce(jsonb_typeof(said -> 'account'), 'null') in ('string', 'null')
    and coalesce(jsonb_typeof(said -> 'message'), 'null') in ('string', 'null') end;
comment on function private.is_platform_report(jsonb) is
  'Whether a runtime''s word of a platform has the agreed shape.';

-- Definer: anon, as which runtimes call, has no rights here; the credential authorises first. Keeps the states of all
-- plugins of an agent, and forgets those that it names no more → {kept}. A plugin that another replica runs is in that
-- one's report alone. Raises VALIDATION_ERROR.
create function private.report_plugins(of_agent text, credential text, plugins jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  a public.agents;
begin
  perform private.check_runtime(of_agent, credential);
  perform private.raise_problems(private.problem_if(jsonb_typeof(plugins) is distinct from 'array'
      or jsonb_array_length(case when jsonb_typeof(plugins) = 'array' then plugins else '[]' end) > 100
      or exists (select from jsonb_array_elements(case when jsonb_typeof(plugins) = 'array' then plugins
        else '[]' end) p
        where jsonb_typeof(p) <> 'object' or jsonb_typeof(p -> 'ready') is distinct from 'boolean'
          or coalesce(length(p ->> 'name'), 0) not between 1 and 214
            or coalesce(p ->> 'reason', '') !~ '^[A-Z][A-Z0-9_]{0,62}$'
          or coalesce(jsonb_typeof(p -> 'worksAlone'), 'null') not in ('boolean', 'null')
          or not private.is_platform_report(p -> 'platform')),
    'plugins', 'Must be a list of at most 100 objects {name, ready, reason, message, worksAlone?, platform?: '
      '{name, status, account, message}}'));
  select * into a from public.agents x where x.id = of_agent and x.deleted_at is null for no key update;
  if not found or private.is_erased(a.user_id) then
    return '{"kept": 0}';
  end if;
  delete from private.plugin_states s where s.agent_id = a.id
    and not exists (select from unnest(a.plugins) p where p = s.plugin or starts_with(p, s.plugin || '@'))
    and not exists (select from jsonb_array_elements(plugins) p where p ->> 'name' = s.plugin);
  perform private.note_plugin(a, p.value) from jsonb_array_elements(plugins) p;
  return jsonb_build_object('kept', jsonb_array_length(plugins));
end
$$;
grant execute on function private.report_plugins(text, text, jsonb) to anon;

create function public.report_plugins(agent_id text, credential text, plugins jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.report_plugins(agent_id, credential, plugins); end $$;
revoke execute on function public.report_plugins(text, text, jsonb) from public, authenticated, service_role;
grant execute on function public.report_plugins(text, text, jsonb) to anon;
comment on function public.report_plugins(text, text, jsonb) is 'Runtime: keeps the states of its agent''s plugins.';

-- Whether a plugin that the agent names now may work without a request, as its runtime last said.
create function private.has_plugin_that_works(a public.agents) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (select from private.plugin_states s where s.agent_id = a.id and s.works_alone
    and exists (select from unnest(a.plugins) p where p = s.plugin or starts_with(p, s.plugin || '@')));
end
$$;
comment on function private.has_plugin_that_works(public.agents) is
  'Whether a plugin of the agent runs a service or tasks.';

-- The conditions PluginReady:<name> of an agent whose replicas serve, for its status: of the plugins that it names now.
create function private.plugin_conditions(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (select coalesce(jsonb_agg(jsonb_build_object('type', 'PluginReady:' || s.plugin,
      'status', case when s.ready then 'True' else 'False' end, 'reason', s.reason, 'message', s.message,
      'lastTransitionTime', private.iso(s.changed_at)) order by s.plugin), '[]')
    from private.plugin_states s
    where s.agent_id = a.id
      and exists (select from private.agent_deployments d where d.agent_id = a.id and d.desired = 'running'
        and d.ready_replicas > 0)
      and exists (select from unnest(a.plugins) p where p = s.plugin or starts_with(p, s.plugin || '@')));
end
$$;
comment on function private.plugin_conditions(public.agents) is 'The conditions of an agent''s plugins.';

-- `platforms` of an agent's status: those that its plugins reported, and those that its definition names and none
-- reported. What was reported counts while a replica serves.
create function private.platform_states(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  serves constant boolean := exists (select from private.agent_deployments d
    where d.agent_id = a.id and d.desired = 'running' and d.ready_replicas > 0);
  platforms jsonb;
begin
  select coalesce(jsonb_agg(jsonb_build_object('name', p.name, 'plugin', p.plugin, 'status', p.status,
    'account', p.account,
      'message', p.message, 'since', private.iso(p.since)) order by p.name, p.plugin), '[]') into platforms
    from (
      select s.platform as name, s.plugin, case when serves then s.connection else 'DISCONNECTED' end
        as status, s.account,
        case when serves then s.connection_message else 'No replica is ready' end as message,
        case when serves then s.connection_at end as since
      from private.plugin_states s
      where s.agent_id = a.id and s.platform is not null
        and exists (select from unnest(a.plugins) n where n = s.plugin or starts_with(n, s.plugin || '@'))
      union all
      select w.name, w.plugin, case when w.plugin is not null and serves then 'UNKNOWN' else 'DISCONNECTED' end, null,
        case when w.plugin is null then
          format('No plugin of this agent serves %s; add one such as @elizaos/plugin-%s to plugins', w.name, w.name)
          when serves then 'The plugin has not reported yet' else 'No replica is ready' end, null
      from (
        select n.name, (select min(regexp_replace(q, '(.)@.*$', '\1')) from unnest(a.plugins) q
          where position(n.name in q) > 0 and not private.is_mcp_plugin(q)) as plugin
        from (select distinct lower(x) as name from unnest(a.platforms) x) n) w
      where not private.is_served_by_address(w.name)
        and not exists (select from private.plugin_states s where s.agent_id = a.id and s.platform = w.name
          and exists (select from unnest(a.plugins) n where n = s.plugin or starts_with(n, s.plugin || '@')))) p;
  return platforms;
end
$$;
comment on function private.platform_states(public.agents) is 'How an agent is connected to its platforms.';

revoke execute on all functions in schema private from public;
