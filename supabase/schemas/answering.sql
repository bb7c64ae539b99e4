-- Answering: each message asks agents for replies (an outbox with leases), the function `respond` takes them in batches
-- and reports what became of them. Losing a call of the function costs latency, never an answer.

-- The outbox: one row per answer that is wanted. id becomes the id of the answer's message, so
-- that it can exist once only.
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
  -- What messages.sources will say; written by private.retrieve_for_reply.
  sources jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint reply_jobs_state_known check (state in ('waiting', 'running', 'done', 'failed')),
  -- Each agent answers at most once per turn: what bounds agents that talk to each other.
  constraint reply_jobs_root_id_turn_agent_id_key unique (root_id, turn, agent_id)
);
alter table private.reply_jobs enable row level security;
comment on table private.reply_jobs is 'Answers that are wanted of agents, and who is at work on them.';
create index reply_jobs_message_id_idx on private.reply_jobs (message_id);
create index reply_jobs_agent_id_idx on private.reply_jobs (agent_id, state, updated_at);
create index reply_jobs_waiting_idx on private.reply_jobs (next_attempt_at) where state = 'waiting';
create index reply_jobs_running_idx on private.reply_jobs (lease_expires_at) where state = 'running';
create index reply_jobs_open_by_user_idx on private.reply_jobs (user_id) where state in ('waiting', 'running');

-- Bounds of answering. An attempt that dies with its worker counts as one.
create function private.answering_limit(name text) returns integer
language sql immutable parallel safe set search_path = ''
return case name
  when 'attempts' then 5
  when 'open_jobs' then 1000
  -- Of one user at one worker: while others wait, and else.
  when 'places_shared' then 4
  when 'places_alone' then 16
  when 'context_messages' then 100
  when 'context_characters' then 48000
  -- A token is at least one byte, so this is a bound for every provider: about 2,000 tokens of English.
  when 'knowledge_bytes' then 8000
  when 'knowledge_chunks' then 12
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
    pattern := '(^|[^[:alnum:]_@])@' || regexp_replace(lower(name), '([^[:alnum:] ])', '\\\1', 'g')
      || '(?![[:alnum:]_])';
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
  -- What an agent begins itself: nobody asked for what would follow.
  if m.sender_kind = 'agent' and m.root_id is null then
    return;
  end if;
  select * into swarm from public.swarms s where s.id = m.swarm_id;
  if swarm.reply_mode = 'rounds' then
    if m.sender_kind = 'user' then
      return query select s.agent_id, 1 from public.swarm_agents s where s.swarm_id = m.swarm_id
        order by s.position, s.agent_id limit 1;
      return;
    end if;
    select s.position into own_position from public.swarm_agents s where s.swarm_id = m.swarm_id
      and s.agent_id = m.agent_id;
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
  -- Nobody reports what it used any more: it counts in full, soon.
  update private.reservations x set lease_expires_at = least(x.lease_expires_at, now() + interval '1 minute')
    where x.job_id = old.id and x.closed_at is null;
  perform private.show_activity(old.agent_id);
  return null;
end
$$;
create trigger _500_forget after delete on private.reply_jobs
  for each row when (old.state = 'running') execute function private.tg_reply_jobs__forget();

-- Drops the open answers of a deleted agent, whose row DELETE /api/agents keeps for a while. Definer: users have no
-- rights on jobs.
create function private.tg_agents__drop_replies() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from private.reply_jobs j where j.agent_id = new.id;
  return null;
end
$$;
create trigger _460_drop_replies after update of deleted_at on public.agents
  for each row when (new.deleted_at is not null and old.deleted_at is null)
    execute function private.tg_agents__drop_replies();
