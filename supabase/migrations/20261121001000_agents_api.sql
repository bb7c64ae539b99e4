-- The verbs that change agents: launch, deploy, update, scale, restart, stop, start, stop_all, rollback, delete.
-- verb_<name>(caller, args) are called by private.handle alone, which has authorised the caller.

-- The agent of this caller, locked until commit. Another user's agent is as absent as one that never was.
-- Raises AGENT_NOT_FOUND.
create function private.own_agent(caller uuid, wanted text) returns public.agents
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents;
begin
  select * into a from public.agents x where x.id = wanted and x.user_id = caller for update;
  if not found then
    perform private.raise_error('AGENT_NOT_FOUND', format('Agent with ID ''%s'' not found or access denied', left(wanted, 100)));
  end if;
  return a;
end
$$;

-- The caller's deployed agent; raises CONFLICT for one that was never deployed or is going.
create function private.own_deployment(caller uuid, wanted text) returns private.agent_deployments
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, wanted);
  d private.agent_deployments;
begin
  select * into d from private.agent_deployments x where x.agent_id = a.id for update;
  if not found then
    perform private.raise_error('CONFLICT', 'This agent is not deployed; deploy it first', '{"phase": null}');
  end if;
  if d.desired = 'absent' then
    perform private.raise_error('CONFLICT', 'This agent is being deleted', jsonb_build_object('phase', d.phase));
  end if;
  return d;
end
$$;

-- Field → problem of a definition's types and names, in the names of the Launchpad spec.
create function private.definition_problems(definition jsonb, launching boolean) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(definition, jsonb_build_object(
    'agentName', case when launching then 'string!' else 'string' end,
    'description', 'string', 'role', 'string', 'avatar', 'string', 'framework', 'string', 'model', 'string',
    'system_prompt', 'string', 'settings', 'object', 'character', 'object', 'plugins', 'strings', 'platforms', 'strings',
    'resources', '{"memory": "string", "cpu": "string", "replicas": "integer"}'::jsonb,
    'environment', 'object', 'supabase_config', 'object', 'scaling_policy', 'object'));
begin
  if jsonb_typeof(definition -> 'environment') = 'object' then
    problems := problems || private.environment_problems(definition -> 'environment');
  end if;
  return problems;
end
$$;

create function private.texts(list jsonb) returns text[]
language plpgsql immutable set search_path = '' as $$
begin
  return (select coalesce(array_agg(e), '{}') from jsonb_array_elements_text(list) e);
end
$$;

-- `a` with the fields of a definition laid over it; absent fields stay, null clears. Objects that have parts of their own
-- (resources, settings, supabase_config) are merged part by part; the character is replaced as a whole.
create function private.with_definition(a public.agents, d jsonb) returns public.agents
language plpgsql immutable set search_path = '' as $$
begin
  if d ? 'agentName' then a.name := d ->> 'agentName'; end if;
  if d ? 'description' then a.description := d ->> 'description'; end if;
  if d ? 'role' then a.role := d ->> 'role'; end if;
  if d ? 'avatar' then a.avatar := d ->> 'avatar'; end if;
  if d ? 'framework' then a.framework := coalesce(d ->> 'framework', 'openai'); end if;
  if d ? 'model' then a.model := d ->> 'model'; end if;
  if d ? 'system_prompt' then a.system_prompt := d ->> 'system_prompt'; end if;
  if d ? 'settings' then a.settings := coalesce(a.settings, '{}') || coalesce(nullif(d -> 'settings', 'null'), '{}'); end if;
  if d ? 'character' then a."character" := nullif(d -> 'character', 'null'); end if;
  if d ? 'plugins' then a.plugins := case when d -> 'plugins' = 'null' then '{}' else private.texts(d -> 'plugins') end; end if;
  if d ? 'platforms' then
    a.platforms := case when d -> 'platforms' = 'null' then '{}' else private.texts(d -> 'platforms') end;
  end if;
  if jsonb_typeof(d -> 'resources') = 'object' then
    a.replicas := coalesce((d -> 'resources' ->> 'replicas')::integer, a.replicas);
    a.resources := a.resources || (jsonb_strip_nulls(d -> 'resources') - 'replicas');
  end if;
  if d ? 'supabase_config' then
    a.supabase_config := case when d -> 'supabase_config' = 'null' then null
      else coalesce(a.supabase_config, '{}') || (d -> 'supabase_config') end;
  end if;
  if d ? 'scaling_policy' then a.scaling_policy := nullif(d -> 'scaling_policy', 'null'); end if;
  return a;
end
$$;

-- Raises one error that names every wrong field of a definition laid over `a`, types and bounds together.
create function private.check_definition(a public.agents, definition jsonb, launching boolean) returns public.agents
language plpgsql stable set search_path = '' as $$
declare
  problems jsonb := private.definition_problems(definition, launching);
  sound jsonb := '{}';
  field text;
  row_problems jsonb;
begin
  if jsonb_typeof(definition) is distinct from 'object' then
    perform private.raise_problems(problems);
  end if;
  -- Fields of the right type are judged further, so that one answer names everything.
  for field in select k from jsonb_object_keys(definition) k
    where not exists (select from jsonb_object_keys(problems) p where p = k or p like k || '.%') loop
    sound := sound || jsonb_build_object(field, definition -> field);
  end loop;
  a := private.with_definition(a, sound);
  row_problems := private.agent_problems(a);
  if row_problems ? 'name' then
    row_problems := row_problems - 'name'
      || case when problems ? 'agentName' then '{}' else jsonb_build_object('agentName', row_problems -> 'name') end;
  end if;
  if row_problems ? 'replicas' then
    row_problems := row_problems - 'replicas' || jsonb_build_object('resources.replicas', row_problems -> 'replicas');
  end if;
  perform private.raise_problems(row_problems || problems);
  return a;
end
$$;

-- Whether changes of a table reach Realtime subscribers. From the catalogue: the view pg_publication_tables expands every
-- publication first.
create function private.is_published(wanted regclass) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (
  select from pg_publication p
  where p.pubname = 'supabase_realtime'
    and (p.puballtables or exists (select from pg_publication_rel r where r.prpubid = p.oid and r.prrelid = wanted)));
end
$$;

-- Facts about the tables behind an agent, from the catalogue and the publication.
create function private.supabase_integration(config jsonb default null) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
  select jsonb_build_object(
    'tables_created', count(c.oid) = count(*),
    'rls_policies_applied', coalesce(bool_and(c.relrowsecurity
      and exists (select from pg_policy p where p.polrelid = c.oid)), false),
    'real_time_enabled', coalesce((config -> 'real_time' ->> 'enabled')::boolean, true)
      and private.is_published('public.agents'))
  from unnest(array['agents', 'agent_conversations', 'agent_metrics', 'agent_logs', 'agent_events', 'agent_secrets']) as needed
  left join pg_class c on c.relname = needed and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
);
end
$$;

-- Seconds in words: '2 seconds', '5 minutes'.
create function private.duration_words(low double precision, high double precision) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
  when low is null then null
  when high <= 1 then '1 second'
  when high < 90 then case when ceil(low) = ceil(high) then format('%s seconds', ceil(low))
                           else format('%s-%s seconds', ceil(low), ceil(high)) end
  else case when ceil(low / 60) = ceil(high / 60) then format('%s minutes', ceil(low / 60))
            else format('%s-%s minutes', ceil(low / 60), ceil(high / 60)) end
end;
end
$$;

-- Median to 90th percentile of the last week's first deployments; says so when there is nothing to go by.
create function private.estimated_deploy_time() returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
  select coalesce(private.duration_words(
    percentile_cont(0.5) within group (order by s.seconds), percentile_cont(0.9) within group (order by s.seconds)),
    'unknown until a first agent has been deployed')
  from (
    select (d.timings ->> 'deploySeconds')::double precision as seconds
    from private.agent_deployments d
    where d.timings ? 'deploySeconds' and d.created_at > now() - interval '7 days'
    order by d.created_at desc limit 100
  ) s
);
end
$$;

-- POST /api/agents. Raises VALIDATION_ERROR, INVALID_FRAMEWORK, INVALID_MODEL, AGENT_LIMIT_REACHED, RESOURCE_LIMIT_EXCEEDED.
create function private.verb_launch_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  definition jsonb := coalesce(args -> 'definition', 'null');
  a public.agents;
begin
  a.id := 'agent-' || private.random_base32(12);
  a.user_id := caller;
  a.framework := 'openai';
  a.settings := '{}'; a.plugins := '{}'; a.platforms := '{}';
  a.resources := '{"memory": "512Mi", "cpu": "250m"}';
  a.replicas := 1;
  a.status := 'idle';
  a.created_at := now(); a.updated_at := now();
  a := private.check_definition(a, definition, true);
  if a.replicas = 0 then
    perform private.raise_problems('{"resources.replicas": "Must be at least 1 to launch"}');
  end if;
  insert into public.agents select a.* returning * into a;
  perform private.apply_environment(a.id, caller, coalesce(nullif(definition -> 'environment', 'null'), '{}'));
  perform private.begin_deployment(a, 'user:' || caller);
  return jsonb_build_object('agentId', a.id, 'status', 'QUEUED', 'user_id', caller, 'createdAt', private.iso(a.created_at),
    'estimatedDeployTime', private.estimated_deploy_time(), 'supabase_integration', private.supabase_integration(a.supabase_config));
end
$$;

-- What every verb on one agent answers with. status: the verb's phase while the agent runs, else its real phase.
create function private.verb_answer(of_agent text, event_id text, extra jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
  select jsonb_build_object('agentId', d.agent_id, 'user_id', d.user_id,
    'status', case when d.desired = 'running' and e.event_type in ('SCALING', 'UPDATING', 'RESTARTING') then e.event_type
                   else d.phase end,
    'generation', d.generation, 'revision', d.revision, 'supabase_event_id', e.id) || extra
  from private.agent_deployments d left join public.agent_events e on e.id = event_id
  where d.agent_id = of_agent
);
end
$$;

create function private.last_event(of_agent text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (select e.id from public.agent_events e where e.agent_id = of_agent order by e.seq desc limit 1);
end
$$;

-- POST /api/agents/{id}/deploy: first deployment of a definition, or again after STOPPED or FAILED.
create function private.verb_deploy_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  event_id text;
begin
  if a.deleted_at is not null then
    perform private.raise_error('CONFLICT', 'This agent is being deleted', '{"phase": "DELETING"}');
  end if;
  if a.replicas = 0 then
    perform private.raise_problems('{"replicas": "Must be at least 1 to deploy"}');
  end if;
  if exists (select from private.agent_deployments d where d.agent_id = a.id) then
    event_id := private.request_change(a.id, 'deploy', 'user:' || caller, 'Deployment requested');
  else
    event_id := private.begin_deployment(a, 'user:' || caller);
  end if;
  return private.verb_answer(a.id, event_id, jsonb_build_object('message', 'Agent deployment initiated',
    'estimatedDeployTime', private.estimated_deploy_time(), 'timestamp', private.iso(now())));
end
$$;

-- PUT /api/agents/{id}. changes_applied tells, for each part of what runs that the request named, whether it changed.
create function private.verb_update_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  before public.agents := private.own_agent(caller, args ->> 'agent_id');
  after public.agents;
  changes jsonb := coalesce(args -> 'changes', 'null');
  changed_secrets text[];
  generation_before bigint;
  revision_before integer;
  deployed boolean;
  event_id text;
  changed_database_url boolean := false;
begin
  if before.deleted_at is not null then
    perform private.raise_error('CONFLICT', 'This agent is being deleted', '{"phase": "DELETING"}');
  end if;
  after := private.check_definition(before, changes, false);
  if changes = '{}' then
    perform private.raise_error('VALIDATION_ERROR', 'Invalid request body', '{"body": "Must name at least one field to change"}');
  end if;
  select d.generation, d.revision into generation_before, revision_before
    from private.agent_deployments d where d.agent_id = before.id for update;
  deployed := found;
  changed_secrets := private.apply_environment(before.id, caller, coalesce(nullif(changes -> 'environment', 'null'), '{}'));
  if jsonb_typeof(after.supabase_config -> 'database_url') = 'string' then
    changed_database_url := private.store_secret(before.id, caller, 'SUPABASE_DB_URL', after.supabase_config ->> 'database_url');
    after.supabase_config := after.supabase_config - 'database_url';
  end if;
  update public.agents a set name = after.name, description = after.description, role = after.role, avatar = after.avatar,
      framework = after.framework, model = after.model, system_prompt = after.system_prompt, settings = after.settings,
      "character" = after."character", plugins = after.plugins, platforms = after.platforms, resources = after.resources,
      replicas = after.replicas, scaling_policy = after.scaling_policy, supabase_config = after.supabase_config
    where a.id = before.id returning * into after;
  -- The trigger on agents made a new revision if the row's own configuration changed; secrets are not in the row.
  if deployed and (changed_secrets <> '{}' or changed_database_url)
     and (select d.revision from private.agent_deployments d where d.agent_id = before.id) = revision_before then
    perform private.request_change(before.id, 'update', 'user:' || caller, 'Environment changed', true,
      jsonb_build_object('changed', '["environment"]'::jsonb, 'names', to_jsonb(changed_secrets)));
  end if;
  if not deployed or (select d.generation from private.agent_deployments d where d.agent_id = before.id) = generation_before then
    event_id := private.record_event(before.id, caller, 'UPDATED', 'user:' || caller,
      case when deployed then 'Nothing that runs was changed' else 'Definition changed' end);
  else
    event_id := private.last_event(before.id);
  end if;
  return jsonb_build_object('agentId', before.id, 'user_id', caller,
    'status', coalesce(private.verb_answer(before.id, event_id, '{}') ->> 'status', upper(after.status)),
    'changes_applied', (
      select coalesce(jsonb_object_agg(k, case k
        when 'agentName' then after.name is distinct from before.name
        when 'environment' then changed_secrets <> '{}'
        when 'resources' then (after.resources, after.replicas) is distinct from (before.resources, before.replicas)
        when 'supabase_config' then changed_database_url or after.supabase_config is distinct from before.supabase_config
        else to_jsonb(after) -> k is distinct from to_jsonb(before) -> k end), '{}')
      from jsonb_object_keys(changes) k where k not in ('description', 'role', 'avatar')),
    'supabase_event_id', event_id, 'updatedAt', private.iso(after.updated_at));
end
$$;

-- POST /api/agents/{id}/scale.
create function private.verb_scale_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  a public.agents;
  scale jsonb := coalesce(args -> 'scale', 'null');
  problems jsonb := private.shape_problems(scale, '{"replicas": "integer!", "scaling_policy": "object"}');
  policy jsonb;
  wanted integer;
  event_id text;
begin
  select * into a from public.agents x where x.id = d.agent_id;
  policy := case when scale ? 'scaling_policy' then nullif(scale -> 'scaling_policy', 'null') else a.scaling_policy end;
  if not problems ? 'scaling_policy' and policy is not null and scale ? 'scaling_policy' then
    problems := problems || private.scaling_policy_problems(policy);
  end if;
  if not problems ? 'replicas' then
    wanted := (scale ->> 'replicas')::integer;
    if wanted not between 0 and 100 then
      problems := problems || '{"replicas": "Must be between 0 and 100"}';
    elsif problems = '{}' and (wanted < (policy ->> 'min_replicas')::integer or wanted > (policy ->> 'max_replicas')::integer) then
      problems := problems || '{"replicas": "Must lie within scaling_policy"}';
    end if;
  end if;
  perform private.raise_problems(problems);
  if (a.replicas, a.scaling_policy) is not distinct from (wanted, policy) then
    event_id := private.request_change(a.id, 'scale', 'user:' || caller, format('Scaling to %s replicas', wanted), false,
      jsonb_build_object('from', wanted, 'to', wanted, 'scaling_policy', policy));
  else
    update public.agents x set replicas = wanted, scaling_policy = policy where x.id = a.id;
    event_id := private.last_event(a.id);
  end if;
  return private.verb_answer(a.id, event_id, jsonb_build_object('currentReplicas', d.current_replicas,
    'targetReplicas', wanted, 'scaling_event_logged', event_id is not null, 'updatedAt', private.iso(now())));
end
$$;

-- POST /api/agents/{id}/restart.
create function private.verb_restart_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  event_id text := private.request_change(d.agent_id, 'restart', 'user:' || caller, 'Restart requested');
begin
  return private.verb_answer(d.agent_id, event_id, jsonb_build_object('message', 'Agent restart initiated',
    'supabase_event_logged', event_id is not null, 'real_time_notification_sent', private.is_published('public.agents'),
    'timestamp', private.iso(now())));
end
$$;

-- POST /api/agents/{id}/stop and /start. Asking for what is already wanted changes nothing.
create function private.verb_stop_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  event_id text;
begin
  if d.desired = 'stopped' then
    event_id := private.last_event(d.agent_id);
  else
    event_id := private.request_change(d.agent_id, 'stop', 'user:' || caller, 'Stop requested');
  end if;
  return private.verb_answer(d.agent_id, event_id, jsonb_build_object('message', 'Agent stop initiated',
    'timestamp', private.iso(now())));
end
$$;

create function private.verb_start_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  event_id text;
begin
  if d.desired = 'running' and d.phase <> 'FAILED' then
    event_id := private.last_event(d.agent_id);
  else
    event_id := private.request_change(d.agent_id, 'start', 'user:' || caller, 'Start requested');
  end if;
  return private.verb_answer(d.agent_id, event_id, jsonb_build_object('message', 'Agent start initiated',
    'timestamp', private.iso(now())));
end
$$;

-- POST /api/agents/stop-all: the kill switch. Locks in one order, so that two calls cannot deadlock.
create function private.verb_stop_all_agents(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  stopped text[] := '{}';
  target record;
begin
  perform from public.agents a where a.user_id = caller order by a.id for update;
  for target in
    select d.agent_id from private.agent_deployments d
    where d.user_id = caller and d.desired = 'running' and d.removed_at is null order by d.agent_id
  loop
    perform private.request_change(target.agent_id, 'stop', 'user:' || caller, 'Stopped with all agents of this user');
    stopped := stopped || target.agent_id;
  end loop;
  return jsonb_build_object('user_id', caller, 'status', 'STOPPING', 'stopped', cardinality(stopped),
    'agents', to_jsonb(stopped), 'message', 'Stop of all agents initiated', 'timestamp', private.iso(now()));
end
$$;

-- POST /api/agents/{id}/rollback: a new revision from an old one. Secrets keep their present values.
create function private.verb_rollback_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  wanted integer := (args ->> 'revision')::integer;
  old_spec jsonb;
  event_id text;
begin
  -- Without a number: the revision before the one that runs.
  wanted := coalesce(wanted, d.revision - 1);
  select r.spec into old_spec from public.agent_revisions r where r.agent_id = d.agent_id and r.revision = wanted;
  if not found then
    perform private.raise_error('NOT_FOUND', format('Revision %s of this agent does not exist', wanted),
      '{"revision": "Must be a revision of this agent"}');
  end if;
  perform set_config('launchpad.change_reason', format('Rollback to revision %s', wanted), true);
  update public.agents a set name = old_spec ->> 'name', "character" = nullif(old_spec -> 'character', 'null'),
      plugins = private.texts(old_spec -> 'plugins'), platforms = private.texts(old_spec -> 'platforms'),
      framework = old_spec ->> 'framework', model = old_spec ->> 'model', system_prompt = old_spec ->> 'systemPrompt',
      settings = old_spec -> 'settings', supabase_config = nullif(old_spec -> 'supabaseConfig', 'null'),
      resources = (old_spec -> 'resources') - '{memoryBytes,cpuMillicores}'::text[]
    where a.id = d.agent_id;
  perform set_config('launchpad.change_reason', '', true);
  if (select x.generation from private.agent_deployments x where x.agent_id = d.agent_id) = d.generation then
    -- The old configuration equals the present one: still a new revision, because the user asked for a rollout.
    event_id := private.request_change(d.agent_id, 'update', 'user:' || caller, format('Rollback to revision %s', wanted), true);
  else
    event_id := private.last_event(d.agent_id);
  end if;
  return private.verb_answer(d.agent_id, event_id, jsonb_build_object('rolledBackTo', wanted,
    'message', format('Rollback to revision %s initiated', wanted), 'timestamp', private.iso(now())));
end
$$;

-- Removes what must go at once and asks the controller to remove the rest. Idempotent. Returns the event's id.
create function private.teardown(of_agent text, of_user uuid, actor text) returns text
language plpgsql volatile set search_path = '' as $$
begin
  delete from public.agent_secrets s where s.agent_id = of_agent;
  delete from public.agent_conversations c where c.agent_id = of_agent;
  delete from public.agent_revisions r where r.agent_id = of_agent;
  if exists (select from private.agent_deployments d where d.agent_id = of_agent and d.desired <> 'absent') then
    return private.request_change(of_agent, 'delete', actor, 'Deletion requested');
  end if;
  return private.record_event(of_agent, of_user, 'DELETED', actor, 'Agent deleted');
end
$$;

-- DELETE /rest/v1/agents, and the cascade from a deleted account: the row goes, the teardown is the same.
-- Definer: writes deployments, Vault and events.
create function private.tg_agents__teardown() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if old.deleted_at is null then
    perform private.teardown(old.id, old.user_id, coalesce('user:' || (select auth.uid())::text, 'system'));
  end if;
  return null;
end
$$;
create trigger _500_teardown after delete on public.agents
  for each row execute function private.tg_agents__teardown();

-- DELETE /api/agents/{id}. The row stays, emptied of content, until the cluster holds nothing of the agent.
create function private.verb_delete_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  event_id text;
begin
  if not exists (select from private.agent_deployments d where d.agent_id = a.id) then
    delete from public.agents x where x.id = a.id;
  elsif a.deleted_at is null then
    event_id := private.teardown(a.id, caller, 'user:' || caller);
    update public.agents x set deleted_at = now(), description = null, role = null, avatar = null, system_prompt = null,
        settings = '{}', "character" = null, plugins = '{}', platforms = '{}', supabase_config = null
      where x.id = a.id;
  end if;
  event_id := coalesce(event_id, private.last_event(a.id));
  return jsonb_build_object('agentId', a.id, 'user_id', caller, 'status', 'DELETING', 'message', 'Agent deletion initiated',
    'supabase_cleanup', jsonb_build_object(
      'data_retention_policy', private.retention_days() || '_days',
      'personal_data_removal', case when exists (select from public.agent_conversations c where c.agent_id = a.id)
        or exists (select from public.agent_secrets s where s.agent_id = a.id) then 'pending' else 'immediate' end,
      'audit_log_preserved', exists (select from public.agent_events e where e.agent_id = a.id)),
    'supabase_event_id', event_id, 'timestamp', private.iso(now()));
end
$$;

-- Days that logs, metrics and removed deployments are kept; an operator sets launchpad.retention_days on the database.
create function private.retention_days() returns integer
language sql stable set search_path = ''
return coalesce(nullif(current_setting('launchpad.retention_days', true), '')::integer, 30);

-- The RPCs. Invoker; the caller must be a signed-in user.
create function public.launch_agent(definition jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('launch_agent', jsonb_build_object('definition', definition)); end $$;
create function public.deploy_agent(agent_id text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('deploy_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.update_agent(agent_id text, changes jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('update_agent', jsonb_build_object('agent_id', agent_id, 'changes', changes)); end $$;
create function public.scale_agent(agent_id text, scale jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('scale_agent', jsonb_build_object('agent_id', agent_id, 'scale', scale)); end $$;
create function public.restart_agent(agent_id text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('restart_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.stop_agent(agent_id text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('stop_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.start_agent(agent_id text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('start_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.stop_all_agents() returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('stop_all_agents', '{}'); end $$;
create function public.rollback_agent(agent_id text, revision integer default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('rollback_agent', jsonb_build_object('agent_id', agent_id, 'revision', revision)); end $$;
create function public.delete_agent(agent_id text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('delete_agent', jsonb_build_object('agent_id', agent_id)); end $$;

revoke execute on function public.launch_agent(jsonb), public.deploy_agent(text), public.update_agent(text, jsonb),
  public.scale_agent(text, jsonb), public.restart_agent(text), public.stop_agent(text), public.start_agent(text),
  public.stop_all_agents(), public.rollback_agent(text, integer), public.delete_agent(text)
  from public, anon, service_role;
grant execute on function public.launch_agent(jsonb), public.deploy_agent(text), public.update_agent(text, jsonb),
  public.scale_agent(text, jsonb), public.restart_agent(text), public.stop_agent(text), public.start_agent(text),
  public.stop_all_agents(), public.rollback_agent(text, integer), public.delete_agent(text)
  to authenticated;
comment on function public.launch_agent(jsonb) is 'Creates an agent from the body of POST /api/agents and deploys it.';
comment on function public.deploy_agent(text) is 'Deploys a definition, or deploys again after STOPPED or FAILED.';
comment on function public.update_agent(text, jsonb) is 'Changes an agent by the body of PUT /api/agents/{id}.';
comment on function public.scale_agent(text, jsonb) is 'Sets replicas and scaling_policy.';
comment on function public.restart_agent(text) is 'Replaces every replica, without a gap.';
comment on function public.stop_agent(text) is 'Stops every replica; the agent can be started again.';
comment on function public.start_agent(text) is 'Starts a stopped agent.';
comment on function public.stop_all_agents() is 'Stops every agent of the caller.';
comment on function public.rollback_agent(text, integer) is 'Runs an earlier revision again, as a new revision.';
comment on function public.delete_agent(text) is 'Deletes an agent; personal data goes at once.';
