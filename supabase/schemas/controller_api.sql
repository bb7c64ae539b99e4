-- What the controller calls, as service_role: claim, heartbeat, report, release, environment, ingest.
-- Invoker functions in `public` (service_role alone may execute them) over definer functions in `private`.

-- The name of this database towards clusters: it marks all that was made there for it, so that two databases may use
-- one cluster, and neither sweeps what is the other's.
create table private.installation (
  only_one boolean primary key default true,
  id uuid not null default gen_random_uuid(),
  constraint installation_only_one check (only_one)
);
alter table private.installation enable row level security;
comment on table private.installation is 'The name of this database towards clusters; one row.';
insert into private.installation default values;

-- What operators decide of agents' pods, by its digest: the image. Agents are given one by rollouts (rollouts.sql).
create table private.platforms (
  id text primary key,
  content jsonb not null,
  created_at timestamptz not null default now(),
  constraint platforms_id_is_digest check (id ~ '^[0-9a-f]{16}$'),
  constraint platforms_content_size check (octet_length(content::text) <= 65536)
);
alter table private.platforms enable row level security;
comment on table private.platforms is 'What operators decide of agents'' pods, by its digest.';

-- One row per controller process that ever reported. A lease lasts while its holder's heartbeat does, so that holding
-- a thousand agents costs one write per heartbeat.
create table private.controllers (
  worker text primary key,
  heartbeat_at timestamptz not null default now(),
  expires_at timestamptz not null,
  report jsonb not null default '{}',
  -- Operators want it to hold nothing, until it starts anew.
  drained boolean not null default false,
  constraint controllers_worker_length check (length(worker) between 1 and 200)
);
alter table private.controllers enable row level security;
comment on table private.controllers is 'Controllers and how long their leases last.';

create function private.check_worker(worker text, lease_seconds integer) returns void
language plpgsql immutable set search_path = '' as $$
begin
  perform private.raise_problems(
    private.problem_if(coalesce(length(worker) not between 1 and 200, true), 'worker', 'Must be 1 to 200 characters')
    || private.problem_if(coalesce(lease_seconds not between 1 and 600, true),
      'lease_seconds', 'Must be between 1 and 600'));
end
$$;

-- Who holds agents and lives no longer. From one holder to the next by the index: a few pages, however many agents
-- there are.
create function private.dead_holders() returns setof text
language sql stable rows 1 set search_path = '' as $$
  with recursive holders (worker) as (
    select min(d.lease_holder) from private.agent_deployments d
    union all
    select (select min(d.lease_holder) from private.agent_deployments d where d.lease_holder > h.worker)
    from holders h where h.worker is not null
  )
  select h.worker from holders h left join private.controllers c on c.worker = h.worker
  where h.worker is not null and (c.worker is null or c.expires_at < now())
$$;

-- Rows this worker may take now: unsettled ones, and settled ones that should run or sleep where nobody living holds
-- them (somebody answers for the address of a sleeper too), or should run with another platform's pods.
-- A FAILED generation is settled: it is not retried when its holder dies, unless an earlier revision still served, or
-- it was the cluster that refused it: that is tried again now and then.
-- Each part has an index that holds little else (lifecycle.sql), so that agents that run and
-- are held cost nothing here.
-- The planner takes the conditions behind `union all` into each part. No row is in two of them.
create function private.claimable(of_worker text) returns setof private.agent_deployments
language plpgsql stable set search_path = '' as $$
begin
  if exists (select from private.controllers x where x.worker = of_worker and x.drained) then
    return;
  end if;
  return query
  select d.* from private.agent_deployments d
  where d.removed_at is null and d.generation > d.observed_generation and d.next_attempt_at <= now()
    and (d.lease_holder is null or d.lease_holder = of_worker or d.lease_holder in (select private.dead_holders()))
  union all
  select d.* from (
    select a.* from private.agent_deployments a where a.lease_holder is null
    union all
    select b.* from private.dead_holders() as holder
      cross join lateral (select * from private.agent_deployments x where x.lease_holder = holder offset 0) b
    union all
    select c.* from private.agent_deployments c
    where c.lease_holder = of_worker and c.desired = 'running' and c.platform is distinct from c.platform_seen
  ) d
  where d.removed_at is null and d.generation <= d.observed_generation and d.next_attempt_at <= now()
    and (d.desired = 'asleep' or d.desired = 'running' and (d.phase <> 'FAILED' or d.current_replicas > 0
      or d.reason in ('INVALID_OBJECT', 'QUOTA_EXCEEDED', 'FORBIDDEN_BY_POLICY', 'NamespaceTerminating')));
end
$$;

create function private.heartbeat(of_worker text, lease_seconds integer, new_report jsonb) returns void
language sql volatile set search_path = '' as $$
  insert into private.controllers as c (worker, expires_at, report)
  values (of_worker, now() + make_interval(secs => lease_seconds), coalesce(new_report, '{}'))
  on conflict (worker) do update set heartbeat_at = now(), expires_at = excluded.expires_at,
    report = case when new_report is null then c.report else excluded.report end
$$;

-- What a controller gets to know of a deployment. spec is null when nothing shall remain. Each row it is made of is
-- read once: a claim of 50 among 100,000 agents looks at 1,901 pages; 2,626 where agents and
-- quotas were read per field and each row was found three times.
create function private.claim_answer(d private.agent_deployments) returns jsonb
language sql stable set search_path = ''
return (select jsonb_build_object(
  'agentId', d.agent_id, 'userId', d.user_id, 'desired', d.desired, 'generation', d.generation,
  'observedGeneration', d.observed_generation, 'revision', d.revision, 'restarts', d.restarts, 'phase', d.phase,
  'attempts', d.attempts, 'leaseToken', d.lease_token, 'installation', (select i.id from private.installation i),
  'platform', (select p.content || jsonb_build_object('id', p.id) from private.platforms p where p.id = d.platform),
  'url', d.url, 'reason', case when d.phase = 'FAILED' then d.reason end, 'targetReplicas', d.target_replicas,
  'timings', d.timings,
  'quota', case when q.user_id is not null then jsonb_build_object('maxAgents', q.max_agents,
    'maxReplicas', q.max_replicas, 'maxCpuMillicores', q.max_cpu, 'maxMemoryBytes', q.max_memory) end,
  'class', (select private.class_for_pods(c) from private.agent_classes c where c.name = q.agent_class),
  'classesVersion', (select v.version from private.agent_classes_version v),
  'idleSeconds', (a.idle ->> 'afterSeconds')::integer, 'visibility', a.visibility,
  'spec', case when d.desired <> 'absent' then (
    select r.spec || jsonb_build_object('resolvedPlugins', r.resolved_plugins,
      'character', private.instructed_character(r.spec -> 'character'), 'scalingPolicy', a.scaling_policy)
    from public.agent_revisions r where r.agent_id = d.agent_id and r.revision = d.revision) end)
  from (select) one
  left join public.agents a on a.id = d.agent_id
  left join public.quotas q on q.user_id = d.user_id);

-- Definer: service_role has no rights on private tables. Locks the claimed rows (skip locked) until commit.
create function private.claim_deployments(of_worker text, max_count integer, lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  candidates text[];
  places tid[];
  answers jsonb;
  taken text[];
begin
  perform private.check_worker(of_worker, lease_seconds);
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 500, true), 'max_count',
    'Must be between 1 and 500'));
  perform private.heartbeat(of_worker, lease_seconds, null);
  select coalesce(array_agg(x.agent_id), '{}'), coalesce(array_agg(x.place), '{}') into candidates, places from (
    select d.agent_id, d.ctid as place from private.agent_deployments d
    where d.agent_id = any (array(select c.agent_id from private.claimable(of_worker) c))
    -- What this worker already has in hand comes last, so that it cannot crowd out the rest.
    order by d.lease_holder is not distinct from of_worker and d.claimed_generation = d.generation, d.next_attempt_at
    limit max_count
    for update of d skip locked
  ) x;
  -- A statement of its own: it sees what other workers committed before the locks were taken, and rechecks. The rows
  -- are locked, so they are where they were.
  with leased as (
    update private.agent_deployments d set
      lease_token = case when d.lease_holder = of_worker then d.lease_token else gen_random_uuid() end,
      lease_holder = of_worker,
      claimed_generation = d.generation,
      timings = case when d.timings ? 'claimedAt' then d.timings
        else d.timings || jsonb_build_object('claimedAt', private.iso(clock_timestamp())) end
    where d.ctid = any (places) and d.agent_id = any (candidates)
      and d.agent_id = any (array(select c.agent_id from private.claimable(of_worker) c))
      and (d.lease_holder is distinct from of_worker or d.claimed_generation <> d.generation)
    returning d.agent_id, private.claim_answer(d) || private.environment_of_woken(d) as answer
  )
  select coalesce(jsonb_agg(l.answer), '[]'), coalesce(array_agg(l.agent_id), '{}') into answers, taken from leased l;
  -- What it had in hand already.
  return answers || (
    select coalesce(jsonb_agg(private.claim_answer(d)), '[]') from private.agent_deployments d
    where d.agent_id = any (array(select c from unnest(candidates) c except select t from unnest(taken) t))
      and d.lease_holder = of_worker
  );
end
$$;
comment on function private.claim_deployments(text, integer, integer) is 'Leases work to a controller.';

-- How long the oldest agent in each phase has waited for its newest change, in seconds. Agents
-- that no controller holds count too:
-- they wait after an error. Agents that an operator paused wait on purpose.
create function private.oldest_waits() returns jsonb
language sql stable set search_path = ''
return (
  select coalesce(jsonb_object_agg(w.phase, w.seconds), '{}')
  from (
    select d.phase, round(extract(epoch from clock_timestamp()
      - min(coalesce((d.timings ->> 'requestedAt')::timestamptz, d.created_at))), 1) as seconds
    from private.agent_deployments d
    where d.removed_at is null and d.generation > d.observed_generation
      and not d.conditions @> '[{"type": "Paused", "status": "True"}]'
    group by d.phase
  ) w
);

-- Definer: as above. Keeps the worker's leases alive; reports what waits, so that an idle controller need not claim.
create function private.heartbeat_controller(of_worker text, lease_seconds integer, report jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.check_worker(of_worker, lease_seconds);
  perform private.heartbeat(of_worker, lease_seconds, coalesce(report, '{}'));
  perform private.hear_platform();
  return jsonb_build_object('alive', true,
    -- What is removed is held by nobody; not to ask for it lets the index alone answer.
    'held', (select count(*) from private.agent_deployments d where d.lease_holder = of_worker),
    'pending', (select count(*) from private.claimable(of_worker)),
    'waiting', private.oldest_waits(),
    'classesVersion', (select v.version from private.agent_classes_version v),
    'settings', private.platform_problems(report -> 'platform' -> 'content'),
    'fleet', private.fleet_state());
end
$$;

-- Definer: as above. All leases of a worker that starts or stops.
create function private.release_worker(of_worker text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  released integer;
begin
  update private.agent_deployments d set lease_holder = null, lease_token = null where d.lease_holder = of_worker;
  get diagnostics released = row_count;
  delete from private.controllers c where c.worker = of_worker;
  return jsonb_build_object('released', released);
end
$$;

-- Definer: as above. Accepts an observation from the lease's holder for the present generation; refuses any other.
create function private.report_deployment(of_agent text, of_generation bigint, token uuid, report jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  d private.agent_deployments;
  after private.agent_deployments;
  next_phase text := report ->> 'phase';
  settles boolean := next_phase in ('DEPLOYED', 'ASLEEP', 'FAILED', 'STOPPED', 'DELETED');
begin
  -- Locks go from the agent to its deployment, as in every verb: the other way round the two would deadlock.
  -- An agent shows its phase and its address, which may change alone: another port, another domain.
  if next_phase is not null or exists (select from private.agent_deployments x
      where x.agent_id = of_agent and x.url <> report ->> 'url') then
    perform from public.agents a where a.id = of_agent for update;
  end if;
  select * into d from private.agent_deployments x where x.agent_id = of_agent and x.removed_at is null for update;
  if not found then
    return '{"accepted": false, "reason": "gone"}';
  elsif d.lease_token is distinct from token then
    return jsonb_build_object('accepted', false, 'reason', 'lease_lost', 'generation', d.generation);
  elsif d.generation <> of_generation then
    return jsonb_build_object('accepted', false, 'reason', 'stale_generation', 'generation', d.generation);
  elsif next_phase = d.phase then
    next_phase := null;
  elsif next_phase is not null and not exists (select from private.phase_transitions t
      where t.from_phase = d.phase and t.cause = 'controller' and t.to_phase = next_phase) then
    return jsonb_build_object('accepted', false, 'reason', 'transition_refused', 'generation', d.generation,
      'phase', d.phase);
  end if;
  if jsonb_array_length(coalesce(nullif(report -> 'corrections', 'null'), '[]')) > 0 then
    perform private.record_event(of_agent, d.user_id, 'CORRECTED', 'controller',
      left('Changed by others in the cluster and put back: '
        || (select string_agg(c, '; ') from jsonb_array_elements_text(report -> 'corrections') c), 2000),
      null, null, of_generation, d.revision);
  end if;
  after := d;
  after.phase := coalesce(next_phase, d.phase);
  after.observed_generation := case when settles then of_generation else d.observed_generation end;
  after.current_replicas := coalesce((report ->> 'currentReplicas')::integer, d.current_replicas);
  after.ready_replicas := coalesce((report ->> 'readyReplicas')::integer, d.ready_replicas);
  after.url := coalesce(report ->> 'url', d.url);
  after.conditions := case when octet_length((report -> 'conditions')::text) > 16384 then d.conditions
    else coalesce(nullif(report -> 'conditions', 'null'), d.conditions) end;
  if report -> 'platform' ->> 'id' is not null then
    after.platform_at := case when report -> 'platform' ->> 'id' is distinct from d.platform_seen
      or d.platform_at is null
      then case when report -> 'platform' ->> 'state' = 'ready' then now() end else d.platform_at end;
    after.platform_seen := report -> 'platform' ->> 'id';
    after.platform_state := report -> 'platform' ->> 'state';
    after.platform_problem := left(report -> 'platform' ->> 'problem', 2000);
  end if;
  after.application := coalesce(private.within(nullif(report -> 'application', 'null'), 16384), d.application);
  -- A reason without a phase tells how far one is that goes on.
  if next_phase is not null or report ? 'reason' then
    after.reason := left(report ->> 'reason', 100);
    after.message := left(report ->> 'message', 2000);
  end if;
  if settles then
    after.attempts := 0;
    after.last_error := null;
  end if;
  if next_phase = 'DEPLOYED' then
    after.timings := d.timings || jsonb_build_object('deployedAt', private.iso(clock_timestamp()))
      || case when d.phase = 'DEPLOYING' then jsonb_build_object('deploySeconds',
           round(extract(epoch from clock_timestamp() - (d.timings ->> 'requestedAt')::timestamptz), 3)) else '{}' end
      || case when d.phase = 'WAKING' then jsonb_build_object('wakeMs',
           round(extract(epoch from clock_timestamp() - (d.timings ->> 'requestedAt')::timestamptz) * 1000)) else '{}'
         end;
  elsif next_phase = 'DELETED' then
    after.removed_at := now();
    after.lease_holder := null;
    after.lease_token := null;
  end if;
  if after is not distinct from d then
    return jsonb_build_object('accepted', true, 'phase', d.phase);
  end if;
  update private.agent_deployments x set phase = after.phase, observed_generation = after.observed_generation,
      current_replicas = after.current_replicas, ready_replicas = after.ready_replicas, url = after.url,
      platform_seen = after.platform_seen, platform_state = after.platform_state,
        platform_problem = after.platform_problem,
      platform_at = after.platform_at, conditions = after.conditions, application = after.application,
        reason = after.reason, message = after.message,
      attempts = after.attempts, last_error = after.last_error, timings = after.timings, removed_at = after.removed_at,
      lease_holder = after.lease_holder, lease_token = after.lease_token, updated_at = now()
    where x.agent_id = of_agent;
  if next_phase is not null or after.url <> d.url then
    perform private.show_phase(after);
  end if;
  if next_phase is not null then
    perform private.record_event(of_agent, d.user_id, next_phase, 'controller',
      coalesce(after.message, format('%s → %s', d.phase, next_phase)), d.phase, next_phase, of_generation, d.revision,
      jsonb_strip_nulls(jsonb_build_object('reason', after.reason, 'currentReplicas', after.current_replicas,
        'readyReplicas', after.ready_replicas,
        'wakeMs', case when d.phase = 'WAKING' and next_phase = 'DEPLOYED' then after.timings -> 'wakeMs' end)));
    if d.phase = 'WAKING' then
      perform private.resume_woken(of_agent);
    end if;
    if next_phase = 'DELETED' then
      delete from public.agents a where a.id = of_agent;
    end if;
  end if;
  return jsonb_build_object('accepted', true, 'phase', after.phase);
end
$$;
comment on function private.report_deployment(text, bigint, uuid, jsonb) is
  'Stores what a controller saw, fenced by lease and generation.';

-- Definer: as above. Backoff after an error: 1 s, three times as long per attempt up to 5 minutes, with 25 % jitter.
create function private.release_deployment(of_agent text, token uuid, error text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  update private.agent_deployments d set lease_holder = null, lease_token = null,
    attempts = d.attempts + (error is not null)::integer,
    last_error = coalesce(left(error, 2000), d.last_error),
    next_attempt_at = case when error is null then now()
      else now() + make_interval(secs => least(300, power(3, least(d.attempts, 10))) * (0.75 + random() * 0.5)) end
  where d.agent_id = of_agent and d.lease_token = token;
  return jsonb_build_object('released', found);
end
$$;

-- What signs the platform's messages to an agent's own address: `respond` derives the same (messageKey). Reads Vault;
-- null where the function has no secret yet.
create function private.message_key(of_agent text) returns text
language sql stable set search_path = ''
return (select encode(extensions.hmac('messages of ' || of_agent, s.decrypted_secret, 'sha256'), 'hex')
  from vault.decrypted_secrets s where s.name = 'launchpad_respond_secret');

-- The secrets of an agent, with their values, and that they were read: for who was given its lease.
create function private.read_environment(of_agent text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  perform private.record_secret_access(of_agent);
  return (
    select coalesce(jsonb_object_agg(s.name, v.decrypted_secret), '{}')
      -- Last: a name of the machinery, which no secret can take.
      || jsonb_strip_nulls(jsonb_build_object('AGENT_MESSAGE_KEY', private.message_key(of_agent)))
    from public.agent_secrets s join vault.decrypted_secrets v on v.id = s.vault_id where s.agent_id = of_agent);
end
$$;

-- What goes with the first claim of an agent that wakes: its secrets, for which its caller waits otherwise. Where they
-- cannot be read, the claims of others go on; the controller asks for them alone and learns why.
create function private.environment_of_woken(d private.agent_deployments) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  if d.phase <> 'WAKING' or d.desired <> 'running' then
    return '{}';
  end if;
  return jsonb_build_object('environment', private.read_environment(d.agent_id));
exception when others then
  return '{}';
end
$$;

-- Definer: reads Vault. The lease authorises: only who was given this generation of this agent gets its secrets.
create function private.agent_environment(of_agent text, of_generation bigint, token uuid) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  if not exists (select from private.agent_deployments d
      where d.agent_id = of_agent and d.generation = of_generation and d.lease_token = token
        and d.desired <> 'absent') then
    perform private.raise_error('CONFLICT', 'No lease on this generation of this agent');
  end if;
  return private.read_environment(of_agent);
end
$$;

-- Definer: service_role has no rights on private tables.
create function private.controller_installation() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return private.fleet_state();
end
$$;

-- Of what a cluster holds, what nobody wants any more: agents without a deployment that is still to be removed by its
-- holder, those that are stopped and held by nobody (a call that was given up may take effect after the stop), and
-- users with neither a deployment nor an account. held: {agents: [id], users: [uuid]}. known: those of them whose end
-- the database has seen; the others it never heard of. The answer says which database gives it, and what operators
-- want: a word of another database removes nothing. Definer: as above, and reads auth.users.
create function private.gone_workloads(held jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object(
    'agents', (select coalesce(jsonb_agg(a), '[]') from jsonb_array_elements_text(held -> 'agents') a
      where not exists (select from private.agent_deployments d where d.agent_id = a and d.removed_at is null
        and (d.phase <> 'STOPPED' or d.desired <> 'stopped' or d.observed_generation < d.generation
          or d.lease_holder is not null))),
    'users', (select coalesce(jsonb_agg(u), '[]') from jsonb_array_elements_text(held -> 'users') u
      where not exists (select from private.agent_deployments d where d.user_id = u::uuid and d.removed_at is null)
        and not exists (select from auth.users x where x.id = u::uuid)),
    'known', jsonb_build_object(
      'agents', (select coalesce(jsonb_agg(a), '[]') from jsonb_array_elements_text(held -> 'agents') a
        where exists (select from private.agent_deployments d where d.agent_id = a
          and (d.removed_at is not null or d.desired = 'stopped'))),
      'users', (select coalesce(jsonb_agg(u), '[]') from jsonb_array_elements_text(held -> 'users') u
        where exists (select from private.erased_accounts e where e.user_id = u::uuid))),
    'fleet', private.fleet_state());
end
$$;

-- Log lines as objects, as controllers before 0.2 send them; today's send arrays (ingest_log_lines).
-- Definer: as above; service_role may not read private.agent_deployments.
create function private.ingest_agent_logs(rows jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  return (
    select private.store_log_lines(coalesce(array_agg(r."agentId"), '{}'), coalesce(array_agg(r.replica), '{}'),
      coalesce(array_agg(r.sequence), '{}'), coalesce(array_agg(r."timestamp"), '{}'),
      coalesce(array_agg(r.level), '{}'), coalesce(array_agg(r.message), '{}'), coalesce(array_agg(r.source), '{}'),
      coalesce(array_agg(r.metadata), '{}'))
    from jsonb_to_recordset(rows) as r ("agentId" text, replica text, sequence bigint, "timestamp" timestamptz,
      level text, message text, source text, metadata jsonb)
  );
end
$$;

-- Definer: as above.
create function private.ingest_agent_metrics(rows jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  given integer := jsonb_array_length(rows);
  known integer;
  accepted integer;
begin
  with r as (
    select * from jsonb_to_recordset(rows) as x ("agentId" text, replica text, sequence bigint, "timestamp" timestamptz,
      "cpuUsage" double precision, "cpuLimit" double precision, "memoryUsage" bigint, "memoryLimit" bigint,
      "networkIn" bigint, "networkOut" bigint, "requestsTotal" bigint, "requestsSuccess" bigint,
        "requestsErrors" bigint,
      "requestRate" double precision, "responseTimeMs" double precision)
  ), owned as (
    select r.*, d.user_id from r join private.agent_deployments d on d.agent_id = r."agentId"
  ), stored as (
    insert into public.agent_metrics (agent_id, user_id, "timestamp", replica, sequence, cpu_usage,
      cpu_limit, memory_usage,
      memory_limit, network_in, network_out, requests_total, requests_success, requests_errors, request_rate,
        response_time_ms)
    select o."agentId", o.user_id, coalesce(o."timestamp", now()), o.replica, o.sequence, o."cpuUsage", o."cpuLimit",
      o."memoryUsage", o."memoryLimit", o."networkIn", o."networkOut", o."requestsTotal", o."requestsSuccess",
      o."requestsErrors", o."requestRate", o."responseTimeMs"
    from owned o
    on conflict (agent_id, replica, sequence) do nothing
    returning 1
  )
  select (select count(*) from owned), (select count(*) from stored) into known, accepted;
  return jsonb_build_object('accepted', accepted, 'duplicates', known - accepted, 'unknown', given - known);
end
$$;

grant execute on function private.claim_deployments(text, integer, integer),
  private.heartbeat_controller(text, integer, jsonb),
  private.release_worker(text), private.report_deployment(text, bigint, uuid, jsonb),
    private.release_deployment(text, uuid, text),
  private.agent_environment(text, bigint, uuid), private.controller_installation(), private.gone_workloads(jsonb),
  private.ingest_agent_logs(jsonb), private.ingest_agent_metrics(jsonb)
  to service_role;

create function public.claim_deployments(worker text, max_count integer default 50, lease_seconds integer default 15)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.claim_deployments(worker, max_count, lease_seconds); end $$;
create function public.heartbeat_controller(worker text, lease_seconds integer default 15, report jsonb default '{}')
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.heartbeat_controller(worker, lease_seconds, report); end $$;
create function public.release_worker(worker text)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.release_worker(worker); end $$;
create function public.report_deployment(agent_id text, generation bigint, lease_token uuid, report jsonb)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.report_deployment(agent_id, generation, lease_token, report); end $$;
create function public.release_deployment(agent_id text, lease_token uuid, error text default null)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.release_deployment(agent_id, lease_token, error); end $$;
create function public.agent_environment(agent_id text, generation bigint, lease_token uuid)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.agent_environment(agent_id, generation, lease_token); end $$;
create function public.controller_installation()
returns jsonb language plpgsql stable set search_path = '' as $$
begin return private.controller_installation(); end $$;
create function public.gone_workloads(held jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
begin return private.gone_workloads(held); end $$;
create function public.ingest_agent_logs(rows jsonb)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.ingest_agent_logs(rows); end $$;
create function public.ingest_agent_metrics(rows jsonb)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.ingest_agent_metrics(rows); end $$;

revoke execute on function public.claim_deployments(text, integer, integer),
  public.heartbeat_controller(text, integer, jsonb),
  public.release_worker(text), public.report_deployment(text, bigint, uuid, jsonb),
    public.release_deployment(text, uuid, text),
  public.agent_environment(text, bigint, uuid), public.controller_installation(), public.gone_workloads(jsonb),
  public.ingest_agent_logs(jsonb), public.ingest_agent_metrics(jsonb)
  from public, anon, authenticated;
grant execute on function public.claim_deployments(text, integer, integer),
  public.heartbeat_controller(text, integer, jsonb),
  public.release_worker(text), public.report_deployment(text, bigint, uuid, jsonb),
    public.release_deployment(text, uuid, text),
  public.agent_environment(text, bigint, uuid), public.controller_installation(), public.gone_workloads(jsonb),
  public.ingest_agent_logs(jsonb), public.ingest_agent_metrics(jsonb)
  to service_role;
comment on function public.claim_deployments(text, integer, integer) is
  'Controller: leases deployments that need work.';
comment on function public.heartbeat_controller(text, integer, jsonb) is
  'Controller: keeps its leases; returns what waits.';
comment on function public.release_worker(text) is 'Controller: gives back all leases of a worker.';
comment on function public.report_deployment(text, bigint, uuid, jsonb) is
  'Controller: reports what it saw of a deployment.';
comment on function public.release_deployment(text, uuid, text) is
  'Controller: gives back a lease; an error delays the next try.';
comment on function public.agent_environment(text, bigint, uuid) is
  'Controller: the secrets of an agent it holds a lease on.';
comment on function public.controller_installation() is
  'Controller: the name that marks this database''s objects in a cluster, and what operators want.';
comment on function public.gone_workloads(jsonb) is
  'Controller: which agents and users of a cluster are no longer wanted.';
comment on function public.ingest_agent_logs(jsonb) is
  'Controllers before 0.2: stores log lines once; later ones call ingest_log_lines.';
comment on function public.ingest_agent_metrics(jsonb) is 'Controller: stores metric samples once.';
