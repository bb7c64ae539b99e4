-- The verbs that change agents: launch, deploy, update, scale, restart, stop, start, stop_all, rollback, delete.
-- verb_<name>(caller, args) are called by private.handle alone, which has authorised the caller. They look up
-- rows by key, so a generic plan is as good as any (ADR 0236).

-- POST /api/agents. Raises VALIDATION_ERROR, INVALID_FRAMEWORK, INVALID_MODEL, AGENT_LIMIT_REACHED,
-- RESOURCE_LIMIT_EXCEEDED.
create function private.verb_launch_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
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
$$;

-- What every verb on one agent answers with. status: the verb's phase while the agent runs, else its real phase.
create function private.verb_answer(of_agent text, event_id text, extra jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
  select jsonb_build_object('agentId', d.agent_id, 'user_id', d.user_id,
    'status', case when d.desired = 'running' and e.event_type in ('SCALING', 'UPDATING', 'RESTARTING')
      then e.event_type
                   else d.phase end,
    'generation', d.generation, 'revision', d.revision, 'supabase_event_id', e.id) || extra
  from private.agent_deployments d left join public.agent_events e on e.id = event_id
  where d.agent_id = of_agent
);
end
$$;

-- The newest event of an agent: what a verb answers with that had nothing to do.
create function private.last_event(of_agent text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (select e.id from public.agent_events e where e.agent_id = of_agent order by e.seq desc limit 1);
end
$$;

-- POST /api/agents/{id}/deploy: first deployment of a definition, or again after STOPPED or FAILED.
create function private.verb_deploy_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
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
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  before public.agents := private.own_agent(caller, args ->> 'agent_id');
  base public.agents := before;
  after public.agents;
  changes jsonb := coalesce(args -> 'changes', 'null');
  changed_secrets text[];
  changed text[];
  deployed boolean;
  event_id text;
  changed_database_url boolean := false;
begin
  if before.deleted_at is not null then
    perform private.raise_error('CONFLICT', 'This agent is being deleted', '{"phase": "DELETING"}');
  end if;
  if jsonb_typeof(changes -> 'framework') = 'string' and not changes ? 'model'
      and private.model_follows(before, changes ->> 'framework') then
    base.model := null;
  end if;
  after := private.check_definition(base, changes, false);
  if changes = '{}' then
    perform private.raise_error('VALIDATION_ERROR', 'Invalid request body',
      '{"body": "Must name at least one field to change"}');
  end if;
  perform from private.agent_deployments d where d.agent_id = before.id for update;
  deployed := found;
  perform private.raise_problems(private.character_secret_problems(changes -> 'character'));
  -- Secrets of a character file are an environment; what the environment says itself wins.
  changed_secrets := private.apply_environment(before.id, caller,
    private.character_secrets(changes -> 'character') || coalesce(nullif(changes -> 'environment', 'null'), '{}'));
  after."character" := private.without_secrets(after."character");
  if after.supabase_config ? 'database_url' then
    changed_database_url := case when jsonb_typeof(after.supabase_config -> 'database_url') = 'string'
      then private.store_secret(before.id, caller, 'SUPABASE_DB_URL', after.supabase_config ->> 'database_url')
      else private.remove_secret(before.id, 'SUPABASE_DB_URL') end;
    after.supabase_config := after.supabase_config - 'database_url';
  end if;
  if changes -> 'resources' ->> 'memory' is null then
    after.resources := private.resources_for_plugins(before, after);
  end if;
  after := private.write_agent(after);
  select array_agg(split_part(f, '.', 1)) into changed from unnest(private.changed_fields(before, after)) f;
  event_id := private.follow_change(before, after, 'user:' || caller);
  if after.visibility <> before.visibility then
    event_id := private.record_visibility(before, after, 'user:' || caller);
  end if;
  event_id := coalesce(event_id, private.record_event(before.id, caller, 'UPDATED', 'user:' || caller,
    case when deployed then 'Nothing that runs was changed' else 'Definition changed' end));
  return jsonb_build_object('agentId', before.id, 'user_id', caller,
    'status', coalesce(private.verb_answer(before.id, event_id, '{}') ->> 'status', upper(after.status)),
    'changes_applied', (
      select coalesce(jsonb_object_agg(k, case k
        when 'environment' then changed_secrets <> '{}'
        else coalesce(k = any (changed), false) or k = 'supabase_config' and changed_database_url end), '{}')
      from jsonb_object_keys(changes) k
      where not exists (select from private.agent_fields f where f.field = k and f.effect = 'shown')),
    'supabase_event_id', event_id, 'updatedAt', private.iso(after.updated_at));
end
$$;

-- POST /api/agents/{id}/scale.
create function private.verb_scale_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  a public.agents;
  scaled public.agents;
  scale jsonb := coalesce(args -> 'scale', 'null');
  problems jsonb := private.shape_problems(scale, '{"replicas": "integer 0 100!", "scaling_policy": "object"}');
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
    if problems = '{}' and (wanted < (policy ->> 'min_replicas')::integer
      or wanted > (policy ->> 'max_replicas')::integer) then
      problems := problems || '{"replicas": "Must lie within scaling_policy"}';
    end if;
  end if;
  perform private.raise_problems(problems);
  perform set_config('launchpad.written_by_verb', a.id, true);
  update public.agents x set replicas = wanted, scaling_policy = policy where x.id = a.id returning x.* into scaled;
  perform set_config('launchpad.written_by_verb', '', true);
  -- To ask again for what is there is a new generation all the same.
  event_id := coalesce(private.follow_change(a, scaled, 'user:' || caller),
    private.request_change(a.id, 'scale', 'user:' || caller,
      format('Scaling to %s', private.counted(wanted, 'replica')), false,
      jsonb_build_object('from', wanted, 'to', wanted, 'scaling_policy', policy)));
  return private.verb_answer(a.id, event_id, jsonb_build_object('currentReplicas', d.current_replicas,
    'targetReplicas', wanted, 'scaling_event_logged', event_id is not null, 'updatedAt', private.iso(now())));
end
$$;

-- POST /api/agents/{id}/restart.
create function private.verb_restart_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
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
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  event_id text;
  message text := 'Agent stop initiated';
begin
  if d.desired = 'stopped' then
    event_id := private.last_event(d.agent_id);
    message := format('Agent is %s already', case d.phase when 'STOPPED' then 'stopped' else 'stopping' end);
  else
    event_id := private.request_change(d.agent_id, 'stop', 'user:' || caller, 'Stop requested');
  end if;
  return private.verb_answer(d.agent_id, event_id,
    jsonb_build_object('message', message, 'timestamp', private.iso(now())));
end
$$;

create function private.verb_start_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  event_id text;
  message text := 'Agent start initiated';
begin
  if d.desired = 'running' and d.phase <> 'FAILED' then
    event_id := private.last_event(d.agent_id);
    message := format('Agent is %s already', case when d.phase in ('QUEUED', 'DEPLOYING') then 'starting'
      else 'started' end);
  else
    event_id := private.request_change(d.agent_id, case when d.desired = 'asleep' then 'wake' else 'start' end,
      'user:' || caller, 'Start requested');
  end if;
  return private.verb_answer(d.agent_id, event_id,
    jsonb_build_object('message', message, 'timestamp', private.iso(now())));
end
$$;

-- POST /api/agents/stop-all: the kill switch. Locks in one order, so that two calls cannot deadlock.
create function private.verb_stop_all_agents(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  stopped text[] := '{}';
  target record;
begin
  perform from public.agents a where a.user_id = caller order by a.id for update;
  for target in
    select d.agent_id from private.agent_deployments d
    where d.user_id = caller and d.desired in ('running', 'asleep') and d.removed_at is null order by d.agent_id
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
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  wanted integer := (args ->> 'revision')::integer;
  before public.agents;
  old_spec jsonb;
  event_id text;
begin
  -- Without a number: the revision before the one that runs.
  wanted := coalesce(wanted, d.revision - 1);
  select r.spec into old_spec from public.agent_revisions r where r.agent_id = d.agent_id and r.revision = wanted;
  if not found then
    perform private.raise_error('NOT_FOUND', case when args ->> 'revision' is null
        then format('There is no revision before %s, the present one', d.revision)
        else format('Revision %s of this agent does not exist', wanted) end,
      '{"revision": "Must be a revision of this agent"}');
  end if;
  select * into before from public.agents a where a.id = d.agent_id;
  -- The old configuration may equal the present one: still a new revision, because the user asked for a rollout.
  event_id := coalesce(
    private.follow_change(before, private.write_agent(jsonb_populate_record(before, private.spec_columns(old_spec))),
      'user:' || caller, wanted),
    private.request_change(d.agent_id, 'update', 'user:' || caller, format('Rollback to revision %s', wanted), true,
      rollback_to => wanted));
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
  delete from public.agent_keys k where k.agent_id = of_agent;
  delete from public.agent_revisions r where r.agent_id = of_agent;
  if exists (select from private.agent_deployments d where d.agent_id = of_agent and d.desired <> 'absent') then
    return private.request_change(of_agent, 'delete', actor, 'Deletion requested');
  end if;
  return private.record_event(of_agent, of_user, 'DELETED', actor, 'Agent deleted');
end
$$;

-- Tears down an agent whose row goes: by DELETE /rest/v1/agents, or by the cascade from a deleted account.
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

-- DELETE /api/agents/{id}. The row of an agent that was deployed stays, emptied of content,
-- until the cluster holds nothing of it.
create function private.verb_delete_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  event_id text;
begin
  if a.deleted_at is null then
    event_id := private.teardown(a.id, caller, 'user:' || caller);
    a.deleted_at := now();
    perform private.write_agent(jsonb_populate_record(a,
      (select jsonb_object_agg(f.name, f.empty) from private.agent_fields f where f.erased)));
    delete from public.agents x
      where x.id = a.id and not exists (select from private.agent_deployments d where d.agent_id = a.id);
  end if;
  event_id := coalesce(event_id, private.last_event(a.id));
  return jsonb_build_object('agentId', a.id, 'user_id', caller, 'status', 'DELETING', 'message',
    'Agent deletion initiated',
    'supabase_cleanup', jsonb_build_object(
      'data_retention_policy', private.retention_days() || '_days',
      'personal_data_removal', case when exists (select from public.agent_conversations c where c.agent_id = a.id)
        or exists (select from public.agent_secrets s where s.agent_id = a.id) then 'pending' else 'immediate' end,
      'audit_log_preserved', exists (select from public.agent_events e where e.agent_id = a.id)),
    'supabase_event_id', event_id, 'timestamp', private.iso(now()));
end
$$;
