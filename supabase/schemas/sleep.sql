-- Sleep and wake: an agent whose idle time is over holds no replica until a request, a message or its owner wakes it.
-- Whether replicas are idle its controller sees; whether work is open here is judged here, under the agent's lock.

-- What a status counts, without reading an agent's whole log.
create index agent_events_wakes_idx on public.agent_events (agent_id, "timestamp") where event_type = 'WAKING';

-- What keeps an agent awake as far as the database knows: ANSWER_OPEN, HOLDS_CONNECTION (a plugin is, or may be,
-- connected to a platform: what arrives there would wake nobody); null: nothing. The caller holds the agent's lock,
-- which a message to the agent waits for.
create function private.keeps_awake(a public.agents) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case
    when exists (select from private.reply_jobs j where j.agent_id = a.id and j.state in ('waiting', 'running'))
      then 'ANSWER_OPEN'
    when exists (select from jsonb_array_elements(private.platform_states(a)) p where p ->> 'plugin' is not null)
      then 'HOLDS_CONNECTION' end;
end
$$;
comment on function private.keeps_awake(public.agents) is 'What open work keeps an agent awake; null: none.';

create function private.keeps_awake_words(reason text) returns text
language sql immutable set search_path = ''
return case reason
  when 'ANSWER_OPEN' then 'An answer of this agent is open; it can sleep once that is done'
  when 'HOLDS_CONNECTION' then
    'A plugin of this agent holds a connection to a platform, so it never sleeps; remove the plugin first' end;

-- The refusal of a budget that pauses and is used up (of the agent or its user); null: none.
create function private.spent_budget(of_user uuid, of_agent text) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  b public.budgets;
  spent bigint;
begin
  for b in select * from public.budgets x where x.user_id = of_user and x.action = 'pause'
      and (x.agent_id is null or x.agent_id = of_agent) order by x.id loop
    spent := (private.budget_use(b)).spent;
    if spent >= b.limit_micros then
      return private.reserve_refusal('BUDGET_EXHAUSTED', format('The %s budget of $%s%s is used up',
          case b.period when 'day' then 'daily' else 'monthly' end, round(b.limit_micros / 1000000.0, 2),
          case when b.agent_id is null then '' else ' of this agent' end),
        private.period_end(b.period),
        jsonb_build_object('budgetId', b.id, 'limitMicros', b.limit_micros, 'spentMicros', spent));
    end if;
  end loop;
  return null;
end
$$;

-- Wakes an agent that is asleep, through every gate of a start: its owner's account, budgets, the quota, the security
-- gate, the rules for plugins. One that is awake already is left alone. The caller holds the agent's lock. Returns the
-- event's id. Raises BUDGET_EXHAUSTED, PERMISSION_DENIED, and what private.request_change raises.
create function private.wake(d private.agent_deployments, actor text, message text, cause text) returns text
language plpgsql volatile set search_path = '' as $$
declare
  refusal jsonb := coalesce(private.account_refusal(d.user_id), private.spent_budget(d.user_id, d.agent_id));
begin
  if refusal is not null then
    perform private.raise_error(refusal ->> 'code', refusal ->> 'message', nullif(refusal -> 'details', 'null'));
  end if;
  return private.request_change(d.agent_id, 'wake', actor, message, false, jsonb_build_object('cause', cause));
end
$$;

-- The same, with a refusal as the answer {code, message, details}; null: it is awake or waking.
create function private.try_wake(of_agent text, cause text) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments;
  refusal text;
begin
  select * into d from private.agent_deployments x where x.agent_id = of_agent for update;
  if d.desired is distinct from 'asleep' then
    return null;
  end if;
  perform private.wake(d, 'system', format('Woken by a %s', cause), cause);
  return null;
exception when sqlstate 'PGRST' then
  get stacked diagnostics refusal = message_text;
  return refusal::jsonb || jsonb_build_object('details', (refusal::jsonb ->> 'details')::jsonb);
end
$$;

-- A message to a sleeper wakes it: null, and the answer waits; else the obstacle that private.claim_replies deals with.
create function private.wake_for_reply(j private.reply_jobs) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  refusal jsonb := private.try_wake(j.agent_id, 'message');
begin
  return case
    when refusal ->> 'code' = 'BUDGET_EXHAUSTED'
      then refusal || jsonb_build_object('retryAfterSeconds', refusal -> 'details' -> 'retryAfterSeconds')
    when refusal is not null then refusal || '{"final": true}' end;
end
$$;

-- Answers that waited for an agent to wake are claimed at once. Those that someone holds are being judged now.
create function private.resume_woken(of_agent text) returns void
language plpgsql volatile set search_path = '' as $$
begin
  update private.reply_jobs y set next_attempt_at = now() where y.id in (
    select x.id from private.reply_jobs x where x.agent_id = of_agent and x.state = 'waiting'
      and x.next_attempt_at > now() and x.last_error in ('ASLEEP', 'WAKING') for update skip locked);
  if found then
    perform private.post_to_respond('{"reason": "woken"}');
  end if;
end
$$;

-- `sleep` of an agent's status. PLUGIN_WORKS: its replicas are never idle, because a plugin runs a service or tasks;
-- its owner may put it to sleep all the same.
create function private.sleep_state(a public.agents, d private.agent_deployments) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object(
    'since', private.iso(d.asleep_since),
    'reason', coalesce(d.asleep_reason, d.awake_reason, case when d.desired = 'running' and a.idle is not null
      and private.has_plugin_that_works(a) then 'PLUGIN_WORKS' end),
    'wakes24h', (select count(*) from public.agent_events e where e.agent_id = a.id and e.event_type = 'WAKING'
      and e."timestamp" > now() - interval '1 day'),
    'lastWakeMs', d.timings -> 'wakeMs');
end
$$;

insert into private.verbs (name, permission, status, idempotent) values
  ('sleep_agent', 'agents:write', 202, true),
  ('wake_agent', 'agents:write', 202, true);

-- POST /api/agents/{id}/sleep. What works is not put to sleep. Asking for what is already wanted changes nothing.
create function private.verb_sleep_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  a public.agents;
  reason text;
  event_id text;
  message text := 'Agent sleep initiated';
begin
  select * into a from public.agents x where x.id = d.agent_id;
  reason := private.keeps_awake(a);
  if d.desired = 'asleep' then
    event_id := private.last_event(d.agent_id);
    message := case d.phase when 'ASLEEP' then 'Agent is asleep already' else 'Agent is falling asleep already' end;
  elsif d.phase in ('DEPLOYED', 'SCALING', 'UPDATING', 'RESTARTING') and reason is not null then
    perform private.raise_error('CONFLICT', private.keeps_awake_words(reason),
      jsonb_build_object('phase', d.phase, 'reason', reason));
  else
    event_id := private.request_change(d.agent_id, 'sleep', 'user:' || caller, 'Sleep requested', false,
      '{"reason": "REQUESTED"}');
  end if;
  return private.verb_answer(d.agent_id, event_id,
    jsonb_build_object('message', message, 'timestamp', private.iso(now())));
end
$$;

-- POST /api/agents/{id}/wake. A stopped agent is started, never woken: CONFLICT.
create function private.verb_wake_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  d private.agent_deployments := private.own_deployment(caller, args ->> 'agent_id');
  event_id text;
  message text := 'Agent wake initiated';
begin
  if d.desired = 'running' then
    event_id := private.last_event(d.agent_id);
    message := case d.phase when 'WAKING' then 'Agent is waking already' else 'Agent is awake already' end;
  else
    event_id := private.wake(d, 'user:' || caller, 'Wake requested', 'user');
  end if;
  return private.verb_answer(d.agent_id, event_id,
    jsonb_build_object('message', message, 'timestamp', private.iso(now())));
end
$$;

create function public.sleep_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('sleep_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.wake_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('wake_agent', jsonb_build_object('agent_id', agent_id)); end $$;
revoke execute on function public.sleep_agent(text), public.wake_agent(text) from public, anon, service_role;
grant execute on function public.sleep_agent(text), public.wake_agent(text) to authenticated;
comment on function public.sleep_agent(text) is
  'Ends every replica until a request, a message or its owner wakes the agent.';
comment on function public.wake_agent(text) is 'Wakes an agent that is asleep.';

-- Definer: service_role has no rights on private tables. A controller saw that every replica has been idle for the
-- agent's idle time → {asleep: true, generation}, or {asleep: false, reason}: ANSWER_OPEN, HOLDS_CONNECTION, BUSY (a
-- change is under way), OFF (it does not sleep by itself), LEASE_LOST, GONE. Fenced by lease and generation.
create function private.sleep_deployment(of_agent text, of_generation bigint, token uuid) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  a public.agents;
  d private.agent_deployments;
  obstacle text;
begin
  select * into a from public.agents x where x.id = of_agent for update;
  select * into d from private.agent_deployments x where x.agent_id = of_agent and x.removed_at is null for update;
  obstacle := case
    when a.id is null or d.agent_id is null then 'GONE'
    when d.lease_token is distinct from token then 'LEASE_LOST'
    when a.idle is null then 'OFF'
    when d.desired <> 'running' or d.phase <> 'DEPLOYED' or d.generation <> of_generation
      or d.observed_generation <> of_generation or d.target_replicas = 0 then 'BUSY'
    else private.keeps_awake(a) end;
  if obstacle is null then
    perform private.request_change(of_agent, 'sleep', 'controller',
      format('Idle for %s seconds', a.idle ->> 'afterSeconds'), false, '{"reason": "IDLE"}');
    return jsonb_build_object('asleep', true, 'generation', d.generation + 1);
  elsif obstacle in ('ANSWER_OPEN', 'HOLDS_CONNECTION') then
    update private.agent_deployments x set awake_reason = obstacle
      where x.agent_id = of_agent and x.awake_reason is distinct from obstacle;
  end if;
  return jsonb_build_object('asleep', false, 'reason', obstacle);
end
$$;

-- Why a caller does not wake this sleeper; null: they may. Nobody wakes a private agent but whom its own door would let
-- in, so that strangers keep none awake. cause: key (credential: a key), preflight (credential: a web page's origin),
-- anonymous (nothing shown); request: the controller has proved the caller's token (private.judge_caller).
create function private.wake_refusal(a public.agents, cause text, credential text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return case
    when a.visibility = 'public' or cause = 'request' then null
    when cause = 'key' then case when not exists (
        select from private.agent_key_digests x join public.agent_keys k on k.id = x.key_id
        where x.digest = private.key_digest(credential) and k.agent_id = a.id and k.revoked_at is null
          and (k.expires_at is null or k.expires_at > now()))
      then '{"code": "INVALID_API_KEY", "message": "The key is unknown, expired or revoked"}' end
    when cause = 'preflight' then case when not exists (
        select from public.agent_keys k where k.agent_id = a.id and k.revoked_at is null
          and (k.expires_at is null or k.expires_at > now()) and credential = any (k.origins))
      then '{"code": "INSUFFICIENT_PERMISSIONS", "message": "No key of this agent lists this origin"}' end
    else '{"code": "INVALID_API_KEY", "message":
      "Send a key of this agent, or its owner''s token, as Authorization: Bearer <token>"}' end::jsonb;
end
$$;
comment on function private.wake_refusal(public.agents, text, text) is
  'Why a caller does not wake a sleeping agent; null: they may.';

-- Definer: as above. Somebody asks for an agent at its address: wakes it where it is asleep and the caller may wake it
-- (private.wake_refusal). Any controller may call it, also a thousand times at once: that is one wake.
-- → {state: awake | waking | refused, phase, generation}; refused with {status, code, message, details} for whoever
-- asked: INVALID_API_KEY, INSUFFICIENT_PERMISSIONS are about this caller, all others about the agent.
create function private.wake_deployment(of_agent text, cause text, credential text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  a public.agents;
  d private.agent_deployments;
  refusal jsonb;
begin
  select * into d from private.agent_deployments x where x.agent_id = of_agent;
  if d.desired = 'asleep' then
    -- Without the agent's lock: a stranger's call waits for nobody and keeps nobody waiting.
    select * into a from public.agents x where x.id = of_agent;
    refusal := private.wake_refusal(a, cause, credential);
    if refusal is null then
      -- Locks go from the agent to its deployment, as in every verb.
      perform from public.agents x where x.id = of_agent for update;
      refusal := private.try_wake(of_agent, 'request');
    end if;
    select * into d from private.agent_deployments x where x.agent_id = of_agent;
  end if;
  refusal := coalesce(refusal, case
    when d.agent_id is null or d.desired = 'absent' then
      '{"code": "AGENT_NOT_FOUND", "message": "No agent runs at this address."}'::jsonb
    when d.desired = 'stopped' then
      '{"code": "CONFLICT", "message": "This agent is stopped; start it to use it."}'
    when d.phase = 'FAILED' and d.ready_replicas = 0 then jsonb_build_object('code', 'DEPLOYMENT_FAILED', 'message',
      'This agent could not be started: ' || coalesce(d.message, d.reason, 'see its status'),
      'details', jsonb_build_object('reason', d.reason)) end);
  return jsonb_build_object('phase', d.phase, 'generation', d.generation) || case
    when refusal is not null then jsonb_build_object('state', 'refused', 'code', refusal -> 'code',
      'status', (private.error_codes() ->> (refusal ->> 'code'))::integer, 'message', refusal -> 'message',
      'details', coalesce(refusal -> 'details', 'null'))
    when d.phase = 'WAKING' then '{"state": "waking"}'
    else '{"state": "awake"}' end;
end
$$;
grant execute on function private.sleep_deployment(text, bigint, uuid), private.wake_deployment(text, text, text)
  to service_role;

create function public.sleep_deployment(agent_id text, generation bigint, lease_token uuid) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.sleep_deployment(agent_id, generation, lease_token); end $$;
create function public.wake_deployment(agent_id text, cause text default 'request', credential text default null)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.wake_deployment(agent_id, cause, credential); end $$;
revoke execute on function public.sleep_deployment(text, bigint, uuid), public.wake_deployment(text, text, text)
  from public, anon, authenticated;
grant execute on function public.sleep_deployment(text, bigint, uuid), public.wake_deployment(text, text, text)
  to service_role;
comment on function public.sleep_deployment(text, bigint, uuid) is
  'Controller: puts an idle agent to sleep, where no work is open.';
comment on function public.wake_deployment(text, text, text) is
  'Controller: wakes an agent that is asked for at its address.';

revoke execute on all functions in schema private from public;
