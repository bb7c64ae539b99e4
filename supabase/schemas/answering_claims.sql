-- Answering, the worker's beginning: what agents show meanwhile, what stands in an answer's way, the claim.

-- Shows what an agent is doing: responding, thinking, else its phase or idle (a definition
-- whose answer failed for good: error).
-- The caller holds the agent's row lock, so that two answers ending at once cannot both take the other for running.
create function private.show_activity(of_agent text, failed boolean default false) returns void
language plpgsql volatile set search_path = '' as $$
declare
  activity text;
begin
  select case when bool_or(j.responding_at is not null) then 'responding' else 'thinking' end into activity
    from private.reply_jobs j where j.agent_id = of_agent and j.state = 'running' having count(*) > 0;
  activity := private.status_of((select d.phase from private.agent_deployments d where d.agent_id = of_agent),
    coalesce(activity, case when failed then 'error' end));
  update public.agents a set status = activity where a.id = of_agent and a.status is distinct from activity;
end
$$;

-- Whether the last answer of a deployed agent, since it was deployed, failed for good.
create function private.last_answer_failed(a public.agents) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((select max(j.updated_at) from private.reply_jobs j where j.agent_id = a.id and j.state = 'failed')
    > greatest(a.deployed_at, (select max(j.updated_at) from private.reply_jobs j where j.agent_id = a.id
      and j.state = 'done')),
    false);
end
$$;

-- Locks agents in one order, so that two batches cannot deadlock. Not FOR UPDATE: messages refer to agents.
create function private.lock_agents(ids text[]) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform from public.agents a where a.id = any (ids) order by a.id for no key update;
end
$$;

-- Ends a job for good: the failure becomes an answer of status error, with what was said before, the agent shows it and
-- its log keeps it.
-- The caller holds the locks of the agent and the job.
create function private.conclude_failure(j private.reply_jobs, failure jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  code text := left(coalesce(failure ->> 'code', 'INTERNAL_ERROR'), 100);
  reason text := left(coalesce(failure ->> 'message', 'The agent failed to answer.'), 500);
begin
  update private.reply_jobs x set state = 'failed', last_error = code || ': ' || reason, lease_expires_at = null,
      updated_at = now() where x.id = j.id;
  insert into public.messages (id, user_id, swarm_id, conversation_id, agent_id, sender_kind, sender_name,
    content, status,
      error, reply_to, root_id, turn)
    select j.id, j.user_id, j.swarm_id, m.conversation_id, j.agent_id, 'agent', a.name,
      left(coalesce(failure ->> 'content', ''), 200000),
      'error',
      jsonb_build_object('code', code, 'message', reason), m.id, j.root_id, j.turn
    from public.messages m, public.agents a where m.id = j.message_id and a.id = j.agent_id;
  perform private.show_activity(j.agent_id, true);
  perform private.record_event(j.agent_id, j.user_id, 'ERROR', 'system', reason,
    details => jsonb_build_object('code', code, 'messageId', j.message_id, 'attempts', j.attempts));
  perform private.tell(j, 'reply.failed', jsonb_build_object('code', code, 'message', reason, 'final', true));
end
$$;

-- Why an answer must not, or cannot yet, be made: {code, message, final}, or {code, wait} for
-- a moment's wait; null when it can.
-- What it may cost is judged by private.reserve.
create function private.reply_obstacle(j private.reply_jobs) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  d private.agent_deployments;
begin
  select * into d from private.agent_deployments x where x.agent_id = j.agent_id;
  return case
    -- Settling the files wakes it (private.settle_knowledge).
    when private.awaits_knowledge(j) then '{"code": "KNOWLEDGE_PENDING", "wait": true}'
    when d.desired = 'asleep' then '{"code": "ASLEEP", "wake": true, "wait": true}'
    -- Its end is told (private.resume_woken); what takes longer than a wake may is not ready, like any other.
    when d.phase = 'WAKING' and (d.timings ->> 'requestedAt')::timestamptz > now() - interval '2 minutes' then
      '{"code": "WAKING", "wait": true}'
    when d.agent_id is null or (d.desired = 'running' and d.ready_replicas > 0 and d.url is not null) then null
    when d.desired = 'stopped' then
      '{"code": "CONFLICT", "message": "This agent is stopped; start it to get an answer", "final": true}'
    when d.phase = 'FAILED' then
      '{"code": "DEPLOYMENT_FAILED", "message": "This agent''s deployment failed; see its status", "final": true}'
    else '{"code": "DEPLOYMENT_FAILED", "message": "This agent is not ready", "final": false}' end::jsonb;
end
$$;

-- The most tokens that a task can be as a model's input. A token is at least one byte of text, so bytes are a bound for
-- every provider; what marks, names and instructions add stands in the constants. `respond` measures the prompt itself
-- and reserves anew where this was too little.
create function private.task_tokens(task jsonb) returns bigint
language sql immutable set search_path = ''
return 200
  + coalesce(octet_length(task -> 'agent' ->> 'systemPrompt'), 0)
    + coalesce(octet_length(task -> 'agent' ->> 'character'), 0)
  + case when jsonb_typeof(task -> 'swarm') = 'object' then 600 + octet_length(task ->> 'swarm') else 0 end
  + case when (task ->> 'knowledge')::boolean then 800 + private.answering_limit('knowledge_bytes')
      + private.answering_limit('knowledge_chunks') * 300 else 0 end
  + case when task -> 'tools' <> '[]' then 1400 + octet_length(task ->> 'tools') else 0 end
  + (select coalesce(sum(octet_length(m ->> 'content') + 16 + case m ->> 'role' when 'agent' then
       80 + coalesce(octet_length(m ->> 'name'), 16) else 0 end), 0) from jsonb_array_elements(task -> 'messages') m);

-- Seconds until the next try: 1, 2, 4, 8 … up to 60, with 25 % jitter.
create function private.reply_backoff(attempts integer) returns interval
language sql volatile set search_path = ''
return make_interval(secs => least(60, power(2, greatest(attempts, 1) - 1)) * (0.75 + random() * 0.5));

-- A secret that an answer may be made with: the agent's own, else its user's.
create function private.reply_secret(of_agent text, of_user uuid, secret_name text) returns text
language plpgsql stable set search_path = '' as $$
declare
  held uuid := coalesce(
    (select s.vault_id from public.agent_secrets s where s.agent_id = of_agent and s.name = secret_name),
    (select s.vault_id from public.user_secrets s where s.user_id = of_user and s.name = secret_name));
begin
  return case when held is not null then (select v.decrypted_secret from vault.decrypted_secrets v
    where v.id = held) end;
end
$$;

-- The secret that an MCP server is called with, by its name; null where it needs none.
create function private.mcp_secret_name(plugin text) returns text
language sql immutable set search_path = ''
return substring(plugin from '^mcp:[^#]*#(?:[^=]*=)?(.+)$');

-- The plugins that the runtime brings of an agent that is not deployed, with what they read of its environment: {names,
-- project, environment}; null where it names none. The same tools then answer with and without a deployment.
create function private.own_plugins(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  names jsonb;
begin
  if cardinality(a.plugins) > 0 then
    select jsonb_agg(distinct x.package) into names from unnest(a.plugins) p, private.plugin_parts(p) x
      where x.package = any (private.built_in_plugins());
  end if;
  return case when names is not null then jsonb_build_object('names', names,
    'project', a.supabase_config ->> 'project_ref',
    'environment', (select coalesce(jsonb_object_agg(s.name, v.decrypted_secret), '{}') from public.agent_secrets s
      join vault.decrypted_secrets v on v.id = s.vault_id where s.agent_id = a.id
        and s.name in ('SUPABASE_URL', 'SUPABASE_ANON_KEY', 'SUPABASE_PUBLISHABLE_KEY', 'SUPABASE_ACCESS_TOKEN',
          'COINGECKO_API_URL', 'COINGECKO_API_KEY', 'WEB3_RPC_URL'))) end;
end
$$;
comment on function private.own_plugins(public.agents) is 'The plugins that the runtime brings, with what they read.';

-- What a person calls himself, for agents that write names before what is said; null where nothing is known. An address
-- of mail is no name: it goes to no model.
create function private.name_of_user(of_user uuid) returns text
language sql stable set search_path = ''
return (
  select nullif(left(btrim(regexp_replace(
    coalesce(u.raw_user_meta_data ->> 'name', u.raw_user_meta_data ->> 'full_name'),
    '[[:cntrl:]]+', ' ', 'g')), 100), '') from auth.users u where u.id = of_user);

-- Everything that `respond` needs for these answers. The context is what was said up to the message being answered,
-- oldest first; the oldest goes first when it is too much. One statement for the whole batch: it is planned once
-- (a claim of 50: 14 ms; with a function per answer 46 ms).
create function private.reply_tasks(ids uuid[]) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'jobId', j.id, 'leaseToken', j.lease_token, 'attempt', j.attempts, 'turn', j.turn, 'userId', j.user_id,
        'userName', private.name_of_user(j.user_id), 'question', j.message_id,
      'conversationId', coalesce(question.swarm_id, question.conversation_id),
      'agent', jsonb_build_object('id', a.id, 'name', a.name, 'role', a.role, 'framework', a.framework,
        'model', a.model,
        'systemPrompt', a.system_prompt, 'settings', a.settings,
          'character', private.instructed_character(a."character")),
      'knowledge', exists (select from public.knowledge_files f where f.agent_id = a.id and f.status = 'indexed'),
      'embedding', private.question_model(a.id),
      'swarm', (
        select jsonb_build_object('id', s.id, 'name', s.name, 'members', (
          select coalesce(jsonb_agg(b.name order by x.position), '[]')
          from public.swarm_agents x join public.agents b on b.id = x.agent_id where x.swarm_id = s.id))
        from public.swarms s where s.id = j.swarm_id),
      'messages', (
        select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'role', case
            when c.agent_id = j.agent_id then 'self' when c.sender_kind = 'agent' then 'agent' else 'user' end,
            'name', c.sender_name, 'content', c.content) order by c.created_at, c.id), '[]')
        from (
          select m.*, sum(length(m.content)) over newest_first as so_far, row_number() over newest_first as place
          from (
            (select * from public.messages x where x.swarm_id = question.swarm_id and x.user_id = j.user_id
               and x.status <> 'error' and x.silence is null and x.created_at <= question.created_at
             order by x.created_at desc limit private.answering_limit('context_messages'))
            union all
            (select * from public.messages x where x.conversation_id = question.conversation_id
              and x.user_id = j.user_id
               and x.status <> 'error' and x.silence is null and x.created_at <= question.created_at
             order by x.created_at desc limit private.answering_limit('context_messages'))
          ) m
          window newest_first as (order by m.created_at desc, m.id desc)
        ) c
        where c.so_far <= private.answering_limit('context_characters') or c.place = 1),
      'tools', (
        select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'description', t.description,
          'inputSchema', t.input_schema, 'implementation', t.implementation, 'configuration', x.configuration,
          'secret', case when x.configuration ? 'api_key_ref' then
            private.reply_secret(null, j.user_id, x.configuration ->> 'api_key_ref') end)
              order by t.user_id nulls first, t.name), '[]')
        from public.agent_tools x join public.tools t on t.id = x.tool_id where x.agent_id = j.agent_id and x.enabled),
      'mcpServers', (
        select coalesce(jsonb_agg(jsonb_build_object('plugin', p.plugin, 'secret', case when p.plugin like '%#%' then
          private.reply_secret(j.agent_id, j.user_id, private.mcp_secret_name(p.plugin)) end) order by p.place), '[]')
        from unnest(a.plugins) with ordinality p (plugin, place) where private.is_mcp_plugin(p.plugin)
          and d.url is null),
      'ownPlugins', case when d.url is null then private.own_plugins(a) end,
      'apiKey', private.reply_secret(j.agent_id, j.user_id, case a.framework when 'openai' then 'OPENAI_API_KEY'
        when 'anthropic' then 'ANTHROPIC_API_KEY' when 'google' then 'GOOGLE_GENERATIVE_AI_API_KEY' end),
      'url', d.url) order by j.created_at, j.id), '[]')
    from private.reply_jobs j
    join public.agents a on a.id = j.agent_id
    join public.messages question on question.id = j.message_id
    left join private.agent_deployments d on d.agent_id = j.agent_id
    where j.id = any (ids));
end
$$;

-- Jobs that this worker may take now, each user's in turn. A user's places are those the worker already answers for
-- them and the waiting ones behind: at most 4 while somebody else waits, at most 16 else. So an agent that never
-- answers holds a few places of the worker (32), and the others go on.
create function private.claimable_replies(worker text, most integer) returns setof uuid
language sql stable set search_path = '' as $$
  with held as (
    select r.user_id, count(*) as places from private.reply_jobs r
    where r.state = 'running' and r.lease_holder = worker and r.lease_expires_at >= now() group by r.user_id
  ), waiting as (
    select j.id, j.user_id, j.next_attempt_at, coalesce(h.places, 0)
      + row_number() over (partition by j.user_id order by j.next_attempt_at, j.id) as place
    from private.reply_jobs j left join held h on h.user_id = j.user_id
    where (j.state = 'waiting' and j.next_attempt_at <= now()) or (j.state = 'running' and j.lease_expires_at < now())
  )
  select c.id from waiting c
  where c.place <= private.answering_limit(
    case when (select count(distinct w.user_id) from waiting w) > 1 then 'places_shared' else 'places_alone' end)
  order by c.place, c.next_attempt_at limit most
$$;

-- Waits with an answer for its budget: until the period ends, or until it is raised (private.resume_replies). Judged
-- again every ten minutes, because prices change too. The first time its channel hears of it.
create function private.await_budget(j private.reply_jobs, refusal jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  reason text := left(format('%s: %s', refusal ->> 'code', refusal ->> 'message'), 600);
begin
  update private.reply_jobs x set state = 'waiting', updated_at = now(), last_error = reason, lease_expires_at = null,
      next_attempt_at = now() + make_interval(secs => least(600, (refusal ->> 'retryAfterSeconds')::integer))
    where x.id = j.id;
  if j.last_error is distinct from reason then
    perform private.tell(j, 'reply.waiting',
      jsonb_build_object('code', refusal -> 'code', 'message', refusal -> 'message',
      'resumesAt', refusal -> 'details' -> 'resumesAt'));
  end if;
end
$$;

-- Definer: service_role has no rights on private tables. Locks the jobs (skip locked), their agents, then their users'
-- spending: each answer's call is reserved in this transaction.
create function private.claim_replies(worker text, max_count integer, lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  candidates uuid[];
  j private.reply_jobs;
  obstacle jsonb;
  tasks jsonb;
  task jsonb;
  reserved jsonb;
  taken jsonb := '[]';
begin
  perform private.check_worker(worker, lease_seconds);
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 100, true), 'max_count',
    'Must be between 1 and 100'));
  select coalesce(array_agg(x.id), '{}') into candidates from (
    select y.id from private.claimable_replies(worker, max_count * 4) with ordinality as c (id, place)
    join private.reply_jobs y on y.id = c.id
    order by c.place limit max_count for update of y skip locked
  ) x;
  if candidates = '{}' then
    return '[]';
  end if;
  perform private.lock_agents((select array_agg(y.agent_id) from private.reply_jobs y where y.id = any (candidates)));
  perform private.lock_spending((select array_agg(y.user_id) from private.reply_jobs y where y.id = any (candidates)));
  tasks := (select jsonb_object_agg(t ->> 'jobId', t) from jsonb_array_elements(private.reply_tasks(candidates)) t);
  -- A statement of its own: it sees what other workers committed before the locks were taken, and rechecks.
  for j in
    select * from private.reply_jobs y where y.id = any (candidates)
      and ((y.state = 'waiting' and y.next_attempt_at <= now()) or (y.state = 'running' and y.lease_expires_at < now()))
    order by y.created_at, y.id
  loop
    if j.state = 'running' then
      perform private.expire_reservations(j.user_id, j.id); -- its worker is gone
    end if;
    if j.attempts >= private.answering_limit('attempts') then
      perform private.conclude_failure(j, '{"code": "INTERNAL_ERROR", "message": "The answer broke off too often."}');
      continue;
    end if;
    task := tasks -> j.id::text;
    obstacle := private.reply_obstacle(j);
    if obstacle ? 'wake' then
      obstacle := coalesce(private.wake_for_reply(j), obstacle);
    end if;
    if obstacle is null then
      reserved := private.reserve(gen_random_uuid(), j.agent_id, 'message', null, private.task_tokens(task),
        coalesce((task -> 'agent' -> 'settings' ->> 'max_tokens')::bigint, 4096), 3700, j.id);
      obstacle := case when not reserved ? 'id' then reserved || '{"final": true}' end;
    end if;
    if obstacle is null then
      update private.reply_jobs y set state = 'running', attempts = y.attempts + 1, lease_holder = worker,
          lease_token = gen_random_uuid(), lease_expires_at = now() + make_interval(secs => lease_seconds),
          responding_at = null, updated_at = now()
        where y.id = j.id returning * into j;
      taken := taken || (task || jsonb_build_object('leaseToken', j.lease_token, 'attempt', j.attempts,
        'reservation', reserved,
        'begun', exists (select from private.acting_replies x where x.job_id = j.id)));
      perform private.tell(j, 'reply.started');
    elsif obstacle ? 'wait' then
      update private.reply_jobs y set state = 'waiting', next_attempt_at = now() + interval '1 second',
        updated_at = now(),
          lease_expires_at = null, last_error = obstacle ->> 'code'
        where y.id = j.id;
    elsif obstacle ->> 'code' = 'BUDGET_EXHAUSTED' then
      perform private.await_budget(j, obstacle);
    elsif (obstacle ->> 'final')::boolean or j.attempts + 1 >= private.answering_limit('attempts') then
      perform private.conclude_failure(j, obstacle);
    else
      update private.reply_jobs y set state = 'waiting', attempts = y.attempts + 1,
          next_attempt_at = now() + private.reply_backoff(y.attempts + 3), last_error = obstacle ->> 'message',
            updated_at = now()
        where y.id = j.id;
    end if;
  end loop;
  perform private.show_activity(x.agent_id) from (
    select distinct t -> 'agent' ->> 'id' as agent_id from jsonb_array_elements(taken) t) x;
  return taken;
end
$$;
comment on function private.claim_replies(text, integer, integer) is
  'Leases answers to a worker, each with its reservation.';

-- Wakes the answers that wait for a budget of this user. Jobs that someone holds are being judged at this moment.
create function private.resume_replies(of_user uuid) returns void
language plpgsql volatile set search_path = '' as $$
begin
  update private.reply_jobs y set next_attempt_at = now() where y.id in (
    select x.id from private.reply_jobs x where x.user_id = of_user and x.state = 'waiting'
      and x.next_attempt_at > now()
      and x.last_error like 'BUDGET_EXHAUSTED:%' for update skip locked);
  if found then
    perform private.post_to_respond('{"reason": "budget"}');
  end if;
end
$$;
