-- Answering: each message asks agents for replies (an outbox with leases), the function `respond` takes them in batches and
-- reports what became of them. Losing a call of the function costs latency, never an answer.

-- Spend caps, in tokens a day (UTC), input and output together.
alter table public.quotas add column max_tokens_per_day bigint not null default 1000000,
  add constraint quotas_tokens_not_negative check (max_tokens_per_day >= 0);
-- Of one agent; null: only its user's cap.
alter table public.agents add column max_tokens_per_day bigint,
  add constraint agents_tokens_not_negative check (max_tokens_per_day >= 0);
grant insert (max_tokens_per_day), update (max_tokens_per_day) on public.agents to authenticated;

-- Definer: calls private helpers. Raises VALIDATION_ERROR, as a wrong value of any other column does.
create function private.tg_agents__validate_cap() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.raise_problems('{"max_tokens_per_day": "Must not be negative"}');
  return new;
end
$$;
create trigger _210_validate_cap before insert or update of max_tokens_per_day on public.agents
  for each row when (new.max_tokens_per_day < 0) execute function private.tg_agents__validate_cap();

-- No foreign key to agents: what was spent stays counted when an agent is deleted.
create table public.usage_daily (
  user_id uuid not null references auth.users (id) on delete cascade,
  day date not null,
  agent_id text not null,
  answers integer not null default 0,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  constraint usage_daily_pkey primary key (user_id, day, agent_id)
);
alter table public.usage_daily enable row level security;
grant select on public.usage_daily to authenticated, service_role;
create policy "owners can read their usage" on public.usage_daily for select to authenticated
  using ((select auth.uid()) = user_id);
create policy "reading usage takes agents:read" on public.usage_daily as restrictive for select to authenticated
  using ((select private.may('agents:read')));
comment on table public.usage_daily is 'Answers and tokens by agent and day (UTC).';

create function private.add_usage(of_user uuid, of_agent text, answers integer, input_tokens bigint, output_tokens bigint)
returns void language sql volatile set search_path = '' as $$
  insert into public.usage_daily as u (user_id, day, agent_id, answers, input_tokens, output_tokens)
  select of_user, (now() at time zone 'UTC')::date, of_agent, add_usage.answers, add_usage.input_tokens, add_usage.output_tokens
  where add_usage.answers + add_usage.input_tokens + add_usage.output_tokens > 0
  on conflict on constraint usage_daily_pkey do update set answers = u.answers + excluded.answers,
    input_tokens = u.input_tokens + excluded.input_tokens, output_tokens = u.output_tokens + excluded.output_tokens
$$;

-- The outbox: one row per answer that is wanted. id becomes the id of the answer's message, so that it can exist once only.
create table private.reply_jobs (
  id uuid primary key default gen_random_uuid(),
  message_id uuid not null references public.messages (id) on delete cascade,
  agent_id text not null references public.agents (id) on delete cascade,
  user_id uuid not null,
  swarm_id uuid,
  root_id uuid not null,
  turn integer not null,
  state text not null default 'waiting',
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_holder text,
  lease_token uuid,
  lease_expires_at timestamptz,
  -- When the first text of this attempt came.
  responding_at timestamptz,
  last_error text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint reply_jobs_state_known check (state in ('waiting', 'running', 'done', 'failed')),
  -- Each agent answers at most once per turn: what bounds agents that talk to each other.
  constraint reply_jobs_root_id_turn_agent_id_key unique (root_id, turn, agent_id)
);
alter table private.reply_jobs enable row level security;
comment on table private.reply_jobs is 'Answers that are wanted of agents, and who is at work on them.';
create index reply_jobs_message_id_idx on private.reply_jobs (message_id);
create index reply_jobs_agent_id_idx on private.reply_jobs (agent_id, state);
create index reply_jobs_waiting_idx on private.reply_jobs (next_attempt_at) where state = 'waiting';
create index reply_jobs_running_idx on private.reply_jobs (lease_expires_at) where state = 'running';
create index reply_jobs_open_by_user_idx on private.reply_jobs (user_id) where state in ('waiting', 'running');

-- Bounds of answering. An attempt that dies with its worker counts as one.
create function private.answering_limit(name text) returns integer
language sql immutable parallel safe set search_path = ''
return case name
  when 'attempts' then 5
  when 'open_jobs' then 1000
  when 'context_messages' then 100
  when 'context_characters' then 48000
end;

-- The private channel on which an answer's progress is told.
create function private.reply_topic(swarm_id uuid, agent_id text) returns text
language sql immutable set search_path = ''
return coalesce('swarm:' || swarm_id, 'agent:' || agent_id);

-- Broadcasts what happens to an answer: reply.started, reply.delta, reply.finished, reply.failed, reply.retried.
create function private.tell(j private.reply_jobs, event text, payload jsonb default '{}') returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform realtime.send(jsonb_build_object('messageId', j.id, 'agentId', j.agent_id, 'replyTo', j.message_id,
    'attempt', j.attempts) || payload, event, private.reply_topic(j.swarm_id, j.agent_id), true);
end
$$;

-- Which of `names` a text addresses as @Name. Longer names first, so that "@Data Analyst" does not also call "Data".
create function private.addressed(content text, names text[]) returns text[]
language plpgsql immutable set search_path = '' as $$
declare
  rest text := lower(content);
  found_names text[] := '{}';
  name text;
  pattern text;
begin
  if position('@' in content) = 0 then
    return found_names;
  end if;
  for name in select distinct n, length(n) from unnest(names) n order by length(n) desc, n loop
    pattern := '(^|[^[:alnum:]_@])@' || regexp_replace(lower(name), '([^[:alnum:] ])', '\\\1', 'g') || '(?![[:alnum:]_])';
    if rest ~ pattern then
      found_names := found_names || name;
      rest := regexp_replace(rest, pattern, '\1 ', 'g');
    end if;
  end loop;
  return found_names;
end
$$;
comment on function private.addressed(text, text[]) is 'The names that a text calls with an @.';

-- Who has to answer a message, and in which turn.
create function private.who_answers(m public.messages) returns table (agent_id text, turn integer)
language plpgsql stable set search_path = '' as $$
declare
  swarm public.swarms;
  own_position integer;
  next_agent text;
begin
  if m.swarm_id is null then
    return query select m.to_agent_id, 1 where m.sender_kind = 'user' and m.to_agent_id is not null;
    return;
  end if;
  select * into swarm from public.swarms s where s.id = m.swarm_id;
  if swarm.reply_mode = 'rounds' then
    if m.sender_kind = 'user' then
      return query select s.agent_id, 1 from public.swarm_agents s where s.swarm_id = m.swarm_id
        order by s.position, s.agent_id limit 1;
      return;
    end if;
    select s.position into own_position from public.swarm_agents s where s.swarm_id = m.swarm_id and s.agent_id = m.agent_id;
    select s.agent_id into next_agent from public.swarm_agents s
      where s.swarm_id = m.swarm_id and (s.position, s.agent_id) > (coalesce(own_position, 0), m.agent_id)
      order by s.position, s.agent_id limit 1;
    if next_agent is not null then
      return query select next_agent, m.turn;
    elsif m.turn < swarm.max_turns then
      return query select s.agent_id, m.turn + 1 from public.swarm_agents s where s.swarm_id = m.swarm_id
        order by s.position, s.agent_id limit 1;
    end if;
  elsif m.sender_kind = 'user' and swarm.reply_mode = 'all' then
    return query select s.agent_id, 1 from public.swarm_agents s where s.swarm_id = m.swarm_id;
  elsif m.status <> 'error' and m.turn < swarm.max_turns then
    return query
      with members as (
        select s.agent_id, a.name from public.swarm_agents s join public.agents a on a.id = s.agent_id
        where s.swarm_id = m.swarm_id and s.agent_id is distinct from m.agent_id
      )
      select x.agent_id, m.turn + 1 from members x
      where x.name = any (private.addressed(m.content, (select array_agg(y.name) from members y)));
  end if;
end
$$;
comment on function private.who_answers(public.messages) is 'The agents that a message asks for an answer.';

-- Queues one signed POST to the function `respond`: a hint, as the controller's webhook is. Vault holds
-- launchpad_functions_url and launchpad_respond_secret; where they are missing, nothing is sent.
create function private.post_to_respond(body jsonb) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform private.post_signed('launchpad_functions_url', 'launchpad_respond_secret', '/respond', body);
end
$$;

-- Definer: writes the outbox and the agents' conversations. One call of the function for a whole statement.
-- Raises RESOURCE_LIMIT_EXCEEDED when too many answers are open already.
create function private.tg_messages__ask() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  asked integer;
  crowded uuid;
begin
  insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content, created_at)
    select coalesce(m.agent_id, m.to_agent_id), m.user_id, m.conversation_id,
      case m.sender_kind when 'user' then 'user' else 'assistant' end, m.content, m.created_at
    from added m
    where m.swarm_id is null and m.status <> 'error' and coalesce(m.agent_id, m.to_agent_id) is not null;
  insert into private.reply_jobs (message_id, agent_id, user_id, swarm_id, root_id, turn)
    select m.id, w.agent_id, m.user_id, m.swarm_id, coalesce(m.root_id, m.id), w.turn
    from public.messages m cross join lateral private.who_answers(m) w
    where m.id in (select a.id from added a)
    on conflict on constraint reply_jobs_root_id_turn_agent_id_key do nothing;
  get diagnostics asked = row_count;
  if asked = 0 then
    return null;
  end if;
  select a.user_id into crowded from (select distinct x.user_id from added x where x.sender_kind = 'user') a
    where (select count(*) from private.reply_jobs j where j.user_id = a.user_id and j.state in ('waiting', 'running'))
      > private.answering_limit('open_jobs') limit 1;
  if crowded is not null then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', 'Too many messages are waiting for answers; try again later',
      jsonb_build_object('limit', private.answering_limit('open_jobs')));
  end if;
  perform private.post_to_respond('{"reason": "message"}');
  return null;
end
$$;
create trigger _900_ask after insert on public.messages
  referencing new table as added for each statement execute function private.tg_messages__ask();

-- Definer: a message that is deleted takes its open answers along; the agent must not stay thinking of them.
create function private.tg_reply_jobs__forget() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.lock_agents(array[old.agent_id]);
  perform private.show_activity(old.agent_id);
  return null;
end
$$;
create trigger _500_forget after delete on private.reply_jobs
  for each row when (old.state = 'running') execute function private.tg_reply_jobs__forget();

-- Definer: DELETE /api/agents keeps the row for a while; its open answers go at once.
create function private.tg_agents__drop_replies() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from private.reply_jobs j where j.agent_id = new.id;
  return null;
end
$$;
create trigger _460_drop_replies after update of deleted_at on public.agents
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function private.tg_agents__drop_replies();

-- Shows what an agent is doing: responding, thinking, else its phase or idle (error after an answer that failed for good).
-- The caller holds the agent's row lock, so that two answers ending at once cannot both take the other for running.
create function private.show_activity(of_agent text, failed boolean default false) returns void
language plpgsql volatile set search_path = '' as $$
declare
  activity text;
  phase text;
begin
  select case when bool_or(j.responding_at is not null) then 'responding' else 'thinking' end into activity
    from private.reply_jobs j where j.agent_id = of_agent and j.state = 'running' having count(*) > 0;
  select d.phase into phase from private.agent_deployments d where d.agent_id = of_agent;
  activity := case
    -- Activity covers DEPLOYED alone: a phase in progress is more worth knowing.
    when phase is not null and phase <> 'DEPLOYED' then lower(phase)
    else coalesce(activity, case when failed then 'error' end, lower(phase), 'idle') end;
  update public.agents a set status = activity where a.id = of_agent and a.status is distinct from activity;
end
$$;

-- Locks agents in one order, so that two batches cannot deadlock. Not FOR UPDATE: messages refer to agents.
create function private.lock_agents(ids text[]) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform from public.agents a where a.id = any (ids) order by a.id for no key update;
end
$$;

-- Ends a job for good: the failure becomes an answer of status error, the agent shows it and its log keeps it.
-- The caller holds the locks of the agent and the job.
create function private.conclude_failure(j private.reply_jobs, failure jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  code text := left(coalesce(failure ->> 'code', 'INTERNAL_ERROR'), 100);
  reason text := left(coalesce(failure ->> 'message', 'The agent failed to answer.'), 500);
begin
  update private.reply_jobs x set state = 'failed', last_error = code || ': ' || reason, lease_expires_at = null,
      updated_at = now() where x.id = j.id;
  insert into public.messages (id, user_id, swarm_id, conversation_id, agent_id, sender_kind, sender_name, content, status,
      error, reply_to, root_id, turn)
    select j.id, j.user_id, j.swarm_id, m.conversation_id, j.agent_id, 'agent', a.name, '', 'error',
      jsonb_build_object('code', code, 'message', reason), m.id, j.root_id, j.turn
    from public.messages m, public.agents a where m.id = j.message_id and a.id = j.agent_id;
  perform private.show_activity(j.agent_id, true);
  perform private.record_event(j.agent_id, j.user_id, 'ERROR', 'system', reason,
    details => jsonb_build_object('code', code, 'messageId', j.message_id, 'attempts', j.attempts));
  perform private.tell(j, 'reply.failed', jsonb_build_object('code', code, 'message', reason, 'final', true));
end
$$;

-- What a user's answers under way may still cost: each at most its agent's max_tokens of output.
create function private.reserved_tokens(of_user uuid, of_agent text default null) returns bigint
language plpgsql stable set search_path = '' as $$
begin
  return (select coalesce(sum(coalesce((a.settings ->> 'max_tokens')::bigint, 4096)), 0)
    from private.reply_jobs j join public.agents a on a.id = j.agent_id
    where j.user_id = of_user and j.state = 'running' and (of_agent is null or j.agent_id = of_agent));
end
$$;

-- Why an answer must not, or cannot yet, be made: {code, message, final}; null when it can. {wait}: answers under way may
-- use up the cap, so this one waits for them, which is no failed attempt.
create function private.reply_obstacle(j private.reply_jobs) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  a public.agents;
  d private.agent_deployments;
  today date := (now() at time zone 'UTC')::date;
  user_cap bigint;
  used bigint;
begin
  select * into a from public.agents x where x.id = j.agent_id;
  select q.max_tokens_per_day into user_cap from public.quotas q where q.user_id = j.user_id;
  if user_cap is not null then
    select coalesce(sum(u.input_tokens + u.output_tokens), 0) into used from public.usage_daily u
      where u.user_id = j.user_id and u.day = today;
    if used >= user_cap then
      return jsonb_build_object('code', 'RESOURCE_LIMIT_EXCEEDED', 'final', true,
        'message', format('The daily limit of %s tokens is used up', user_cap));
    elsif used + private.reserved_tokens(j.user_id) >= user_cap and private.reserved_tokens(j.user_id) > 0 then
      return '{"wait": true}';
    end if;
  end if;
  if a.max_tokens_per_day is not null then
    select coalesce(sum(u.input_tokens + u.output_tokens), 0) into used from public.usage_daily u
      where u.user_id = j.user_id and u.day = today and u.agent_id = j.agent_id;
    if used >= a.max_tokens_per_day then
      return jsonb_build_object('code', 'RESOURCE_LIMIT_EXCEEDED', 'final', true,
        'message', format('This agent''s daily limit of %s tokens is used up', a.max_tokens_per_day));
    elsif used + private.reserved_tokens(j.user_id, j.agent_id) >= a.max_tokens_per_day
        and private.reserved_tokens(j.user_id, j.agent_id) > 0 then
      return '{"wait": true}';
    end if;
  end if;
  select * into d from private.agent_deployments x where x.agent_id = j.agent_id;
  return case
    when d.agent_id is null or (d.desired = 'running' and d.ready_replicas > 0 and d.url is not null) then null
    when d.desired = 'stopped' then
      '{"code": "CONFLICT", "message": "This agent is stopped; start it to get an answer", "final": true}'
    when d.phase = 'FAILED' then
      '{"code": "DEPLOYMENT_FAILED", "message": "This agent''s deployment failed; see its status", "final": true}'
    else '{"code": "DEPLOYMENT_FAILED", "message": "This agent is not ready", "final": false}' end::jsonb;
end
$$;

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
  return case when held is not null then (select v.decrypted_secret from vault.decrypted_secrets v where v.id = held) end;
end
$$;

-- Everything that `respond` needs for these answers. The context is what was said up to the message being answered, oldest
-- first; the oldest goes first when it is too much. One statement for the whole batch: it is planned once
-- (a claim of 50: 14 ms; with a function per answer 46 ms).
create function private.reply_tasks(ids uuid[]) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'jobId', j.id, 'leaseToken', j.lease_token, 'attempt', j.attempts, 'turn', j.turn, 'userId', j.user_id,
      'conversationId', coalesce(question.swarm_id, question.conversation_id),
      'agent', jsonb_build_object('id', a.id, 'name', a.name, 'role', a.role, 'framework', a.framework, 'model', a.model,
        'systemPrompt', a.system_prompt, 'settings', a.settings, 'character', a."character"),
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
               and x.status <> 'error' and x.created_at <= question.created_at
             order by x.created_at desc limit private.answering_limit('context_messages'))
            union all
            (select * from public.messages x where x.conversation_id = question.conversation_id and x.user_id = j.user_id
               and x.status <> 'error' and x.created_at <= question.created_at
             order by x.created_at desc limit private.answering_limit('context_messages'))
          ) m
          window newest_first as (order by m.created_at desc, m.id desc)
        ) c
        where c.so_far <= private.answering_limit('context_characters') or c.place = 1),
      'tools', (
        select coalesce(jsonb_agg(jsonb_build_object('name', t.name, 'description', t.description,
          'inputSchema', t.input_schema, 'implementation', t.implementation, 'configuration', x.configuration,
          'secret', case when x.configuration ? 'api_key_ref' then
            private.reply_secret(null, j.user_id, x.configuration ->> 'api_key_ref') end) order by t.user_id nulls first, t.name), '[]')
        from public.agent_tools x join public.tools t on t.id = x.tool_id where x.agent_id = j.agent_id and x.enabled),
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

-- Jobs that may be taken now, each user's in turn, so that one user's crowd does not keep the others waiting.
create function private.claimable_replies(most integer) returns setof uuid
language sql stable set search_path = '' as $$
  select c.id from (
    select j.id, j.next_attempt_at, row_number() over (partition by j.user_id order by j.next_attempt_at, j.id) as place
    from private.reply_jobs j
    where (j.state = 'waiting' and j.next_attempt_at <= now()) or (j.state = 'running' and j.lease_expires_at < now())
  ) c order by c.place, c.next_attempt_at limit most
$$;

-- Definer: service_role has no rights on private tables. Locks the jobs (skip locked), then their agents.
create function private.claim_replies(worker text, max_count integer, lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  candidates uuid[];
  j private.reply_jobs;
  obstacle jsonb;
  taken uuid[] := '{}';
begin
  perform private.check_worker(worker, lease_seconds);
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 100, true), 'max_count',
    'Must be between 1 and 100'));
  select coalesce(array_agg(x.id), '{}') into candidates from (
    select y.id from private.claimable_replies(max_count * 4) with ordinality as c (id, place)
    join private.reply_jobs y on y.id = c.id
    order by c.place limit max_count for update of y skip locked
  ) x;
  if candidates = '{}' then
    return '[]';
  end if;
  perform private.lock_agents((select array_agg(y.agent_id) from private.reply_jobs y where y.id = any (candidates)));
  -- A statement of its own: it sees what other workers committed before the locks were taken, and rechecks.
  for j in
    select * from private.reply_jobs y where y.id = any (candidates)
      and ((y.state = 'waiting' and y.next_attempt_at <= now()) or (y.state = 'running' and y.lease_expires_at < now()))
    order by y.created_at, y.id
  loop
    if j.attempts >= private.answering_limit('attempts') then
      perform private.conclude_failure(j, '{"code": "INTERNAL_ERROR", "message": "The answer broke off too often."}');
      continue;
    end if;
    obstacle := private.reply_obstacle(j);
    if obstacle is null then
      update private.reply_jobs y set state = 'running', attempts = y.attempts + 1, lease_holder = worker,
          lease_token = gen_random_uuid(), lease_expires_at = now() + make_interval(secs => lease_seconds),
          responding_at = null, updated_at = now()
        where y.id = j.id;
      taken := taken || j.id;
    elsif obstacle ? 'wait' then
      update private.reply_jobs y set state = 'waiting', next_attempt_at = now() + interval '1 second', updated_at = now()
        where y.id = j.id;
    elsif (obstacle ->> 'final')::boolean or j.attempts + 1 >= private.answering_limit('attempts') then
      perform private.conclude_failure(j, obstacle);
    else
      update private.reply_jobs y set state = 'waiting', attempts = y.attempts + 1,
          next_attempt_at = now() + private.reply_backoff(y.attempts + 3), last_error = obstacle ->> 'message', updated_at = now()
        where y.id = j.id;
    end if;
  end loop;
  perform private.show_activity(x.agent_id) from (
    select distinct y.agent_id from private.reply_jobs y where y.id = any (taken)) x;
  perform private.tell(y, 'reply.started') from private.reply_jobs y where y.id = any (taken);
  return private.reply_tasks(taken);
end
$$;
comment on function private.claim_replies(text, integer, integer) is 'Leases answers to a worker.';

-- Definer: as above. Renews the lease; broadcasts new text, if any.
create function private.report_reply(job_id uuid, token uuid, new_text text, part integer, lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  j private.reply_jobs;
begin
  perform private.check_worker('reply', lease_seconds);
  select * into j from private.reply_jobs x where x.id = job_id and x.state = 'running' and x.lease_token = token
    for update skip locked;
  if not found then
    return '{"accepted": false}';
  end if;
  update private.reply_jobs x set lease_expires_at = now() + make_interval(secs => lease_seconds),
      responding_at = case when coalesce(new_text, '') = '' then x.responding_at else coalesce(x.responding_at, now()) end
    where x.id = job_id;
  if coalesce(new_text, '') <> '' then
    perform private.tell(j, 'reply.delta', jsonb_build_object('sequence', part, 'text', left(new_text, 100000)));
    if j.responding_at is null then
      perform private.lock_agents(array[j.agent_id]);
      perform private.show_activity(j.agent_id);
    end if;
  end if;
  return '{"accepted": true}';
end
$$;

-- The job of this lease, locked after the message it answers and its agent (who deletes a message takes them in that order
-- too); null when the lease is lost. A job that someone else has locked is being claimed anew: its lease was over.
create function private.own_reply(job_id uuid, token uuid) returns private.reply_jobs
language plpgsql volatile set search_path = '' as $$
declare
  j private.reply_jobs;
begin
  perform from public.messages m where m.id = (select x.message_id from private.reply_jobs x where x.id = job_id) for key share;
  perform private.lock_agents(array(select x.agent_id from private.reply_jobs x where x.id = job_id));
  select * into j from private.reply_jobs x where x.id = job_id and x.lease_token = token for update skip locked;
  return j;
end
$$;

-- Definer: as above. Stores the answer, once: a repeated report of the same lease changes nothing.
create function private.finish_reply(job_id uuid, token uuid, answer jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  j private.reply_jobs := private.own_reply(job_id, token);
  tokens_in integer := greatest(0, coalesce((answer ->> 'inputTokens')::integer, 0));
  tokens_out integer := greatest(0, coalesce((answer ->> 'outputTokens')::integer, 0));
begin
  if j.id is null or j.state = 'waiting' or j.state = 'failed' then
    return '{"accepted": false}';
  elsif j.state = 'done' then
    return jsonb_build_object('accepted', true, 'messageId', j.id);
  end if;
  update private.reply_jobs x set state = 'done', lease_expires_at = null, last_error = null, updated_at = now() where x.id = j.id;
  insert into public.messages (id, user_id, swarm_id, conversation_id, agent_id, sender_kind, sender_name, content, status,
      reply_to, root_id, turn, model, input_tokens, output_tokens)
    select j.id, j.user_id, j.swarm_id, m.conversation_id, j.agent_id, 'agent', a.name,
      left(coalesce(answer ->> 'content', ''), 200000), 'complete', m.id, j.root_id, j.turn, left(answer ->> 'model', 200),
      tokens_in, tokens_out
    from public.messages m, public.agents a where m.id = j.message_id and a.id = j.agent_id;
  perform private.add_usage(j.user_id, j.agent_id, 1, tokens_in, tokens_out);
  perform private.show_activity(j.agent_id);
  perform private.tell(j, 'reply.finished');
  return jsonb_build_object('accepted', true, 'messageId', j.id);
end
$$;
comment on function private.finish_reply(uuid, uuid, jsonb) is 'Stores an answer once, fenced by its lease.';

-- Definer: as above. failure: {code, message, retryable, retryAfterSeconds, inputTokens, outputTokens}.
create function private.fail_reply(job_id uuid, token uuid, failure jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  j private.reply_jobs := private.own_reply(job_id, token);
  wait interval;
begin
  if j.id is null or j.state <> 'running' then
    return '{"accepted": false}';
  end if;
  perform private.add_usage(j.user_id, j.agent_id, 0, greatest(0, coalesce((failure ->> 'inputTokens')::integer, 0)),
    greatest(0, coalesce((failure ->> 'outputTokens')::integer, 0)));
  if not coalesce((failure ->> 'retryable')::boolean, false) or j.attempts >= private.answering_limit('attempts') then
    perform private.conclude_failure(j, failure);
    return '{"accepted": true, "final": true}';
  end if;
  wait := greatest(private.reply_backoff(j.attempts),
    make_interval(secs => least(600, greatest(0, coalesce((failure ->> 'retryAfterSeconds')::numeric, 0)))));
  update private.reply_jobs x set state = 'waiting', lease_expires_at = null, next_attempt_at = now() + wait,
      last_error = left(coalesce(failure ->> 'code', '') || ': ' || coalesce(failure ->> 'message', ''), 600), updated_at = now()
    where x.id = j.id;
  perform private.show_activity(j.agent_id);
  perform private.tell(j, 'reply.retried', jsonb_build_object('code', left(failure ->> 'code', 100)));
  return jsonb_build_object('accepted', true, 'final', false, 'retryInSeconds', extract(epoch from wait));
end
$$;

-- Definer: as above. The lease authorises: earlier messages of the conversation that is being answered, newest first.
create function private.search_conversation(job_id uuid, token uuid, query text, most integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  j private.reply_jobs;
  question public.messages;
begin
  select * into j from private.reply_jobs x where x.id = job_id and x.state = 'running' and x.lease_token = token;
  if not found then
    perform private.raise_error('CONFLICT', 'No lease on this answer');
  end if;
  select * into question from public.messages m where m.id = j.message_id;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('from', coalesce(c.sender_name, c.sender_kind), 'at', private.iso(c.created_at),
      'text', left(c.content, 1000)) order by c.created_at desc), '[]')
    from (
      select * from public.messages m
      where m.user_id = j.user_id and m.status <> 'error' and m.id <> question.id
        and (m.swarm_id = question.swarm_id or m.conversation_id = question.conversation_id)
        and m.created_at <= question.created_at
        and (position(lower(left(query, 200)) in lower(m.content)) > 0
             or to_tsvector('simple', m.content) @@ websearch_to_tsquery('simple', left(query, 200)))
      order by m.created_at desc limit least(20, greatest(1, coalesce(most, 5)))
    ) c);
end
$$;

-- What no worker holds any more is taken back, what waits is hinted at again, and no agent keeps an activity it has not.
create function private.sweep_replies() returns void
language plpgsql volatile set search_path = '' as $$
declare
  lost uuid[];
  j private.reply_jobs;
begin
  select coalesce(array_agg(x.id), '{}') into lost from (
    select y.id from private.reply_jobs y where y.state = 'running' and y.lease_expires_at < now() for update skip locked) x;
  perform private.lock_agents(array(select y.agent_id from private.reply_jobs y where y.id = any (lost)));
  for j in select * from private.reply_jobs y where y.id = any (lost) loop
    if j.attempts >= private.answering_limit('attempts') then
      perform private.conclude_failure(j, '{"code": "INTERNAL_ERROR", "message": "The answer broke off too often."}');
    else
      update private.reply_jobs y set state = 'waiting', next_attempt_at = now(), lease_expires_at = null,
        last_error = 'The worker went away', updated_at = now() where y.id = j.id;
      perform private.show_activity(j.agent_id);
    end if;
  end loop;
  -- Belt and braces: an activity that answering wrote, with nothing at work behind it.
  perform private.show_activity(a.id) from (
    select b.id from public.agents b
    where b.status in ('thinking', 'responding') and b.updated_at < now() - interval '30 seconds'
      and exists (select from private.reply_jobs y where y.agent_id = b.id and y.updated_at >= b.updated_at - interval '1 minute')
      and not exists (select from private.reply_jobs y where y.agent_id = b.id and y.state = 'running')
    order by b.id for no key update skip locked) a;
  if exists (select from private.reply_jobs y where y.state = 'waiting' and y.next_attempt_at <= now()) then
    perform private.post_to_respond('{"reason": "sweep"}');
  end if;
end
$$;

-- Settled jobs are kept for a week, as a trace.
create function private.delete_settled_replies(batch integer default 5000) returns void
language sql volatile set search_path = '' as $$
  delete from private.reply_jobs j where j.id in (
    select x.id from private.reply_jobs x where x.state in ('done', 'failed') and x.updated_at < now() - interval '7 days' limit batch)
$$;

select cron.schedule('launchpad-replies', '10 seconds', 'select private.sweep_replies()');
select cron.schedule('launchpad-reply-retention', '23 * * * *', 'select private.delete_settled_replies()');

create function public.claim_replies(worker text, max_count integer default 20, lease_seconds integer default 15)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.claim_replies(worker, max_count, lease_seconds); end $$;
create function public.report_reply(job_id uuid, lease_token uuid, "text" text default '', sequence integer default 0, lease_seconds integer default 15)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.report_reply(job_id, lease_token, "text", sequence, lease_seconds); end $$;
create function public.finish_reply(job_id uuid, lease_token uuid, answer jsonb)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.finish_reply(job_id, lease_token, answer); end $$;
create function public.fail_reply(job_id uuid, lease_token uuid, failure jsonb)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.fail_reply(job_id, lease_token, failure); end $$;
create function public.search_conversation(job_id uuid, lease_token uuid, query text, "limit" integer default 5)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.search_conversation(job_id, lease_token, query, "limit"); end $$;

revoke execute on all functions in schema private from public;
grant execute on function private.claim_replies(text, integer, integer), private.report_reply(uuid, uuid, text, integer, integer),
  private.finish_reply(uuid, uuid, jsonb), private.fail_reply(uuid, uuid, jsonb),
  private.search_conversation(uuid, uuid, text, integer) to service_role;
revoke execute on function public.claim_replies(text, integer, integer), public.report_reply(uuid, uuid, text, integer, integer),
  public.finish_reply(uuid, uuid, jsonb), public.fail_reply(uuid, uuid, jsonb),
  public.search_conversation(uuid, uuid, text, integer) from public, anon, authenticated;
grant execute on function public.claim_replies(text, integer, integer), public.report_reply(uuid, uuid, text, integer, integer),
  public.finish_reply(uuid, uuid, jsonb), public.fail_reply(uuid, uuid, jsonb),
  public.search_conversation(uuid, uuid, text, integer) to service_role;
comment on function public.claim_replies(text, integer, integer) is 'Answering: leases answers with all they need.';
comment on function public.report_reply(uuid, uuid, text, integer, integer) is 'Answering: renews a lease and broadcasts new text.';
comment on function public.finish_reply(uuid, uuid, jsonb) is 'Answering: stores an answer, once.';
comment on function public.fail_reply(uuid, uuid, jsonb) is 'Answering: an attempt failed; tried again or ended.';
comment on function public.search_conversation(uuid, uuid, text, integer) is 'Answering: earlier messages of the conversation being answered.';
