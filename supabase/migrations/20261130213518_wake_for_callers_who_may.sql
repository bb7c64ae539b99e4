-- Written by `npm run migration`: what supabase/schemas say beyond the migrations before.

set local lock_timeout = '10s';
set local statement_timeout = '5min';
set local search_path = 'pg_catalog';
set local check_function_bodies = 'off';

DROP FUNCTION "private"."wake_deployment"(text, text);

DROP FUNCTION "public"."wake_deployment"(text, text);

ALTER TABLE "private"."plugin_states" ADD COLUMN "works_alone" boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION private.claim_answer(d private.agent_deployments)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
RETURN (SELECT jsonb_build_object('agentId', (claim_answer.d).agent_id, 'userId', (claim_answer.d).user_id, 'desired', (claim_answer.d).desired, 'generation', (claim_answer.d).generation, 'observedGeneration', (claim_answer.d).observed_generation, 'revision', (claim_answer.d).revision, 'restarts', (claim_answer.d).restarts, 'phase', (claim_answer.d).phase, 'attempts', (claim_answer.d).attempts, 'leaseToken', (claim_answer.d).lease_token, 'installation', (SELECT i.id FROM private.installation i), 'platform', (SELECT (p.content || jsonb_build_object('id', p.id)) FROM private.platforms p WHERE (p.id = (claim_answer.d).platform)), 'url', (claim_answer.d).url, 'reason', CASE WHEN ((claim_answer.d).phase = 'FAILED'::text) THEN (claim_answer.d).reason ELSE NULL::text END, 'targetReplicas', (claim_answer.d).target_replicas, 'timings', (claim_answer.d).timings, 'quota', CASE WHEN (q.user_id IS NOT NULL) THEN jsonb_build_object('maxAgents', q.max_agents, 'maxReplicas', q.max_replicas, 'maxCpuMillicores', q.max_cpu, 'maxMemoryBytes', q.max_memory) ELSE NULL::jsonb END, 'class', (SELECT private.class_for_pods(c.*) AS class_for_pods FROM private.agent_classes c WHERE (c.name = q.agent_class)), 'classesVersion', (SELECT v.version FROM private.agent_classes_version v), 'idleSeconds', ((a.idle ->> 'afterSeconds'::text))::integer, 'visibility', a.visibility, 'spec', CASE WHEN ((claim_answer.d).desired <> 'absent'::text) THEN (SELECT (r.spec || jsonb_build_object('resolvedPlugins', r.resolved_plugins, 'character', private.instructed_character((r.spec -> 'character'::text)), 'scalingPolicy', a.scaling_policy)) FROM public.agent_revisions r WHERE ((r.agent_id = (claim_answer.d).agent_id) AND (r.revision = (claim_answer.d).revision))) ELSE NULL::jsonb END) AS jsonb_build_object FROM (((SELECT) one LEFT JOIN public.agents a ON ((a.id = (claim_answer.d).agent_id))) LEFT JOIN public.quotas q ON ((q.user_id = (claim_answer.d).user_id))));

CREATE OR REPLACE FUNCTION private.claim_deployments(of_worker text, max_count integer, lease_seconds integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
    returning d.agent_id, private.claim_answer(d) as answer
  )
  select coalesce(jsonb_agg(l.answer), '[]'), coalesce(array_agg(l.agent_id), '{}') into answers, taken from leased l;
  -- What it had in hand already.
  return answers || (
    select coalesce(jsonb_agg(private.claim_answer(d)), '[]') from private.agent_deployments d
    where d.agent_id = any (array(select c from unnest(candidates) c except select t from unnest(taken) t))
      and d.lease_holder = of_worker
  );
end
$function$;

CREATE OR REPLACE FUNCTION private.has_plugin_that_works(a public.agents)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return exists (select from private.plugin_states s where s.agent_id = a.id and s.works_alone
    and exists (select from unnest(a.plugins) p where p = s.plugin or starts_with(p, s.plugin || '@')));
end
$function$;

CREATE OR REPLACE FUNCTION private.note_plugin(a public.agents, said jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.report_plugins(of_agent text, credential text, plugins jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.sleep_state(a public.agents, d private.agent_deployments)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return jsonb_build_object(
    'since', private.iso(d.asleep_since),
    'reason', coalesce(d.asleep_reason, d.awake_reason, case when d.desired = 'running' and a.idle is not null
      and private.has_plugin_that_works(a) then 'PLUGIN_WORKS' end),
    'wakes24h', (select count(*) from public.agent_events e where e.agent_id = a.id and e.event_type = 'WAKING'
      and e."timestamp" > now() - interval '1 day'),
    'lastWakeMs', d.timings -> 'wakeMs');
end
$function$;

CREATE OR REPLACE FUNCTION private.verb_sleep_agent(caller uuid, args jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.wake_deployment(of_agent text, cause text, credential text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.wake_refusal(a public.agents, cause text, credential text)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.wake_deployment(agent_id text, cause text DEFAULT 'request'::text, credential text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin return private.wake_deployment(agent_id, cause, credential); end $function$;

COMMENT ON FUNCTION "private"."has_plugin_that_works"(public.agents) IS 'Whether a plugin of the agent runs a service or tasks.';

COMMENT ON FUNCTION "private"."wake_refusal"(public.agents, text, text) IS 'Why a caller does not wake a sleeping agent; null: they may.';

COMMENT ON FUNCTION "public"."wake_deployment"(text, text, text) IS 'Controller: wakes an agent that is asked for at its address.';

REVOKE ALL ON FUNCTION "private"."has_plugin_that_works"(public.agents) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."has_plugin_that_works"(public.agents) TO "postgres";

REVOKE ALL ON FUNCTION "private"."wake_deployment"(text, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."wake_deployment"(text, text, text) TO "postgres", "service_role";

REVOKE ALL ON FUNCTION "private"."wake_refusal"(public.agents, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."wake_refusal"(public.agents, text, text) TO "postgres";

REVOKE ALL ON FUNCTION "public"."wake_deployment"(text, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "public"."wake_deployment"(text, text, text) TO "postgres", "service_role";

insert into private.phase_transitions (from_phase, cause, to_phase) overriding system value
select from_phase, cause, to_phase from jsonb_populate_recordset(null::private.phase_transitions, '[
  {"cause":"sleep","to_phase":"SLEEPING","from_phase":"SCALING"},
  {"cause":"sleep","to_phase":"SLEEPING","from_phase":"UPDATING"},
  {"cause":"sleep","to_phase":"SLEEPING","from_phase":"RESTARTING"}
]')
on conflict do nothing;
