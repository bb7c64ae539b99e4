-- Lifecycle: phases, deployments (desired and observed), revisions, the event log.

-- The state machine, as data. cause: the verb of a user, or 'controller'. What is not here is refused.
create table private.phase_transitions (
  from_phase text not null,
  cause text not null,
  to_phase text not null,
  constraint phase_transitions_pkey primary key (from_phase, cause, to_phase)
);
alter table private.phase_transitions enable row level security;
comment on table private.phase_transitions is 'Allowed phase changes and what may cause them.';

insert into private.phase_transitions (from_phase, cause, to_phase) values
  -- A deployment that has not settled once keeps its first phase, whatever else is asked of it.
  ('QUEUED', 'scale', 'QUEUED'), ('QUEUED', 'update', 'QUEUED'), ('QUEUED', 'restart', 'QUEUED'),
  ('DEPLOYING', 'scale', 'DEPLOYING'), ('DEPLOYING', 'update', 'DEPLOYING'), ('DEPLOYING', 'restart', 'DEPLOYING'),
  -- A settled or busy one shows the newest verb.
  ('DEPLOYED', 'scale', 'SCALING'), ('DEPLOYED', 'update', 'UPDATING'), ('DEPLOYED', 'restart', 'RESTARTING'),
  ('SCALING', 'scale', 'SCALING'), ('SCALING', 'update', 'UPDATING'), ('SCALING', 'restart', 'RESTARTING'),
  ('UPDATING', 'scale', 'SCALING'), ('UPDATING', 'update', 'UPDATING'), ('UPDATING', 'restart', 'RESTARTING'),
  ('RESTARTING', 'scale', 'SCALING'), ('RESTARTING', 'update', 'UPDATING'), ('RESTARTING', 'restart', 'RESTARTING'),
  ('FAILED', 'scale', 'SCALING'), ('FAILED', 'update', 'UPDATING'), ('FAILED', 'restart', 'RESTARTING'),
  -- Of operators, for all users: what failed for a cause that is gone.
  ('FAILED', 'retry', 'DEPLOYING'),
  -- A stopped one takes changes for its next start.
  ('STOPPING', 'scale', 'STOPPING'), ('STOPPING', 'update', 'STOPPING'),
  ('STOPPED', 'scale', 'STOPPED'), ('STOPPED', 'update', 'STOPPED'),
  ('QUEUED', 'stop', 'STOPPING'), ('DEPLOYING', 'stop', 'STOPPING'), ('DEPLOYED', 'stop', 'STOPPING'),
  ('SCALING', 'stop', 'STOPPING'), ('UPDATING', 'stop', 'STOPPING'), ('RESTARTING', 'stop', 'STOPPING'),
  ('FAILED', 'stop', 'STOPPING'),
  ('STOPPING', 'start', 'DEPLOYING'), ('STOPPED', 'start', 'DEPLOYING'), ('FAILED', 'start', 'DEPLOYING'),
  ('STOPPED', 'deploy', 'DEPLOYING'), ('FAILED', 'deploy', 'DEPLOYING'),
  ('QUEUED', 'delete', 'DELETING'), ('DEPLOYING', 'delete', 'DELETING'), ('DEPLOYED', 'delete', 'DELETING'),
  ('SCALING', 'delete', 'DELETING'), ('UPDATING', 'delete', 'DELETING'), ('RESTARTING', 'delete', 'DELETING'),
  ('STOPPING', 'delete', 'DELETING'), ('STOPPED', 'delete', 'DELETING'), ('FAILED', 'delete', 'DELETING'),
  -- Asleep: no replicas until a request, a message or its owner wakes it; it takes changes for then.
  ('DEPLOYED', 'sleep', 'SLEEPING'), ('SCALING', 'sleep', 'SLEEPING'), ('UPDATING', 'sleep', 'SLEEPING'),
  ('RESTARTING', 'sleep', 'SLEEPING'), ('SLEEPING', 'wake', 'WAKING'), ('ASLEEP', 'wake', 'WAKING'),
  ('SLEEPING', 'scale', 'SLEEPING'), ('SLEEPING', 'update', 'SLEEPING'), ('SLEEPING', 'restart', 'WAKING'),
  ('ASLEEP', 'scale', 'ASLEEP'), ('ASLEEP', 'update', 'ASLEEP'), ('ASLEEP', 'restart', 'WAKING'),
  ('WAKING', 'scale', 'WAKING'), ('WAKING', 'update', 'WAKING'), ('WAKING', 'restart', 'WAKING'),
  ('SLEEPING', 'stop', 'STOPPING'), ('ASLEEP', 'stop', 'STOPPING'), ('WAKING', 'stop', 'STOPPING'),
  ('SLEEPING', 'delete', 'DELETING'), ('ASLEEP', 'delete', 'DELETING'), ('WAKING', 'delete', 'DELETING'),
  -- The controller.
  ('QUEUED', 'controller', 'DEPLOYING'), ('FAILED', 'controller', 'DEPLOYING'),
  ('DEPLOYING', 'controller', 'DEPLOYED'), ('SCALING', 'controller', 'DEPLOYED'),
  ('UPDATING', 'controller', 'DEPLOYED'), ('RESTARTING', 'controller', 'DEPLOYED'),
  ('QUEUED', 'controller', 'FAILED'), ('DEPLOYING', 'controller', 'FAILED'), ('DEPLOYED', 'controller', 'FAILED'),
  ('SCALING', 'controller', 'FAILED'), ('UPDATING', 'controller', 'FAILED'), ('RESTARTING', 'controller', 'FAILED'),
  ('SLEEPING', 'controller', 'ASLEEP'), ('WAKING', 'controller', 'DEPLOYED'), ('WAKING', 'controller', 'FAILED'),
  ('STOPPING', 'controller', 'FAILED'), ('STOPPING', 'controller', 'STOPPED'), ('DELETING', 'controller', 'DELETED');

-- One row per agent that was ever deployed. No foreign key: it outlives the agent until the
-- cluster holds nothing of it.
create table private.agent_deployments (
  agent_id text primary key,
  user_id uuid not null,
  -- Desired: written by verbs.
  desired text not null,
  generation bigint not null default 1,
  revision integer not null,
  restarts integer not null default 0,
  target_replicas integer not null,
  -- What its scaling policy lets it come to run by itself: quotas count these.
  most_replicas integer not null,
  cpu_millicores integer not null,
  memory_bytes bigint not null,
  -- What operators want of its pods (private.platforms), and the rollout that said so: written by rollouts. Null:
  -- whatever its controller is set to.
  platform text,
  rollout uuid,
  -- Moved into a working phase by verbs and out of it by the controller, only along phase_transitions.
  phase text not null,
  -- Observed: written by report_deployment.
  observed_generation bigint not null default 0,
  current_replicas integer not null default 0,
  ready_replicas integer not null default 0,
  url text,
  conditions jsonb not null default '[]',
  application jsonb,
  reason text,
  message text,
  -- The platform that was applied last, whether its replicas are ready, what keeps them from it, when they first were.
  platform_seen text,
  platform_state text,
  platform_problem text,
  platform_at timestamptz,
  -- Lease and backoff: written by the claim and release functions.
  lease_holder text,
  lease_token uuid,
  claimed_generation bigint not null default 0,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  last_error text,
  timings jsonb not null default '{}',
  -- Since when it is to be asleep, and why (IDLE, REQUESTED); what kept it awake when it was last to sleep.
  asleep_since timestamptz,
  asleep_reason text,
  awake_reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  removed_at timestamptz,
  constraint agent_deployments_desired_known check (desired in ('running', 'asleep', 'stopped', 'absent')),
  constraint agent_deployments_observed_not_ahead check (observed_generation <= generation),
  constraint agent_deployments_replicas_not_negative check (target_replicas >= 0 and current_replicas >= 0
    and ready_replicas >= 0),
  constraint agent_deployments_platform_is_id check (platform ~ '^[0-9a-f]{16}$' and platform_seen ~ '^[0-9a-f]{16}$'),
  constraint agent_deployments_platform_state_known check (platform_state in ('updating', 'ready', 'stuck', 'idle')),
  constraint agent_deployments_platform_problem_length check (length(platform_problem) <= 2000),
  constraint agent_deployments_asleep_reason_known check (asleep_reason in ('IDLE', 'REQUESTED')),
  constraint agent_deployments_awake_reason_known check (awake_reason in ('ANSWER_OPEN', 'HOLDS_CONNECTION')),
  constraint agent_deployments_phase_known check (phase in ('QUEUED', 'DEPLOYING', 'DEPLOYED', 'SCALING', 'UPDATING',
    'RESTARTING', 'SLEEPING', 'ASLEEP', 'WAKING', 'STOPPING', 'STOPPED', 'FAILED', 'DELETING', 'DELETED'))
);
alter table private.agent_deployments enable row level security;
comment on table private.agent_deployments is 'What is wanted of a deployed agent and what the controller saw.';
create index agent_deployments_user_id_idx on private.agent_deployments (user_id) where removed_at is null;
-- What a controller may have to take (private.claimable): unsettled rows by time, rows by holder, rows that should run
-- or sleep and that nobody holds, rows whose pods are of another platform than is wanted.
create index agent_deployments_unsettled_idx on private.agent_deployments (next_attempt_at)
  where removed_at is null and generation > observed_generation;
create index agent_deployments_holder_idx on private.agent_deployments (lease_holder) where lease_holder is not null;
create index agent_deployments_unheld_idx on private.agent_deployments (agent_id)
  where lease_holder is null and removed_at is null and generation <= observed_generation
    and (desired = 'asleep' or desired = 'running' and (phase <> 'FAILED' or current_replicas > 0
      or reason in ('INVALID_OBJECT', 'QUOTA_EXCEEDED', 'FORBIDDEN_BY_POLICY', 'NamespaceTerminating')));
create index agent_deployments_outdated_idx on private.agent_deployments (lease_holder)
  where removed_at is null and generation <= observed_generation and platform is distinct from platform_seen;
-- What retention deletes.
create index agent_deployments_removed_at_idx on private.agent_deployments (removed_at) where removed_at is not null;
-- How long first deployments took lately (private.estimated_deploy_time).
create index agent_deployments_deployed_idx on private.agent_deployments (created_at desc)
  where timings ? 'deploySeconds';

-- Immutable snapshots of what runs. Scaling makes none: the number of replicas is not part of what runs in each.
create table public.agent_revisions (
  agent_id text not null,
  revision integer not null,
  user_id uuid not null,
  spec jsonb not null,
  reason text not null,
  created_by text not null,
  created_at timestamptz not null default now(),
  -- The exact packages of its plugins, once a controller resolved them: {tree, engine,
  -- plugins: [{name, version, integrity}]}.
  resolved_plugins jsonb,
  constraint agent_revisions_pkey primary key (agent_id, revision)
);
alter table public.agent_revisions enable row level security;
create index agent_revisions_user_id_idx on public.agent_revisions (user_id);
grant select on public.agent_revisions to authenticated, service_role;
create policy "owners can read their revisions" on public.agent_revisions for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on column public.agent_revisions.resolved_plugins is
  'The exact versions of its plugins, once they are resolved.';
comment on table public.agent_revisions is 'Every configuration an agent ran with; secrets by name and version only.';

-- Which lock file the present revision of an agent was resolved to; null: none.
create function private.plugin_tree_of(of_agent text) returns text
language sql stable set search_path = ''
return (select r.resolved_plugins ->> 'tree' from private.agent_deployments d
  join public.agent_revisions r using (agent_id, revision) where d.agent_id = of_agent);

-- Append-only audit of every verb and transition. Outlives agents and users.
create table public.agent_events (
  id text primary key default 'event-' || private.random_base32(12),
  agent_id text not null,
  user_id uuid not null,
  seq bigint not null,
  event_type text not null,
  from_phase text,
  to_phase text,
  actor text not null,
  generation bigint,
  revision integer,
  message text not null,
  details jsonb not null default '{}',
  request_id text,
  "timestamp" timestamptz not null default clock_timestamp(),
  constraint agent_events_agent_id_seq_key unique (agent_id, seq)
);
alter table public.agent_events enable row level security;
create index agent_events_user_id_timestamp_idx on public.agent_events (user_id, "timestamp" desc);
grant select on public.agent_events to authenticated, service_role;
create policy "owners can read their events" on public.agent_events for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on table public.agent_events is 'What happened to each agent, in order (seq), for good.';

-- One change alone is allowed: what the erasure of the row's account blanks.
create function private.tg_agent_events__append_only() returns trigger
language plpgsql set search_path = '' as $$
begin
  if tg_op = 'UPDATE' and private.is_erased(old.user_id) and to_jsonb(new) = to_jsonb(private.blanked(old)) then
    return new;
  end if;
  perform private.raise_error('PERMISSION_DENIED', 'agent_events is append-only',
    '{"agent_events": "Rows cannot be changed or deleted"}');
  return null;
end
$$;
create trigger _100_append_only before update or delete on public.agent_events
  for each row execute function private.tg_agent_events__append_only();
create trigger _100_never_truncate before truncate on public.agent_events
  for each statement execute function private.tg_agent_events__append_only();

-- The last seq of each agent. Its row lock makes seq gapless and in commit order.
create table private.agent_event_counters (
  agent_id text primary key,
  last_seq bigint not null
);
alter table private.agent_event_counters enable row level security;
comment on table private.agent_event_counters is 'The last event number of each agent.';

-- Appends an event and returns its id. Locks the agent's counter until commit.
create function private.record_event(
  of_agent text, of_user uuid, event_type text, actor text, message text,
  from_phase text default null, to_phase text default null, generation bigint default null,
  revision integer default null, details jsonb default '{}'
) returns text
language plpgsql volatile set search_path = '' as $$
declare
  event_id text;
begin
  with counted as (
    insert into private.agent_event_counters as c (agent_id, last_seq) values (of_agent, 1)
    on conflict (agent_id) do update set last_seq = c.last_seq + 1
    returning c.last_seq
  )
  insert into public.agent_events (agent_id, user_id, seq, event_type, from_phase, to_phase, actor,
    generation, revision, message, details, request_id)
    select of_agent, of_user, counted.last_seq, record_event.event_type, record_event.from_phase,
      record_event.to_phase, record_event.actor, record_event.generation, record_event.revision, record_event.message,
      record_event.details, left(private.request_header('x-request-id'), 100)
    from counted
    returning id into event_id;
  return event_id;
end
$$;
comment on function private.record_event is 'Appends one event to an agent''s log; returns its id.';

-- What agents.status holds: the phase of a deployed agent in lower case, which work under way covers while it is
-- DEPLOYED (a phase in progress is more worth knowing); the activity of one never deployed. A failed answer is no
-- phase: error shows on the latter alone.
create function private.status_of(phase text, activity text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when phase is null then coalesce(activity, 'idle')
    when phase = 'DEPLOYED' and activity in ('thinking', 'responding') then activity
    else lower(phase)
  end;
end
$$;

-- Shows the phase in agents.status.
create function private.show_phase(d private.agent_deployments) returns void
language plpgsql volatile set search_path = '' as $$
begin
  update public.agents a set
    status = private.status_of(d.phase, a.status),
    url = d.url,
    deployed_at = case when d.phase = 'DEPLOYED' then coalesce((d.timings ->> 'deployedAt')::timestamptz, now())
                       else a.deployed_at end
  where a.id = d.agent_id and d.phase <> 'DELETED'
    and (a.status, a.url) is distinct from (lower(d.phase), d.url);
end
$$;

-- The most replicas that an agent may come to run: an autoscaler goes up to its policy's most by itself.
create function private.most_replicas(wanted integer, policy jsonb) returns integer
language plpgsql immutable set search_path = '' as $$
begin
  return case when wanted > 0 then greatest(wanted, (policy ->> 'max_replicas')::integer) else 0 end;
end
$$;

-- Refuses a change of a deployment that would take what its user's agents may come to run further over the quota. One
-- that takes no more than before passes, also where operators lowered the quota since: whoever has too much may scale
-- down, and change a leaked key. The quota row is locked, so that two changes are judged one after the other. `before`:
-- null for a start. Raises RESOURCE_LIMIT_EXCEEDED.
create function private.enforce_quota(before private.agent_deployments, after private.agent_deployments) returns void
language plpgsql volatile set search_path = '' as $$
declare
  quota public.quotas;
  used record;
  -- Nothing, where it did not run.
  had bigint := case when before.desired = 'running' then before.most_replicas else 0 end;
begin
  select * into quota from public.quotas q where q.user_id = after.user_id for update;
  select coalesce(sum(d.most_replicas), 0) as replicas,
         coalesce(sum(d.most_replicas * d.cpu_millicores::bigint), 0) as cpu,
         coalesce(sum(d.most_replicas * d.memory_bytes), 0) as memory
    into used from private.agent_deployments d
    where d.user_id = after.user_id and d.desired = 'running' and d.removed_at is null;
  if used.replicas > quota.max_replicas and after.most_replicas > had then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', format('Quota of %s exceeded',
      private.counted(quota.max_replicas, 'replica')),
      jsonb_build_object('quota', 'max_replicas', 'limit', quota.max_replicas, 'requested', used.replicas));
  elsif used.cpu > quota.max_cpu
    and after.most_replicas * after.cpu_millicores::bigint > had * coalesce(before.cpu_millicores, 0) then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', format('Quota of %sm CPU exceeded', quota.max_cpu),
      jsonb_build_object('quota', 'max_cpu', 'limit', quota.max_cpu, 'requested', used.cpu));
  elsif used.memory > quota.max_memory
    and after.most_replicas * after.memory_bytes > had * coalesce(before.memory_bytes, 0) then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', format('Quota of %s of memory exceeded',
      private.size_text(quota.max_memory)),
      jsonb_build_object('quota', 'max_memory', 'limit', quota.max_memory, 'requested', used.memory));
  end if;
end
$$;

-- Removes old revisions of an agent: kept are the newest 100, of those as many as have 4 MiB together, and always the
-- newest ten and the one that runs, so that a rollback stays possible.
create function private.prune_revisions(of_agent text) returns void
language plpgsql volatile set search_path = '' as $$
begin
  delete from public.agent_revisions r using (
    select x.revision, row_number() over newest as n, sum(octet_length(x.spec::text)) over newest as bytes
    from public.agent_revisions x where x.agent_id = of_agent
    window newest as (order by x.revision desc)) old
  where r.agent_id = of_agent and r.revision = old.revision and old.n > 10 and (old.n > 100 or old.bytes > 4194304)
    and not exists (select from private.agent_deployments d where d.agent_id = of_agent and d.revision = r.revision);
end
$$;

-- Freezes the agent's present configuration as its next revision; returns its number. Plugins that are named as before
-- keep their exact versions: those of the revision that is rolled back to, else of the newest one.
create function private.make_revision(a public.agents, reason text, actor text, rollback_to integer default null)
  returns integer
language plpgsql volatile set search_path = '' as $$
declare
  made integer;
begin
  insert into public.agent_revisions (agent_id, revision, user_id, spec, reason, created_by, resolved_plugins)
  select a.id, coalesce(max(r.revision), 0) + 1, a.user_id, private.agent_spec(a), make_revision.reason,
    make_revision.actor,
    (select x.resolved_plugins from public.agent_revisions x
     where x.agent_id = a.id and x.spec -> 'plugins' = to_jsonb(a.plugins)
     order by x.revision = make_revision.rollback_to desc nulls last, x.revision desc limit 1)
  from public.agent_revisions r where r.agent_id = a.id
  returning revision into made;
  if made > 10 then
    perform private.prune_revisions(a.id);
  end if;
  return made;
end
$$;

-- First deployment of an agent: QUEUED, generation 1. Returns the event's id.
create function private.begin_deployment(a public.agents, actor text) returns text
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments;
  -- Takes what is assigned rather than performed (see foundation).
  ignored text;
begin
  insert into private.agent_deployments (agent_id, user_id, desired, revision, target_replicas, most_replicas,
      cpu_millicores, memory_bytes, platform, phase, timings)
    values (a.id, a.user_id, 'running', private.make_revision(a, 'deploy', actor), a.replicas,
      private.most_replicas(a.replicas, a.scaling_policy),
      private.cpu_millicores(a.resources ->> 'cpu'), private.run_memory_bytes(a.resources, a.plugins),
      private.stable_platform(a.user_id), 'QUEUED', jsonb_build_object('requestedAt', private.iso(clock_timestamp())))
    returning * into d;
  ignored := private.enforce_quota(null, d);
  if a.plugins <> '{}' then
    perform private.refuse_denied_plugins(a, d.revision);
  end if;
  -- A launch wrote it with the row.
  if a.status <> 'queued' then
    perform private.show_phase(d);
  end if;
  return private.record_event(a.id, a.user_id, 'QUEUED', actor, 'Deployment queued', null,
    'QUEUED', d.generation, d.revision);
end
$$;

-- A verb on a deployed agent: moves the phase along phase_transitions and makes a new
-- generation. Returns the event's id.
-- new_revision: what runs changed; rollback_to: to what it was in this revision. Locks the deployment. Raises CONFLICT,
-- RESOURCE_LIMIT_EXCEEDED, PLUGIN_NOT_ALLOWED.
create function private.request_change(
  of_agent text, verb text, actor text, message text, new_revision boolean default false, details jsonb default '{}',
  rollback_to integer default null
) returns text
language plpgsql volatile set search_path = '' as $$
declare
  before private.agent_deployments;
  after private.agent_deployments;
  a public.agents;
  next_phase text;
  wanted text;
begin
  select * into before from private.agent_deployments d where d.agent_id = of_agent for update;
  select t.to_phase into next_phase from private.phase_transitions t where t.from_phase = before.phase
    and t.cause = verb;
  if next_phase is null then
    perform private.raise_error('CONFLICT', format('Cannot %s an agent that is %s', verb, before.phase),
      jsonb_build_object('phase', before.phase));
  end if;
  select * into a from public.agents where id = of_agent;
  wanted := case when verb in ('start', 'deploy', 'wake') or (verb = 'restart' and before.desired = 'asleep')
      then 'running'
    when verb = 'sleep' then 'asleep' when verb = 'stop' then 'stopped' when verb = 'delete' then 'absent'
    else before.desired end;
  update private.agent_deployments d set
    desired = wanted,
    generation = d.generation + 1,
    revision = case when new_revision then private.make_revision(a, verb, actor, rollback_to) else d.revision end,
    restarts = d.restarts + (verb = 'restart')::integer,
    -- The agent's row may be gone already (DELETE /rest/v1/agents).
    target_replicas = coalesce(a.replicas, d.target_replicas),
    most_replicas = case when a.id is null then d.most_replicas
      else private.most_replicas(a.replicas, a.scaling_policy) end,
    cpu_millicores = coalesce(private.cpu_millicores(a.resources ->> 'cpu'), d.cpu_millicores),
    memory_bytes = coalesce(private.run_memory_bytes(a.resources, a.plugins), d.memory_bytes),
    phase = next_phase, reason = null, message = null,
    attempts = 0, next_attempt_at = now(), last_error = null,
    timings = jsonb_strip_nulls(jsonb_build_object('requestedAt', private.iso(clock_timestamp()),
      'deploySeconds', d.timings -> 'deploySeconds', 'wakeMs', d.timings -> 'wakeMs')),
    asleep_since = case when verb = 'sleep' then now() when wanted = 'asleep' then d.asleep_since end,
    asleep_reason = case when verb = 'sleep' then request_change.details ->> 'reason'
      when wanted = 'asleep' then d.asleep_reason end,
    awake_reason = null,
    updated_at = now()
  where d.agent_id = of_agent
  returning * into after;
  if after.desired = 'running' then
    -- To start again is to take anew, also what failed and was counted on.
    perform private.enforce_quota(case when verb not in ('start', 'deploy', 'retry') then before end, after);
  end if;
  -- Whatever launches anew is judged by the present rules; a change of what runs is not kept
  -- back by a plugin that it leaves alone.
  if verb in ('start', 'deploy', 'retry', 'wake') or (verb = 'restart' and before.phase in ('FAILED', 'ASLEEP'))
    or rollback_to is not null then
    perform private.refuse_denied_plugins(a, after.revision);
  end if;
  perform private.show_phase(after);
  return private.record_event(of_agent, after.user_id,
    case verb when 'scale' then 'SCALING' when 'update' then 'UPDATING'
      when 'restart' then 'RESTARTING' else next_phase end, actor, request_change.message, before.phase, next_phase,
      after.generation, after.revision, request_change.details);
end
$$;
comment on function private.request_change is 'Applies a verb to a deployed agent: new generation, phase and event.';

-- What a change of an agent's row asks of its deployment, in one place for PUT /api and PATCH /rest/v1: a change of
-- what runs, its secrets included, is a new revision and generation; a change of replicas, scaling policy or idle time
-- alone a new generation. Returns the event's id; null where there is no deployment or nothing changed. rollback_to:
-- the revision that made the row what it is now.
create function private.follow_change(before public.agents, after public.agents, actor text,
  rollback_to integer default null)
returns text
language plpgsql volatile set search_path = '' as $$
declare
  spec_after jsonb := private.agent_spec(after);
  spec_before jsonb;
  changed text[];
begin
  -- Secrets are not in the row: those before are the ones that the present revision names.
  select private.agent_spec(before) || jsonb_build_object('secretVersions', r.spec -> 'secretVersions') into spec_before
    from private.agent_deployments d join public.agent_revisions r using (agent_id, revision)
    where d.agent_id = after.id and d.desired <> 'absent';
  if not found then
    return null;
  elsif spec_after <> spec_before then
    select array_agg(case n.key when 'secretVersions' then 'environment' else n.key end order by n.key) into changed
      from jsonb_each(spec_after) n where n.value is distinct from spec_before -> n.key;
    return private.request_change(after.id, 'update', actor,
      case when rollback_to is not null then format('Rollback to revision %s', rollback_to)
        when changed = '{environment}' then 'Environment changed' else 'Configuration changed' end, true,
      jsonb_strip_nulls(jsonb_build_object('changed', changed, 'names', (
        select jsonb_agg(k order by k)
        from jsonb_object_keys((spec_before -> 'secretVersions') || (spec_after -> 'secretVersions')) k
        where spec_before -> 'secretVersions' -> k is distinct from spec_after -> 'secretVersions' -> k))),
          rollback_to);
  elsif after.idle is distinct from before.idle
    and (after.replicas, after.scaling_policy) is not distinct from (before.replicas, before.scaling_policy) then
    return private.request_change(after.id, 'scale', actor, case when after.idle is null then 'Sleeps no more when idle'
      else format('Sleeps after %s idle seconds', after.idle ->> 'afterSeconds') end,
      false, jsonb_build_object('idle', after.idle));
  elsif (after.replicas, after.scaling_policy) is distinct from (before.replicas, before.scaling_policy) then
    return private.request_change(after.id, 'scale', actor,
      format('Scaling from %s to %s', before.replicas, private.counted(after.replicas, 'replica')),
      false, jsonb_build_object('from', before.replicas, 'to', after.replicas, 'scaling_policy', after.scaling_policy));
  end if;
  return null;
end
$$;
comment on function private.follow_change is
  'Asks of an agent''s deployment what a change of its row means; returns the event''s id.';

-- Rolls out a direct write of a deployed agent; verbs call follow_change themselves and answer with its event. Definer:
-- writes deployments and events.
create function private.tg_agents__request_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.follow_change(old, new, coalesce('user:' || (select auth.uid())::text, 'system'));
  return null;
end
$$;
-- _500_request_change: private.agent_fields makes it.

-- Writes the event of a new agent. Definer: writes the event log.
create function private.tg_agents__record_created() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  ignored text;
begin
  ignored := private.record_event(new.id, new.user_id, 'CREATED', coalesce('user:' || auth.uid()::text, 'system'),
    'Agent created');
  return null;
end
$$;
create trigger _500_record_created after insert on public.agents
  for each row execute function private.tg_agents__record_created();

-- Lets clients write the activity; the rest of the status is the lifecycle's. Definer: reads
-- the phase. Raises VALIDATION_ERROR.
create function private.tg_agents__client_status() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  before text := case when tg_op = 'UPDATE' then old.status else 'idle' end;
begin
  if new.status = before then
    return new;
  elsif new.status is null or new.status = 'updated' then
    new.status := before;
  elsif new.status in ('idle', 'thinking', 'responding', 'error') then
    new.status := private.status_of((select d.phase from private.agent_deployments d where d.agent_id = new.id),
      new.status);
  else
    perform private.raise_error('VALIDATION_ERROR', 'Invalid request body', jsonb_build_object('status',
      'Status must be one of: idle, thinking, responding, error; the lifecycle writes the others'));
  end if;
  return new;
end
$$;
create trigger _080_client_status before insert or update on public.agents
  for each row when (current_user in ('authenticated', 'service_role'))
    execute function private.tg_agents__client_status();
